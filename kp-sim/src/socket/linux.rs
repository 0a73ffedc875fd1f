//! What is needed of Linux beside std: who a client is, when it ends, and signals.
use std::{
    io, mem,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    ptr, thread,
    time::Duration,
};

/// Who is at the other end.
pub(super) struct Peer {
    pub(super) process: u32,
    pub(super) is_root: bool,
}

/// Who has connected here, as the kernel says. Nobody in particular, if it does not.
pub(super) fn peer(stream: &UnixStream) -> Peer {
    let mut who = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    let to = (&raw mut who).cast();
    // SAFETY: the descriptor is open while the stream is borrowed; `to` has room for `len` bytes, and any bytes are a `ucred`.
    let _ = unsafe { libc::getsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED, to, &raw mut len) };
    Peer { process: u32::try_from(who.pid).unwrap_or_default(), is_root: who.uid == 0 }
}

/// Sends a byte, unless that would have to wait: then there are bytes enough.
pub(super) fn send_byte(stream: &UnixStream) {
    let (byte, flags) = (1_u8, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
    // SAFETY: the descriptor is open while the stream is borrowed; one byte is read.
    let _ = unsafe { libc::send(stream.as_raw_fd(), (&raw const byte).cast(), 1, flags) };
}

/// Waits until a process has ended.
pub(super) fn wait_for_process(process: u32) {
    if wait_by_descriptor(process).is_err() {
        // Linux before 5.3, or valgrind. One that its parent has not waited for is still there.
        while Path::new(&format!("/proc/{process}")).exists() {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Err: Linux cannot say when.
fn wait_by_descriptor(process: u32) -> io::Result<()> {
    // SAFETY: takes two numbers, and gives a descriptor or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, process, 0) };
    let Ok(fd @ 0..) = i32::try_from(fd) else {
        let error = io::Error::last_os_error();
        return if error.raw_os_error() == Some(libc::ESRCH) { Ok(()) } else { Err(error) };
    };
    // SAFETY: new, and nobody else's.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    loop {
        // SAFETY: one `pollfd`, which is borrowed meanwhile.
        match unsafe { libc::poll(&raw mut poll, 1, -1) } {
            0.. => return Ok(()),
            _ => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
}

/// Signals that are waited for, and do nothing by themselves.
pub(super) struct Signals(libc::sigset_t);

impl Signals {
    /// From now on these signals do nothing by themselves, in this thread and in those that it starts.
    pub(super) fn block(signals: &[libc::c_int]) -> Self {
        // SAFETY: a `sigset_t` is bits.
        let mut set = unsafe { mem::zeroed() };
        // SAFETY: a set that is borrowed meanwhile.
        unsafe { libc::sigemptyset(&raw mut set) };
        for &signal in signals {
            // SAFETY: an initialised set, and a number, which is refused if it is none of a signal.
            unsafe { libc::sigaddset(&raw mut set, signal) };
        }
        // SAFETY: an initialised set; the old one is not asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) };
        Self(set)
    }

    /// Waits for one of them.
    pub(super) fn wait(&self) -> libc::c_int {
        let mut signal = 0;
        // SAFETY: an initialised set, and a place for the answer.
        unsafe { libc::sigwait(&raw const self.0, &raw mut signal) };
        signal
    }
}
