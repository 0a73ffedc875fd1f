//! An open handle, and the requests that go through it: all the unsafe code there is, but for a wait that is pending.
#![expect(unsafe_code, reason = "std has no DeviceIoControl")]
use super::{errors::last_status, event::Event, kept::Keeper};
use kp_abi::{Result, Status};
use std::{
    fs::{File, OpenOptions},
    io,
    mem::offset_of,
    os::windows::{fs::OpenOptionsExt, io::AsRawHandle},
    process, ptr,
    sync::{
        Arc, OnceLock,
        atomic::{Ordering, fence},
    },
};
use windows_sys::Win32::{
    Foundation::{ERROR_IO_PENDING, FALSE, GetLastError, HANDLE, STATUS_PENDING, WAIT_OBJECT_0},
    Storage::FileSystem::FILE_FLAG_OVERLAPPED,
    System::{
        IO::{DeviceIoControl, GetOverlappedResult, OVERLAPPED},
        Threading::{INFINITE, ResetEvent, WaitForSingleObject},
    },
};

/// The layout of OVERLAPPED (minwinbase.h), in programs of either width: the kernel writes there by it.
const _: () = {
    let (size, event) = if cfg!(target_pointer_width = "64") { (32, 24) } else { (20, 16) };
    assert!(size_of::<OVERLAPPED>() == size && offset_of!(OVERLAPPED, hEvent) == event);
    assert!(offset_of!(OVERLAPPED, Internal) == 0 && size_of::<HANDLE>() == size_of::<usize>());
};

/// An open device.
#[derive(Debug)]
pub struct Handle {
    file: Arc<File>,
    /// Made for the first request that stays pending.
    keeper: OnceLock<Keeper>,
}

impl Handle {
    /// Opens a path for reading and writing, for overlapped use.
    pub(super) fn open(path: &str) -> io::Result<Self> {
        // std's handles are not inherited.
        let file = OpenOptions::new().read(true).write(true).custom_flags(FILE_FLAG_OVERLAPPED).open(path)?;
        Ok(Self::of(file))
    }

    fn of(file: File) -> Self {
        Self { file: Arc::new(file), keeper: OnceLock::new() }
    }

    /// The handle as Windows knows it, open as long as `self` is borrowed.
    pub(super) fn raw(&self) -> HANDLE {
        self.file.as_raw_handle()
    }

    /// Who has requests that stay pending.
    pub(super) fn keeper(&self) -> &Keeper {
        self.keeper.get_or_init(|| Keeper::new(self.file.clone()))
    }
}

impl Handle {
    /// DeviceIoControl, waited for.
    pub(super) fn control(&self, code: u32, input: &[u8], output: &mut [u8]) -> Result<usize, Status> {
        let event = Event::take()?;
        let mut io = OVERLAPPED { hEvent: event.0.as_raw_handle(), ..OVERLAPPED::default() };
        let io = &raw mut io;
        // SAFETY: the handle is open, and for overlapped use. The driver reads `input` and writes `output`, no further than their
        // lengths, until the request is over; that is before this function returns, and both are borrowed until then, and `io` is there.
        // No bytes are invalid in them.
        let done = unsafe {
            DeviceIoControl(
                self.raw(),
                code,
                input.as_ptr().cast(),
                length(input),
                output.as_mut_ptr().cast(),
                length(output),
                ptr::null_mut(),
                io,
            )
        };
        let result = match done {
            // SAFETY: reads this thread's last error.
            0 if unsafe { GetLastError() } != ERROR_IO_PENDING => Err(last_status()),
            // SAFETY: the request of above, through this handle.
            _ => unsafe { finish(self, io) },
        };
        event.put_back();
        result
    }
}

/// Waits until a request is over: the number of bytes written, or the status of a transport that failed.
///
/// # Safety
/// `io` is that of a request that was started through `handle`, with an event of its own, which clears by hand.
pub(super) unsafe fn finish(handle: &Handle, io: *mut OVERLAPPED) -> Result<usize, Status> {
    // SAFETY: the caller's promise: it is there, and the kernel may write it at any time.
    let is_pending = || unsafe { (&raw const (*io).Internal).read_volatile() } == STATUS_PENDING as usize;
    // SAFETY: as above; nobody writes this one.
    let event = unsafe { (*io).hEvent };
    while is_pending() {
        // SAFETY: the request's event, open as long as the request.
        if unsafe { WaitForSingleObject(event, INFINITE) } != WAIT_OBJECT_0 {
            // The request is still under way in memory that is about to be used for something else.
            process::abort();
        }
        if is_pending() {
            // An app has set the event, which it may have for its own waits; GetOverlappedResult would take that for the end. The kernel
            // writes `Internal` before it sets the event: an end that this clears is seen above, and any later one sets it again.
            // SAFETY: as above.
            unsafe { ResetEvent(event) };
        }
    }
    // What the driver wrote before the end is read after it, in whichever thread the kernel wrote the end.
    fence(Ordering::Acquire);
    let mut written = 0;
    // SAFETY: the caller's promise; it is over, and this does not wait.
    match unsafe { GetOverlappedResult(handle.raw(), io, &mut written, FALSE) } {
        0 => Err(last_status()),
        _ => Ok(written as usize),
    }
}

/// A length that is never more than the buffer has.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use super::{super::errors::status, *};
    use std::{
        mem::ManuallyDrop,
        net::UdpSocket,
        os::windows::io::{AsRawSocket, FromRawHandle},
        thread,
    };
    use windows_sys::Win32::{Foundation::RtlNtStatusToDosError, System::IO::CancelIoEx};

    #[test]
    fn every_row_of_the_transport_comes_back_as_itself() {
        for row in Status::TABLE.iter().filter(|row| row.status.is_transport()) {
            // SAFETY: a look-up in a table.
            let error = unsafe { RtlNtStatusToDosError(row.ntstatus as i32) };
            assert_eq!(status(error), row.status, "{}: Windows' error {error}", row.name);
        }
        assert_eq!(status(0), Status::NO_REPLY, "no error is no row");
        assert_eq!(status(317), Status::NO_REPLY, "what Windows says of an NTSTATUS that it does not know");
    }

    #[test]
    fn what_windows_answers_by_itself_is_no_missing_reply() {
        for error in [8, 1784, 1816, 1453, 1455] {
            assert_eq!(status(error), Status::NO_MEMORY, "error {error}");
        }
        for error in [433, 55, 1167, 1617] {
            assert_eq!(status(error), Status::DEVICE_GONE, "error {error}");
        }
    }

    /// A socket, whose driver pends the request IOCTL_AFD_POLL until there is something to receive.
    pub(crate) struct Socket {
        socket: UdpSocket,
        pub(crate) handle: ManuallyDrop<Handle>,
    }

    pub(crate) const AFD_POLL: u32 = 0x12024;

    impl Socket {
        pub(crate) fn new() -> Self {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
            // SAFETY: an open handle, which the socket closes and this copy does not.
            let file = unsafe { File::from_raw_handle(socket.as_raw_socket() as *mut _) };
            Self { socket, handle: ManuallyDrop::new(Handle::of(file)) }
        }

        /// A wait without end: timeout, one entry, not exclusive; and the entry: handle, AFD_POLL_RECEIVE, status.
        pub(crate) fn request(&self) -> [u8; 56] {
            let (socket, events) = (self.socket.as_raw_socket().to_le_bytes(), 16 + size_of::<usize>());
            let mut info = [0u8; 56];
            info[..8].copy_from_slice(&i64::MAX.to_le_bytes());
            info[8..12].copy_from_slice(&1u32.to_le_bytes());
            info[16..events].copy_from_slice(&socket);
            info[events..events + 4].copy_from_slice(&1u32.to_le_bytes());
            info
        }

        fn poll(&self) -> Result<usize, Status> {
            self.handle.control(AFD_POLL, &self.request(), &mut [0; 56])
        }

        pub(crate) fn receive_something(&self) {
            let address = self.socket.local_addr().expect("it is bound");
            UdpSocket::bind("127.0.0.1:0").and_then(|sender| sender.send_to(b"x", address)).expect("sent");
        }
    }

    #[test]
    fn a_request_that_pends_is_waited_for() {
        let socket = Socket::new();
        let result = thread::scope(|scope| {
            let poll = scope.spawn(|| socket.poll());
            socket.receive_something();
            poll.join().expect("no panic there")
        });
        assert_eq!(result, Ok(24 + size_of::<usize>()), "the info, with what there is to receive");
    }

    #[test]
    fn a_request_that_is_cancelled_was_interrupted() {
        let socket = Socket::new();
        let result = thread::scope(|scope| {
            let poll = scope.spawn(|| socket.poll());
            while !poll.is_finished() {
                // SAFETY: all requests of an open handle; there may be none yet.
                unsafe { CancelIoEx(socket.handle.raw(), ptr::null()) };
                thread::yield_now();
            }
            poll.join().expect("no panic there")
        });
        assert_eq!(result, Err(Status::INTERRUPTED));
    }
}
