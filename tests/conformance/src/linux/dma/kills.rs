//! Apps that end, or take their memory back, in each state of a transfer.
use super::{connect, nothing_is_pinned, start, works};
use crate::{
    Unload,
    interrupts::until,
    linux::unload,
    loopback::ETHER_TYPE,
    registry::{guest_test, helper},
};
use bmd_interface::bmd;
use kp_abi::{
    request::{Request, RingSetup},
    ring::{INLINE, Submission, UserPage},
    zerocopy::{FromZeros, IntoBytes},
};
use kp_user::{Access, Buffer, Plugin};
use loopback_interface::{BLOCK, loopback};
use rustix::{
    fs::{MemfdFlags, ftruncate, memfd_create},
    mm::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap},
    process::{Signal, getpid, kill_process},
};
use std::{
    mem::offset_of,
    os::unix::process::ExitStatusExt,
    process::Command,
    ptr::{NonNull, null_mut},
    sync::{Arc, atomic::Ordering::SeqCst},
};

/// loopback's message that waits.
const WAIT_FOR_NOTHING: u32 = 4;
/// Each buffer, in bytes.
const LEN: usize = 64 << 10;

/// Where an app dies; the first are of loopback, and the last of bmd.
const STATES: [&str; 12] = [
    "registered",
    "attached",
    "moving",
    "receiving",
    "released",
    "unmapped",
    "forked",
    "truncated",
    "closed",
    "batch",
    "batch-unmapped",
    "engine",
];

/// What the state needs of a plugin's session.
struct App {
    plugin: Arc<Plugin>,
    /// The second is the device's to write.
    buffers: [Buffer; 2],
    /// Where the memory of that is.
    start: NonNull<u8>,
    file: std::os::fd::OwnedFd,
}

impl App {
    fn new(plugin: Plugin) -> Self {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let file = memfd_create("app", MemfdFlags::CLOEXEC).expect("there is memory");
        ftruncate(&file, LEN as u64).expect("it can be made longer");
        // SAFETY: a new mapping, wherever there is room.
        let shared = unsafe { mmap(null_mut(), LEN, access, MapFlags::SHARED, &file, 0) }.expect("it maps");
        // SAFETY: a new mapping, wherever there is room.
        let private = unsafe { mmap_anonymous(null_mut(), LEN, access, MapFlags::PRIVATE) }.expect("it maps");
        let buffer = |start: *mut std::ffi::c_void| {
            let start = NonNull::new(start.cast()).expect("a mapping is not at 0");
            // SAFETY: mapped as long as this process does not unmap it, and then nobody here uses it.
            unsafe { plugin.buffer_over(start, LEN, Access::Write) }.unwrap_or_else(|error| panic!("{error}"))
        };
        let buffers = [buffer(shared), buffer(private)];
        let start = NonNull::new(private.cast()).expect("a mapping is not at 0");
        Self { plugin: Arc::new(plugin), buffers, start, file }
    }

    fn attach(&self) {
        let [from, into] = [0, 1].map(|i| self.buffers[i].number());
        loopback::Client(&*self.plugin).attach(from, into).unwrap_or_else(|error| panic!("{error}"));
    }

    /// A call that is inside the plugin when this returns.
    fn calling(&self, call: impl FnOnce(&Plugin) + Send + 'static) {
        let plugin = self.plugin.clone();
        std::thread::spawn(move || call(&plugin));
        until("the call is inside", || self.plugin.query().is_ok_and(|query| query.calls == 1));
    }

    /// The same by a batch, on a ring that is made of the second buffer.
    fn batch(&self) {
        let number = self.buffers[0].number();
        loopback::Client(&*self.plugin).attach(number, number).unwrap_or_else(|error| panic!("{error}"));
        let ring = &self.buffers[1];
        let mut setup = RingSetup { entries: 4, buffer: ring.number().0, ..Request::new() };
        self.plugin.connection().ring_setup(&mut setup).unwrap_or_else(|error| panic!("{error}"));
        let wait = Submission {
            message: WAIT_FOR_NOTHING,
            flags: INLINE,
            args_len: 4,
            inline: [60_000, 0, 0, 0],
            ..Submission::new_zeroed()
        };
        for n in 0..4 {
            ring.write(setup.sq_at as usize + n * size_of::<Submission>(), wait.as_bytes());
        }
        ring.word(offset_of!(UserPage, sq_tail)).store(4, SeqCst);
        self.calling(|plugin| _ = plugin.connection().ring_enter(4));
    }

    fn release(&self) {
        for buffer in &self.buffers {
            self.plugin.connection().buffer_release(buffer.number().0).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    fn unmap(&self) {
        // SAFETY: nobody in this process uses it from now on.
        unsafe { munmap(self.start.as_ptr().cast(), LEN) }.expect("it can be unmapped");
    }

    /// The card waits for a frame that nobody sends.
    fn receiving(&self) {
        self.attach();
        self.calling(|plugin| _ = loopback::Client(plugin).wait_for_nothing(60_000));
    }
}

/// Becomes the app that dies in `state`.
///
/// # Errors
/// There is no such state, or the app is still alive.
#[helper("dma victim")]
fn victim(state: &str) -> Result<(), String> {
    let plugin =
        if state == "engine" { connect("bmd", bmd::INTERFACE) } else { connect("loopback", loopback::INTERFACE) };
    let app = App::new(plugin);
    match state {
        "registered" => {}
        "attached" => app.attach(),
        "moving" => {
            app.attach();
            let frame: Vec<u8> = [0; 12].into_iter().chain(ETHER_TYPE).chain([0; 2]).collect();
            (0..LEN).step_by(BLOCK as usize).for_each(|at| app.buffers[0].write(at, &frame));
            app.calling(
                |plugin| {
                    while loopback::Client(plugin).transfer(0, 0, BLOCK, (LEN / BLOCK as usize) as u32).is_ok() {}
                },
            );
        }
        "receiving" => app.receiving(),
        "released" => {
            app.receiving();
            app.release();
        }
        "unmapped" => {
            app.receiving();
            app.unmap();
        }
        "forked" => {
            app.receiving();
            // SAFETY: the child calls nothing that another thread could have locked.
            if unsafe { libc::fork() } == 0 {
                // SAFETY: any pointer of this process' own: what the child writes is its own copy.
                unsafe { app.start.write_volatile(1) };
                // SAFETY: async-signal-safe.
                unsafe { libc::usleep(200_000) };
                // SAFETY: async-signal-safe.
                unsafe { libc::_exit(0) };
            }
        }
        "truncated" => {
            app.receiving();
            ftruncate(&app.file, 0).expect("it can be made shorter");
        }
        "closed" => {
            app.receiving();
            // It waits for the call, whose wait it ends.
            app.plugin.connection().close().unwrap_or_else(|error| panic!("{error}"));
        }
        "batch" => app.batch(),
        "batch-unmapped" => {
            app.batch();
            app.release();
            app.unmap();
        }
        "engine" => {
            let number = app.buffers[1].number();
            app.calling(move |plugin| _ = bmd::Client(plugin).read(number, 0, LEN as u64));
        }
        _ => return Err(format!("no such state: {state}")),
    }
    kill_process(getpid(), Signal::KILL).expect("a process may kill itself");
    Err(format!("{state} was reached, and the app is still alive"))
}

/// Kills an app in each state, `rounds` times. Nothing stays pinned, and the card works after each.
#[guest_test("dma kills", stage = "dma", short = "1", long = "100")]
fn apps_killed_in_any_state_of_a_transfer_leave_nothing(rounds: u32) {
    let plugin = start("loopback", loopback::INTERFACE);
    let other = start("bmd", bmd::INTERFACE);
    for _ in 0..rounds {
        // The engine takes 100 ms for each 2 KiB, and who comes next waits for it.
        let states = STATES.into_iter().filter(|state| *state != "engine" || rounds < 10);
        for state in states {
            let program = std::env::current_exe().expect("this program has a file");
            let status =
                Command::new(program).args(["dma", "victim", state]).status().expect("it can be started again");
            assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{state}: {status}");
            for one in [&plugin, &other] {
                until("the session is over", || one.query().is_ok_and(|query| query.sessions == 1));
            }
            works(&plugin);
        }
    }
    println!("{} states, an app killed {rounds} times in each", STATES.len());
    drop((plugin, other));
    assert_eq!((unload("loopback"), unload("bmd")), (Unload::Gone, Unload::Gone));
    nothing_is_pinned();
}
