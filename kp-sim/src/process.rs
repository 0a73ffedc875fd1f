//! A simulated process: who opens handles, its signals, and its memory.
use crate::user_memory::UserMemory;
use kp_core::{Caller, host::WaitKind};
use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering::*},
};

/// No signal, any, one that ends the process.
const NO_SIGNAL: u8 = 0;
const SIGNAL: u8 = 1;
const FATAL: u8 = 2;

/// A simulated process: who opens handles, and the memory that requests point into. A clone is the same process.
///
/// ```
/// use kp_sim::Process;
/// let process = Process::new(7).admin();
/// let address = process.memory().place(&42u64);
/// assert_eq!(process.memory().value(address), Ok(42u64));
/// ```
#[derive(Clone)]
pub struct Process {
    number: u32,
    is_admin: bool,
    is_32bit: bool,
    memory: UserMemory,
    signal: Arc<AtomicU8>,
}

impl Process {
    /// An ordinary process of 64 bits with this number.
    pub fn new(number: u32) -> Self {
        Self { number, is_admin: false, is_32bit: false, memory: UserMemory::default(), signal: Arc::default() }
    }

    /// It may administer the machine.
    pub fn admin(mut self) -> Self {
        self.is_admin = true;
        self
    }

    /// It is a 32-bit process.
    pub fn is_32bit(mut self) -> Self {
        self.is_32bit = true;
        self
    }

    /// Its memory.
    pub fn memory(&self) -> &UserMemory {
        &self.memory
    }

    /// A thread of it, which is sent signals of its own.
    #[cfg(target_os = "linux")]
    pub(crate) fn thread(&self) -> Self {
        Self { signal: Arc::default(), ..self.clone() }
    }

    pub(crate) fn caller(&self) -> Caller {
        Caller::new(self.number, self.is_admin, self.is_32bit)
    }

    pub(crate) fn send_signal(&self, fatal: bool) {
        self.signal.fetch_max(if fatal { FATAL } else { SIGNAL }, AcqRel);
    }

    /// Is a fatal signal pending?
    pub(crate) fn is_killed(&self) -> bool {
        self.signal.load(Acquire) == FATAL
    }

    /// Does a signal end a wait of this kind? One that is handled is gone then; a fatal one stays.
    pub(crate) fn take_signal(&self, kind: WaitKind) -> bool {
        match self.signal.load(Acquire) {
            FATAL => kind != WaitKind::Uninterruptible,
            SIGNAL if kind == WaitKind::Interruptible => {
                self.signal.compare_exchange(SIGNAL, NO_SIGNAL, AcqRel, Relaxed).is_ok()
            }
            _ => false,
        }
    }
}
