//! A wait that is under way while its thread does something else.
#![expect(unsafe_code, reason = "std has no DeviceIoControl")]
use super::{
    answer::{answer, notification},
    errors::last_status,
    event::Event,
    handle::{self, Handle},
};
use crate::Notification;
use kp_abi::{
    Result,
    request::{IntWait, Request, control_code},
};
use std::{
    fmt,
    os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle},
    ptr,
};
use windows_sys::Win32::{
    Foundation::{ERROR_IO_PENDING, GetLastError},
    System::IO::{CancelIoEx, DeviceIoControl, OVERLAPPED},
};

/// A wait for notifications that is under way. From [`Interrupts::start_wait`](crate::Interrupts::start_wait).
///
/// Its handle is an event, set when the wait is over, whatever came of it: pass it to `WaitForMultipleObjects`, together with what
/// else a thread waits for. Setting it ends nothing. The end of the thread that started the wait ends the wait too, with
/// [`INTERRUPTED`](kp_abi::Status::INTERRUPTED). Dropping it cancels the wait; a notification that had been taken by then is lost to
/// this session, so use [`cancel`](Self::cancel) where that matters.
pub struct PendingWait<'h> {
    handle: &'h Handle,
    /// The kernel's until the wait is over; on the heap, where it stays also if this value is moved or forgotten.
    io: *mut Io,
}

struct Io {
    overlapped: OVERLAPPED,
    event: Event,
    wait: IntWait,
    input: IntWait,
}

impl<'h> PendingWait<'h> {
    pub(super) fn start(handle: &'h Handle, wait: IntWait) -> Result<Self> {
        Self::send(handle, control_code(IntWait::NR).expect("INT_WAIT has a code"), wait)
    }

    fn send(handle: &'h Handle, code: u32, wait: IntWait) -> Result<Self> {
        let event = Event::new()?;
        let overlapped = OVERLAPPED { hEvent: event.0.as_raw_handle(), ..OVERLAPPED::default() };
        let io = Box::into_raw(Box::new(Io { overlapped, event, wait, input: wait }));
        let pending = Self { handle, io };
        let size = size_of::<IntWait>() as u32;
        // SAFETY: `io` is this value's own; only raw pointers go to it while the request is under way.
        let [input, output] = unsafe { [(&raw const (*io).input).cast_mut(), &raw mut (*io).wait] };
        // SAFETY: as above.
        let overlapped = unsafe { &raw mut (*io).overlapped };
        // SAFETY: the handle is open, and for overlapped use. The driver reads and writes the two structs, no further than their
        // size, until the request is over, and they are freed after that only.
        let done = unsafe {
            DeviceIoControl(handle.raw(), code, input.cast(), size, output.cast(), size, ptr::null_mut(), overlapped)
        };
        // SAFETY: reads this thread's last error.
        if done == 0 && unsafe { GetLastError() } != ERROR_IO_PENDING {
            let status = last_status();
            pending.free();
            return Err(status.into());
        }
        Ok(pending)
    }

    /// Waits for its end: the notification, or what [`Interrupts::wait`](crate::Interrupts::wait) says of errors.
    pub fn finish(self) -> Result<Notification> {
        let result = self.over();
        self.free();
        result
    }

    /// Ends it now: the notification if one had been taken already, else [`INTERRUPTED`](kp_abi::Status::INTERRUPTED).
    pub fn cancel(self) -> Result<Notification> {
        self.end();
        self.finish()
    }

    /// Asks for its end. If it is over already, there is nothing to cancel.
    fn end(&self) {
        // SAFETY: the request of this value, through this handle.
        unsafe { CancelIoEx(self.handle.raw(), &raw const (*self.io).overlapped) };
    }

    fn over(&self) -> Result<Notification> {
        // SAFETY: this value's own, and the request that was started with it.
        unsafe { handle::finish(self.handle, &raw mut (*self.io).overlapped) }?;
        // SAFETY: the request is over, and nobody else writes here.
        let wait = unsafe { (*self.io).wait };
        answer(&wait.head)?;
        Ok(notification(wait))
    }

    /// Gives the memory back: the request is over, or never began.
    fn free(self) {
        let io = self.io;
        std::mem::forget(self);
        // SAFETY: made by `start`, and freed once: `self` is not dropped.
        drop(unsafe { Box::from_raw(io) });
    }
}

impl Drop for PendingWait<'_> {
    fn drop(&mut self) {
        self.end();
        let _ = self.over();
        // SAFETY: made by `start`; the request is over, and this value is gone.
        drop(unsafe { Box::from_raw(self.io) });
    }
}

impl AsHandle for PendingWait<'_> {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        // SAFETY: lives as long as this value; the kernel does not write there.
        unsafe { (*self.io).event.0.as_handle() }
    }
}

// SAFETY: the event and the request belong to the process, not to the thread that started it. Windows does cancel the requests of
// a thread that ends; that ends the wait.
unsafe impl Send for PendingWait<'_> {}

impl fmt::Debug for PendingWait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingWait").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::windows::handle::tests::{AFD_POLL, Socket};
    use kp_abi::{Status, zerocopy::FromBytes};
    use windows_sys::Win32::{
        Foundation::{WAIT_OBJECT_0, WAIT_TIMEOUT},
        System::Threading::{INFINITE, SetEvent, WaitForSingleObject},
    };

    /// A wait that is none: the bytes are a request of the socket's, which pends until there is something to receive.
    fn start(socket: &Socket) -> PendingWait<'_> {
        let bytes = IntWait::read_from_bytes(&socket.request()).expect("as long as a wait");
        PendingWait::send(&socket.handle, AFD_POLL, bytes).expect("it pends")
    }

    fn is_over(pending: &PendingWait<'_>, milliseconds: u32) -> bool {
        is_set(&pending.as_handle(), milliseconds)
    }

    fn is_set(event: &impl AsRawHandle, milliseconds: u32) -> bool {
        // SAFETY: an event, open as long as it is borrowed.
        let answer = unsafe { WaitForSingleObject(event.as_raw_handle(), milliseconds) };
        assert!(answer == WAIT_OBJECT_0 || answer == WAIT_TIMEOUT, "the event can be waited for");
        answer == WAIT_OBJECT_0
    }

    #[test]
    fn the_event_is_set_when_the_wait_is_over_and_not_before() {
        let socket = Socket::new();
        let pending = start(&socket);
        assert!(!is_over(&pending, 0));
        socket.receive_something();
        assert!(is_over(&pending, INFINITE));
        // What the socket has written is no answer of a driver: its status is the entry's handle.
        assert!(pending.finish().is_err());
    }

    #[test]
    fn an_event_that_an_app_sets_does_not_end_a_wait() {
        let socket = Socket::new();
        let pending = start(&socket);
        let event = pending.as_handle().try_clone_to_owned().expect("a second handle");
        // SAFETY: an event, open.
        assert_ne!(unsafe { SetEvent(event.as_raw_handle()) }, 0);
        std::thread::scope(|scope| {
            let end = scope.spawn(|| pending.finish());
            // Either it has found out, and waits on, or it has taken that for the end.
            while is_set(&event, 0) && !end.is_finished() {
                std::thread::yield_now();
            }
            assert!(!end.is_finished(), "it is over, and the kernel has its memory still");
            socket.receive_something();
            assert!(end.join().expect("no panic there").is_err(), "the answer of no driver");
        });
    }

    #[test]
    fn a_wait_ends_with_the_thread_that_started_it() {
        let socket = Socket::new();
        let pending = std::thread::scope(|scope| scope.spawn(|| start(&socket)).join().expect("no panic there"));
        assert_eq!(pending.finish(), Err(Status::INTERRUPTED.into()));
    }

    #[test]
    fn a_panic_gives_a_wait_up_before_its_memory() {
        let socket = Socket::new();
        let pending = start(&socket);
        let event = pending.as_handle().try_clone_to_owned().expect("a second handle");
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _pending = pending;
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(panicked.is_err() && is_set(&event, 0));
    }

    #[test]
    fn a_wait_that_is_cancelled_was_interrupted_and_another_one_goes_on() {
        let socket = Socket::new();
        let (first, second) = (start(&socket), start(&socket));
        assert_eq!(first.cancel(), Err(Status::INTERRUPTED.into()));
        assert!(!is_over(&second, 0), "only the one that was cancelled");
        drop(second); // returns when the kernel has let the memory go
    }

    /// Windows numbers handles from the lowest that is free: how many there are shows in the next one.
    #[test]
    fn a_wait_leaves_no_handle_behind_however_it_ends() {
        let socket = Socket::new();
        let next = || Event::new().expect("an event").0.as_raw_handle().addr();
        let before = next();
        for round in 0..3000 {
            let wait = start(&socket);
            match round % 3 {
                0 => drop(wait),
                1 => assert_eq!(wait.cancel(), Err(Status::INTERRUPTED.into())),
                // A request that is refused at once has made its event already.
                _ => {
                    let none = IntWait::read_from_bytes(&[0xFF; 56]).expect("as long as a wait");
                    assert!(PendingWait::send(&socket.handle, 0xFFFF_FFFF, none).is_err());
                }
            }
        }
        // The other tests have a few; handles are four apart.
        assert!(next() < before + 4 * 500, "{} after {before}", next());
    }
}
