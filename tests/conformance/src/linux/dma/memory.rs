//! Memory of all kinds: what a device may be let into, and what not; and how much of it.
use super::{nothing_is_pinned, start};
use crate::{
    Unload,
    linux::unload,
    loopback::{Frames, Pair},
    registry::guest_test,
};
use kp_abi::Status;
use kp_user::{Access, Plugin};
use loopback_interface::{BLOCK, SHORTEST, loopback};
use rustix::{
    fd::OwnedFd,
    fs::{MemfdFlags, ftruncate, memfd_create},
    mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mmap_anonymous, mprotect, munmap},
    mount::{MountFlags, UnmountFlags, mount, unmount},
    process::{Resource, Rlimit, setrlimit},
    thread::{CapabilitySet, capabilities, set_capabilities},
};
use std::{
    fs,
    ptr::{NonNull, null_mut},
};

/// How many huge pages are set aside.
const HUGE_PAGES: &str = "/proc/sys/vm/nr_hugepages";
/// A huge page, in bytes: of each kind of memory there is as much.
const LEN: usize = 2 << 20;
const RW: ProtFlags = ProtFlags::READ.union(ProtFlags::WRITE);

/// A mapping of [`LEN`] bytes.
struct Mapped(NonNull<u8>);

impl Mapped {
    fn anonymous(access: ProtFlags, flags: MapFlags) -> Self {
        // SAFETY: a new mapping, wherever there is room.
        Self::of(unsafe { mmap_anonymous(null_mut(), LEN, access, flags) })
    }

    fn file(file: &OwnedFd, access: ProtFlags, flags: MapFlags) -> Self {
        // SAFETY: a new mapping, wherever there is room.
        Self::of(unsafe { mmap(null_mut(), LEN, access, flags, file, 0) })
    }

    fn of(start: rustix::io::Result<*mut std::ffi::c_void>) -> Self {
        Self(NonNull::new(start.expect("it maps").cast()).expect("a mapping is not at 0"))
    }

    fn buffer(&self, plugin: &Plugin, access: Access) -> Result<kp_user::Buffer, kp_abi::Error> {
        // SAFETY: the mapping outlives each buffer in these tests, and is used by it alone.
        unsafe { plugin.buffer_over(self.0, LEN, access) }
    }

    /// How a buffer of it is refused. OK: it is not.
    fn refused(&self, plugin: &Plugin, access: Access) -> Status {
        self.buffer(plugin, access).map_or_else(|error| error.status, |_| Status::OK)
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: mapped by this, and its buffers are gone.
        unsafe { munmap(self.0.as_ptr().cast(), LEN) }.expect("it is mapped");
    }
}

/// Each kind of memory is taken or refused, and what is taken is what the device sees.
#[guest_test("dma memory", stage = "dma")]
fn a_device_is_let_into_memory_of_the_apps_own_alone() {
    let plugin = start("loopback", loopback::INTERFACE);
    taken(&plugin);
    refused(&plugin);
    page_of_zeros(&plugin);
    overlapping(&plugin);
    limited(&plugin);
    drop(plugin);
    assert_eq!(unload("loopback"), Unload::Gone);
    nothing_is_pinned();
    println!("memory of each kind, as it has to be");
}

fn taken(plugin: &Plugin) {
    // A kernel that looks for mistakes has none.
    let has_huge = fs::write(HUGE_PAGES, "4").is_ok();
    let shared = memfd_create("shared", MemfdFlags::CLOEXEC).expect("there is memory");
    ftruncate(&shared, LEN as u64).expect("it can be made longer");
    let mut kinds = vec![
        ("private", Mapped::anonymous(RW, MapFlags::PRIVATE)),
        ("shared", Mapped::anonymous(RW, MapFlags::SHARED)),
        ("memfd", Mapped::file(&shared, RW, MapFlags::SHARED)),
        ("memfd, private", Mapped::file(&shared, RW, MapFlags::PRIVATE)),
    ];
    if has_huge {
        kinds.push(("huge", Mapped::anonymous(RW, MapFlags::PRIVATE | MapFlags::HUGETLB)));
    }
    for (kind, mapped) in &kinds {
        let into = mapped.buffer(plugin, Access::Write).unwrap_or_else(|error| panic!("{kind}: {error}"));
        let from = plugin.buffer(LEN, Access::Write).expect("memory of its own");
        Pair::of(plugin, from, into).go_round(Frames { from_at: 5, into: 1, len: 1514, count: 500 });
        let from = mapped.buffer(plugin, Access::Read).unwrap_or_else(|error| panic!("{kind}: {error}"));
        let into = plugin.buffer(LEN, Access::Write).expect("memory of its own");
        Pair::of(plugin, from, into).go_round(Frames { from_at: 5, into: 1, len: 1514, count: 500 });
        loopback::Client(plugin).detach().expect("it was attached");
    }
    drop(kinds);
    if has_huge {
        fs::write(HUGE_PAGES, "0").expect("pages can be given back");
    }
}

fn refused(plugin: &Plugin) {
    fs::create_dir_all("/files").expect("a folder can be made");
    mount("none", "/files", "ramfs", MountFlags::empty(), None).expect("it can be mounted");
    let open = || fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open("/files/file");
    let file: OwnedFd = open().expect("a file can be made").into();
    fs::write("/files/file", vec![7; LEN]).expect("it can be written");
    let of_file = Mapped::file(&file, RW, MapFlags::SHARED);
    assert_eq!(of_file.refused(plugin, Access::Write), Status::NOT_PINNABLE, "what a file has");
    assert_eq!(of_file.refused(plugin, Access::Read), Status::NOT_PINNABLE, "nor to read it");
    let to_read = Mapped::file(&file, ProtFlags::READ, MapFlags::SHARED);
    assert_eq!(to_read.refused(plugin, Access::Read), Status::NOT_PINNABLE, "pages of the file");
    // A copy of them is the app's own.
    let copied = Mapped::file(&file, RW, MapFlags::PRIVATE);
    assert_eq!(copied.refused(plugin, Access::Write), Status::OK);
    drop((of_file, to_read, copied, file));
    unmount("/files", UnmountFlags::empty()).expect("nobody uses it");

    let (read_only, none) = (
        Mapped::anonymous(ProtFlags::READ, MapFlags::PRIVATE),
        Mapped::anonymous(ProtFlags::empty(), MapFlags::PRIVATE),
    );
    let fault = kp_abi::TransportStatus::FAULT.status();
    assert_eq!(read_only.refused(plugin, Access::Write), fault, "the app may not write it itself");
    assert_eq!(none.refused(plugin, Access::Write), fault);
    assert_eq!(none.refused(plugin, Access::Read), fault, "the app may not even read it");
    let partly = Mapped::anonymous(RW, MapFlags::PRIVATE);
    // SAFETY: inside of the mapping.
    let half = unsafe { partly.0.add(LEN / 2) };
    // SAFETY: the second half of the mapping, in which nobody has anything.
    let changed = unsafe { mprotect(half.as_ptr().cast(), LEN / 2, MprotectFlags::READ) };
    changed.expect("it is mapped");
    assert_eq!(partly.refused(plugin, Access::Read), Status::OK, "half of it can be written");
    assert_eq!(partly.refused(plugin, Access::Write), fault);
}

/// Memory that was never written is a page of zeros, which all processes have: the device reads it, and it stays so.
fn page_of_zeros(plugin: &Plugin) {
    let zeros = Mapped::anonymous(ProtFlags::READ, MapFlags::PRIVATE);
    let from = zeros.buffer(plugin, Access::Read).expect("a device may read zeros");
    let into = plugin.buffer(LEN, Access::Write).expect("memory of its own");
    into.write(0, &[0xFF; BLOCK as usize]);
    let client = loopback::Client(plugin);
    client.attach(from.number(), into.number()).expect("both are registered");
    // Addressed to nobody, and of length 0: the card takes it all the same.
    assert_eq!(client.transfer(0, 0, SHORTEST, 1), Ok(1));
    let mut came = [1; 64];
    into.read(0, &mut came);
    assert_eq!((came[..60].iter().max(), came[60..].iter().min()), (Some(&0), Some(&0xFF)));
    client.detach().expect("it was attached");
}

/// The same memory twice: each is a buffer of its own, and what one is told goes into the other.
fn overlapping(plugin: &Plugin) {
    let mapped = Mapped::anonymous(RW, MapFlags::PRIVATE);
    let buffers = [(); 2].map(|()| mapped.buffer(plugin, Access::Write).expect("it may be registered twice"));
    let mut due = [0x3C; BLOCK as usize];
    due[12..14].copy_from_slice(&crate::loopback::ETHER_TYPE);
    buffers[0].write(0, &due);
    let client = loopback::Client(plugin);
    client.attach(buffers[0].number(), buffers[1].number()).expect("both are registered");
    assert_eq!(client.transfer(0, 7 * u64::from(BLOCK), BLOCK, 1), Ok(1));
    client.detach().expect("it was attached");
    let [first, second] = buffers;
    drop(first);
    let mut came = [0; BLOCK as usize];
    second.read(7 * BLOCK as usize, &mut came);
    assert_eq!(came, due);
    drop(second);
}

/// Who may not lock memory has as much as its limit says.
fn limited(plugin: &Plugin) {
    let mut own = capabilities(None).expect("a thread can see what it may");
    own.effective.remove(CapabilitySet::IPC_LOCK);
    set_capabilities(None, own).expect("a thread may give up what it may");
    // A ring or a page of the session's own is charged as well.
    let limit = Rlimit { current: Some(64 << 10), maximum: None };
    setrlimit(Resource::Memlock, limit).expect("a limit can be set");
    let buffer = |len: usize| plugin.buffer(len, Access::Write).map_err(|error| error.status);
    assert_eq!(buffer(68 << 10).err(), Some(Status::PIN_LIMIT), "above it");
    let half = buffer(32 << 10).expect("below it");
    assert_eq!(buffer(36 << 10).err(), Some(Status::PIN_LIMIT), "above it, with what there is");
    drop(half);
    drop(buffer(32 << 10).expect("it was given back"));
    own.effective.insert(CapabilitySet::IPC_LOCK);
    set_capabilities(None, own).expect("it was not given up for good");
    drop(buffer(LEN).expect("who may lock memory has no limit"));
}
