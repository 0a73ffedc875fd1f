//! The memory of rings: a process may have as much of it as RLIMIT_MEMLOCK says, whatever it does with rings and mappings.
use super::{Watchdog, connect};
use crate::{linux::Loaded, registry::guest_test};
use kp_abi::{
    Status,
    request::{Request, RingSetup},
};
use kp_user::{Plugin, SharedMemory};
use rustix::{
    mm::{MapFlags, ProtFlags, mmap, munmap},
    process::{Resource, Rlimit, setrlimit},
    thread::{CapabilitySet, capabilities, set_capabilities},
};
use std::{fs, ptr::null_mut};

/// The data of a ring that is about 1 MiB.
const DATA: u32 = 1 << 20;
/// Room for three such rings, and not for four.
const LIMIT: u64 = (3 << 20) + (512 << 10);

/// What this process has pinned, in bytes, by the kernel's account.
fn pinned() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("a process can read its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmPin:")).expect("it says what is pinned");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("in KiB") << 10
}

fn set_up(plugin: &Plugin) -> Result<RingSetup, Status> {
    let mut setup = RingSetup { entries: 8, data_len: DATA, ..Request::new() };
    plugin.connection().ring_setup(&mut setup).map_err(|error| error.status)?;
    Ok(setup)
}

fn tear_down(plugin: &Plugin) {
    plugin.connection().ring_teardown().expect("it has a ring");
}

fn map(plugin: &Plugin, setup: &RingSetup) -> SharedMemory {
    let mapped = plugin.connection().map_shared(setup.memory_offset, setup.memory_len as usize, true);
    mapped.expect("a ring can be mapped")
}

/// No process that may not lock memory has more than its limit, be it a ring or a mapping that outlived it; one that may has no limit.
#[guest_test("stress pinned", stage = "tear-down")]
fn no_process_has_more_ring_memory_than_its_limit() {
    let loaded = Loaded::all();
    let _watchdog = Watchdog::new("rings");
    let before = pinned();
    let plugin = connect();
    let mut own = capabilities(None).expect("a thread can see what it may");
    own.effective.remove(CapabilitySet::IPC_LOCK);
    set_capabilities(None, own).expect("a thread may give up what it may");
    setrlimit(Resource::Memlock, Rlimit { current: Some(LIMIT), maximum: None }).expect("a limit can be set");

    let setup = set_up(&plugin).expect("below the limit");
    let ring = setup.memory_len;
    let page = setup.page_len;
    assert_eq!(pinned(), before + ring + page, "a ring is charged, and the page with it");
    let mut kept = vec![map(&plugin, &setup), map(&plugin, &setup)];
    tear_down(&plugin);
    assert_eq!(pinned(), before + ring + page, "a mapping keeps its memory, and so the charge");
    kept.pop();
    assert_eq!(pinned(), before + ring + page, "the other mapping keeps it");

    // Each ring is torn down, and its mapping kept.
    for _ in 1..3 {
        let setup = set_up(&plugin).expect("below the limit");
        kept.push(map(&plugin, &setup));
        tear_down(&plugin);
    }
    assert_eq!(set_up(&plugin).err(), Some(Status::NO_MEMORY), "the fourth is above the limit");
    assert_eq!(pinned(), before + 3 * ring + page, "what is refused is not charged");
    kept.pop();
    set_up(&plugin).expect("there is room again");
    assert_eq!(pinned(), before + 3 * ring + page);
    tear_down(&plugin);
    assert_eq!(pinned(), before + 2 * ring + page, "without a mapping it goes with the ring");

    in_pieces(&plugin, before + 2 * ring + page);

    let mut able = capabilities(None).expect("a thread can see what it may");
    able.effective.insert(CapabilitySet::IPC_LOCK);
    set_capabilities(None, able).expect("it was not given up for good");
    for _ in 0..4 {
        let setup = set_up(&plugin).expect("who may lock memory has no limit");
        kept.push(map(&plugin, &setup));
        tear_down(&plugin);
    }
    assert_eq!(pinned(), before + 6 * ring + page, "but what it has is counted");
    drop(kept);
    assert_eq!(pinned(), before + page);
    drop(plugin);
    assert_eq!(pinned(), before, "all of it is given back");
    println!("rings are charged to who asked for them, as long as a ring or a mapping is there");
    drop(loaded);
}

/// A mapping is unmapped in two steps: the last one gives the memory back.
fn in_pieces(plugin: &Plugin, before: u64) {
    let setup = set_up(plugin).expect("below the limit");
    let len = setup.memory_len as usize;
    let half = (len / 2) & !0xfff;
    let file = plugin.as_fd().expect("a node has a descriptor");
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping, wherever there is room.
    let start = unsafe { mmap(null_mut(), len, access, MapFlags::SHARED, file, setup.memory_offset) }.expect("it maps");
    tear_down(plugin);
    // SAFETY: inside the mapping.
    let second = unsafe { start.byte_add(half) };
    // SAFETY: the second half of the mapping above, which nobody uses.
    unsafe { munmap(second, len - half) }.expect("half of it can be unmapped");
    assert_eq!(pinned(), before + setup.memory_len, "half of it is left");
    // SAFETY: what is left of it.
    unsafe { munmap(start, half) }.expect("the rest can be unmapped");
    assert_eq!(pinned(), before);
}
