//! Requests that stay pending as long as a buffer is registered.
//!
//! Windows cancels what a thread has begun when the thread ends, unless the handle belongs to a completion port: so they are begun by a thread of their
//! own, which lasts as long as the connection.
#![expect(unsafe_code, reason = "std has no DeviceIoControl")]
use super::{errors::last_status, event::Event};
use kp_abi::{Result, Status};
use std::{
    fs::File,
    os::windows::io::AsRawHandle,
    ptr::{self, with_exposed_provenance_mut},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    thread,
};
use windows_sys::Win32::{
    Foundation::{ERROR_IO_PENDING, GetLastError, STATUS_PENDING},
    System::IO::{DeviceIoControl, OVERLAPPED},
};

/// Begins requests, and keeps what Windows writes when they are over. The thread and its requests go when this is dropped.
#[derive(Debug)]
pub struct Keeper(Mutex<Option<Sender<Job>>>);

/// A request to be begun.
struct Job {
    code: u32,
    input: Vec<u8>,
    start: u64,
    len: u32,
    begun: Sender<Result<(), Status>>,
}

impl Keeper {
    /// For requests of this handle, which stays open as long as the thread.
    pub(super) fn new(file: Arc<File>) -> Self {
        let (jobs, wanted) = mpsc::channel();
        let thread = thread::Builder::new().name("kp buffers".into());
        let spawned = thread.spawn(move || serve(&file, &wanted));
        Self(Mutex::new(spawned.is_ok().then_some(jobs)))
    }

    /// Begins a request that stays pending. An error: it is over already.
    pub(super) fn keep(&self, code: u32, input: &[u8], start: u64, len: u64) -> Result<(), Status> {
        let len = u32::try_from(len).map_err(|_| Status::PAYLOAD_TOO_LARGE)?;
        let (begun, told) = mpsc::channel();
        let job = Job { code, input: input.to_vec(), start, len, begun };
        let jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = jobs.as_ref().and_then(|jobs| jobs.send(job).ok());
        drop(jobs);
        sent.ok_or(Status::NO_MEMORY)?;
        told.recv().unwrap_or(Err(Status::NO_MEMORY))
    }
}

/// What Windows writes when a request is over, and its event.
struct Pending {
    io: Box<OVERLAPPED>,
    _event: Event,
}

/// The thread.
fn serve(file: &File, wanted: &Receiver<Job>) {
    let mut pending: Vec<Pending> = Vec::new();
    while let Ok(job) = wanted.recv() {
        // SAFETY: in the list until it is over; the kernel may write it at any time.
        pending.retain(|one| unsafe { (&raw const one.io.Internal).read_volatile() } == STATUS_PENDING as usize);
        let begun = begin(file, &job).map(|one| pending.extend(one));
        let _ = job.begun.send(begun);
    }
    // Windows cancels them as this thread ends, and writes what it has to say of them then or, if the device has the memory, later.
    pending.into_iter().for_each(|one| _ = Box::leak(Box::new(one)));
}

/// Begins a request. None: it has succeeded at once.
fn begin(file: &File, job: &Job) -> Result<Option<Pending>, Status> {
    let event = Event::new()?;
    let mut io = Box::new(OVERLAPPED { hEvent: event.0.as_raw_handle(), ..OVERLAPPED::default() });
    let memory = with_exposed_provenance_mut(job.start as usize);
    let (input, input_len) = (job.input.as_ptr().cast(), job.input.len() as u32);
    // SAFETY: the handle is open, and for overlapped use. The input is copied before this returns. The driver uses the memory until the request is
    // over, which is what it was registered for; `io` stays in its box until then.
    let done = unsafe {
        DeviceIoControl(file.as_raw_handle(), job.code, input, input_len, memory, job.len, ptr::null_mut(), &mut *io)
    };
    if done != 0 {
        return Ok(None);
    }
    // SAFETY: reads this thread's last error.
    if unsafe { GetLastError() } != ERROR_IO_PENDING {
        return Err(last_status());
    }
    Ok(Some(Pending { io, _event: event }))
}
