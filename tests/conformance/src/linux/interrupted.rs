//! A signal during a timed INT_WAIT. Its handler runs, the app goes on waiting, and all in all for as long as it asked. A batch too goes on.
//!
//! The kernel sends the request again by itself, or the client does, as the handler was installed. What is left of the time is read
//! where the driver has left it: in the waiting thread's struct, whose address /proc gives as the ioctl's argument.
use super::{Guest, Loaded, stress::raising};
use crate::{Subject, World, interrupts::until, registry::guest_test};
use edu_interface::edu;
use kp_abi::{
    Status,
    request::{ANY_VECTOR, IntWait, Request, ioctl_number, kind},
};
use kp_user::Plugin;
use rustix::thread::{Pid, gettid};
use std::{
    ffi::c_int,
    fs::{self, File},
    io,
    mem::{MaybeUninit, offset_of},
    os::{fd::AsRawFd, unix::fs::FileExt},
    ptr,
    sync::{
        atomic::{AtomicU32, Ordering::SeqCst},
        mpsc::channel,
    },
    thread,
    time::{Duration, Instant},
};

/// A time that does not pass while a test goes well.
const LONG: Duration = Duration::from_secs(60);
/// One that does.
const SHORT: Duration = Duration::from_secs(1);
/// What has to be missing afterwards, at least, for each signal.
const STEP: Duration = Duration::from_millis(200);
/// By how much the driver's clock may be off the app's: on an emulated machine each processor's counter runs as the host lets it, until
/// the kernel takes another clock.
const CLOCKS: Duration = Duration::from_millis(100);
/// Signals during one wait.
const SIGNALS: u32 = 3;

/// How often the handler has run.
static HANDLED: AtomicU32 = AtomicU32::new(0);

/// Its handler runs, and the wait lasts as long as it was asked to; a batch goes on too.
#[guest_test("interrupted", stage = "scenario 32-bit")]
fn a_signal_does_not_end_a_timed_wait() {
    let loaded = Loaded::all();
    let plugin = Guest.connect(Subject::Edu);
    edu::Client(&plugin).defer_every(1).expect("every interrupt can be deferred");
    plugin.connection().int_enable(kind::MSI, 1, 1, &[]).expect("an interrupt can be enabled");
    handle(libc::SA_RESTART);
    goes_on(&plugin, by_ioctl);
    ends_in_time(&plugin, by_ioctl);
    handle(0);
    leaves_the_rest(&plugin);
    goes_on(&plugin, by_client);
    ends_in_time(&plugin, by_client);
    ends_no_batch(&plugin);
    plugin.connection().int_disable().expect("the interrupt can be disabled");
    drop(plugin);
    drop(loaded);
    println!("{SIGNALS} signals in a wait, and the time went on: restarted by the kernel, and by the client");
}

/// Waits for one notification, for so long.
type Wait = fn(&Plugin, Duration) -> Status;

fn by_client(plugin: &Plugin, time: Duration) -> Status {
    let waited = plugin.connection().int_wait(time.as_nanos() as u64, ANY_VECTOR, 1);
    waited.map_or_else(|error| error.status, |_| Status::OK)
}

fn by_ioctl(plugin: &Plugin, time: Duration) -> Status {
    ioctl(plugin, &mut request(time)).expect("the kernel restarts it")
}

fn request(time: Duration) -> IntWait {
    IntWait { timeout_ns: time.as_nanos() as u64, vector: ANY_VECTOR, max: 1, ..IntWait::new() }
}

/// Sends the request once.
fn ioctl(plugin: &Plugin, wait: &mut IntWait) -> io::Result<Status> {
    let descriptor = plugin.as_fd().expect("a node has a descriptor");
    // SAFETY: a request with its struct, which holds no address.
    match unsafe { libc::ioctl(descriptor.as_raw_fd(), ioctl_number(IntWait::NR).into(), ptr::from_mut(wait)) } {
        0 => Ok(Status(wait.head.status)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Signals keep coming, and each time less is left, by as much as was waited. A notification ends it.
fn goes_on(plugin: &Plugin, wait: Wait) {
    let (tell, told) = channel();
    HANDLED.store(0, SeqCst);
    let start = Instant::now();
    thread::scope(|scope| {
        let waiter = scope.spawn(move || {
            tell.send(gettid()).expect("somebody is told");
            wait(plugin, LONG)
        });
        let thread = told.recv().expect("a thread has a number");
        let mut waited = Duration::ZERO;
        for signals in 1..=SIGNALS {
            waited += wait_until_a_step_has_passed(plugin);
            signal(thread);
            until("the handler has run", || HANDLED.load(SeqCst) == signals);
            until("the wait is pending again", || is_waiting(plugin));
            check(left(thread), waited, start);
        }
        edu::Client(plugin).raise(1).expect("the device can be told to interrupt");
        assert_eq!(waiter.join().expect("the waiter does not panic"), Status::OK, "it waits still");
    });
}

/// An app that handles EINTR itself finds the rest in the struct.
fn leaves_the_rest(plugin: &Plugin) {
    let (tell, told) = channel();
    let start = Instant::now();
    thread::scope(|scope| {
        let waiter = scope.spawn(move || {
            tell.send(gettid()).expect("somebody is told");
            let mut wait = request(LONG);
            (ioctl(plugin, &mut wait).map_err(|error| error.kind()), wait)
        });
        let thread = told.recv().expect("a thread has a number");
        let waited = wait_until_a_step_has_passed(plugin);
        signal(thread);
        let (answer, wait) = waiter.join().expect("the waiter does not panic");
        assert_eq!(answer, Err(io::ErrorKind::Interrupted));
        assert_eq!(wait.head.status, Status::NO_REPLY.0, "there is no answer yet");
        check(Duration::from_nanos(wait.timeout_ns), waited, start);
    });
}

/// A signal neither ends a wait early nor keeps it from its end.
fn ends_in_time(plugin: &Plugin, wait: Wait) {
    let (tell, told) = channel();
    let (go, gone) = channel();
    HANDLED.store(0, SeqCst);
    thread::scope(|scope| {
        let waiter = scope.spawn(move || {
            tell.send(gettid()).expect("somebody is told");
            let start = Instant::now();
            let answer = (wait(plugin, SHORT), start.elapsed());
            gone.recv().expect("it is signalled while it is alive");
            answer
        });
        let thread = told.recv().expect("a thread has a number");
        until("the wait is pending, or over", || is_waiting(plugin) || waiter.is_finished());
        signal(thread);
        go.send(()).expect("the waiter is alive");
        let (answer, took) = waiter.join().expect("the waiter does not panic");
        assert_eq!(answer, Status::TIMEOUT);
        assert!(took + CLOCKS >= SHORT, "only {took:?}");
    });
    assert_eq!(HANDLED.load(SeqCst), 1);
}

/// A signal that has a handler waits for the end of the batch, which goes on.
fn ends_no_batch(plugin: &Plugin) {
    const MESSAGES: u32 = 256;
    let ring = raising(plugin, MESSAGES, None);
    let received = || plugin.connection().int_count(ANY_VECTOR).expect("an open session can count").1.received;
    let before = received();
    HANDLED.store(0, SeqCst);
    let (tell, told) = channel();
    let (go, gone) = channel();
    thread::scope(|scope| {
        let (ring, gone) = (&ring, gone);
        let runner = scope.spawn(move || {
            tell.send(gettid()).expect("somebody is told");
            let entered = ring.enter();
            gone.recv().expect("it is signalled while it is alive");
            entered
        });
        let thread = told.recv().expect("a thread has a number");
        until("the batch is under way", || received() >= before + 2);
        signal(thread);
        let then = received() - before;
        go.send(()).expect("the runner is alive");
        let entered = runner.join().expect("the runner does not panic");
        assert!(then < u64::from(MESSAGES) / 2, "the signal came when the batch was through");
        assert_eq!(entered, (MESSAGES, Ok(())), "messages run, of {MESSAGES}");
    });
    assert_eq!(HANDLED.load(SeqCst), 1);
}

/// A wait that has lasted `waited` or longer, and not since before `start`.
#[track_caller]
fn check(left: Duration, waited: Duration, start: Instant) {
    let all = start.elapsed();
    assert!(left <= LONG - waited + CLOCKS, "{left:?} is left after a wait of {waited:?}");
    assert!(left + all + CLOCKS >= LONG, "only {left:?} is left after {all:?}");
}

/// How long it has been pending then, at least.
fn wait_until_a_step_has_passed(plugin: &Plugin) -> Duration {
    until("the wait is pending", || is_waiting(plugin));
    let since = Instant::now();
    until("it has been for a while", || since.elapsed() >= STEP);
    since.elapsed()
}

fn is_waiting(plugin: &Plugin) -> bool {
    plugin.query().expect("QUERY works always").waits == 1
}

/// What is left of the time, in the struct of a thread that waits.
fn left(thread: Pid) -> Duration {
    let path = format!("/proc/self/task/{}/syscall", thread.as_raw_nonzero());
    let mut argument = None;
    until("the thread sleeps in its wait", || {
        // The system call's number, then its arguments.
        let line = fs::read_to_string(&path).expect("/proc shows what a thread does");
        let words: Vec<u64> = line.split_whitespace().filter_map(hexadecimal).collect();
        let [_, number, address, ..] = words[..] else { return false };
        assert_eq!(number, u64::from(ioctl_number(IntWait::NR)), "{line}");
        argument = Some(address);
        true
    });
    let address = argument.expect("it was found") + offset_of!(IntWait, timeout_ns) as u64;
    let mut bytes = [0; 8];
    let memory = File::open("/proc/self/mem").expect("a process can read its memory");
    memory.read_exact_at(&mut bytes, address).expect("a struct that is in use");
    Duration::from_nanos(u64::from_le_bytes(bytes))
}

fn hexadecimal(word: &str) -> Option<u64> {
    u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

extern "C" fn handler(_: c_int) {
    HANDLED.fetch_add(1, SeqCst);
}

/// Has SIGUSR1 handled, with these flags.
fn handle(flags: c_int) {
    // SAFETY: of all zeros, it is an action: the default one.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler as extern "C" fn(c_int) as usize;
    action.sa_flags = flags;
    // SAFETY: the handler does nothing but count, which it may at any time.
    let installed = unsafe { libc::sigaction(libc::SIGUSR1, &action, ptr::null_mut()) };
    assert_eq!(installed, 0, "{}", io::Error::last_os_error());
}

/// Sends it to one thread.
fn signal(thread: Pid) {
    let (process, thread) = (std::process::id() as c_int, thread.as_raw_nonzero().get());
    // SAFETY: it touches no memory of ours, and the handler is installed.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, process, thread, libc::SIGUSR1) };
    assert_eq!(sent, 0, "{}", io::Error::last_os_error());
}
