//! Processes: whose requests they are, and what ends with them.
use crate::{
    cpu,
    file::{File, Handle},
    kernel::{Kernel, Machine, lock},
    nt::NtStatus,
    rule::Rule,
    security::Token,
};
use std::{
    sync::{
        Arc, Mutex, Weak,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Instant,
};

/// A process. Its memory is that of the test: every address that is not the simulated kernel's.
pub struct Process {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) id: usize,
    pub(crate) token: Token,
    pub(crate) is_32bit: bool,
    dying: AtomicBool,
    files: Mutex<Vec<Weak<File>>>,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Several requests at once; FILE_FLAG_OVERLAPPED.
    Overlapped,
    /// One request after the other.
    Synchronous,
}

impl Machine {
    /// Starts a process.
    pub fn process(&self, token: Token) -> Arc<Process> {
        self.make_process(token, false)
    }

    /// Starts a 32-bit process.
    pub fn process_32bit(&self, token: Token) -> Arc<Process> {
        self.make_process(token, true)
    }

    fn make_process(&self, token: Token, is_32bit: bool) -> Arc<Process> {
        static NEXT: AtomicUsize = AtomicUsize::new(0x100);
        Arc::new(Process {
            kernel: self.kernel.clone(),
            id: NEXT.fetch_add(4, Relaxed),
            token,
            is_32bit,
            dying: AtomicBool::new(false),
            files: Mutex::default(),
        })
    }
}

impl Process {
    /// CreateFile: opens a device by its path, `\\.\kp-echo`, for this [access](crate::security::access).
    ///
    /// # Errors
    /// What the object manager or the driver answers.
    ///
    /// # Panics
    /// If the run has ended.
    pub fn open(self: &Arc<Self>, path: &str, access: u32, mode: Mode) -> Result<Handle, NtStatus> {
        self.open_as(None, path, access, mode)
    }

    /// The same on a thread that impersonates somebody.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    ///
    /// # Panics
    /// If the run has ended.
    pub fn open_as(
        self: &Arc<Self>,
        impersonated: impl Into<Option<Token>>,
        path: &str,
        access: u32,
        mode: Mode,
    ) -> Result<Handle, NtStatus> {
        let impersonated = impersonated.into();
        let opened = cpu::attached(&self.kernel, Some(self), || File::open(self, impersonated, path, access, mode));
        let file = opened?;
        let mut files = lock(&self.files);
        files.retain(|file| file.strong_count() > 0);
        files.push(Arc::downgrade(&file));
        Ok(Handle { file })
    }

    /// CancelIoEx of every request of the process. How many there were.
    ///
    /// # Panics
    /// If the run ends.
    pub fn cancel_all(&self) -> usize {
        let files: Vec<Arc<File>> = lock(&self.files).iter().filter_map(Weak::upgrade).collect();
        cpu::attached(&self.kernel, None, || files.iter().map(|file| file.cancel_all()).sum())
    }

    /// The process ends: its requests are cancelled, its threads leave the kernel, its handles are closed, and the driver has let go of
    /// them when this returns.
    ///
    /// # Panics
    /// If the run has ended, or a request does not end.
    pub fn exit(&self) {
        self.dying.store(true, Release);
        self.kernel.dispatcher.changed();
        let files: Vec<Arc<File>> = lock(&self.files).iter().filter_map(Weak::upgrade).collect();
        cpu::attached(&self.kernel, None, || {
            // A thread may be about to make one: it is found the next time.
            let since = Instant::now();
            loop {
                if since.elapsed() > self.kernel.patience() {
                    let what = "a process has ended, and its pages are locked by a request that was never completed";
                    let is_locked = self.kernel.page_lists.locked() != 0;
                    cpu::fail(match is_locked {
                        true => Rule::ProcessUnlocked.broken(what),
                        false => Rule::Cancelled.broken("a process has ended, and a request of its is never completed"),
                    });
                }
                let busy = files.iter().filter(|file| !file.end_requests()).count();
                if busy == 0 {
                    break;
                }
                if self.kernel.is_stopped() {
                    cpu::abandon();
                }
                std::thread::yield_now();
            }
            for file in &files {
                file.close();
                file.wait_until_closed();
            }
        });
    }

    /// Is it about to end?
    pub(crate) fn is_dying(&self) -> bool {
        self.dying.load(Acquire)
    }
}
