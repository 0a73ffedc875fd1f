//! An app's side of the request: its process, its memory, and one request's way through it.
use crate::port::wait_kind;
use crate::{context, machine::lock};
use kp_abi::{
    Status, TransportStatus,
    request::Answer,
    zerocopy::{FromBytes, Immutable, IntoBytes},
};
use kp_core::{
    Caller,
    host::{DirectUserRequest, Faulted, UserRequest},
};
use std::{
    collections::BTreeMap,
    mem::MaybeUninit,
    slice,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering::*},
    },
};

/// A page, in bytes: the unit of mapping, and of faults.
pub const PAGE: usize = 4096;
/// Addresses from here on are the kernel's.
pub const KERNEL_AT: u64 = 1 << 47;
/// Where the first mapping is. All of them fit a 32-bit process.
const FIRST_AT: u64 = 0x1000_0000;

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
    pub(crate) fn take_signal(&self, kind: u32) -> bool {
        match self.signal.load(Acquire) {
            FATAL => kind != wait_kind::UNINTERRUPTIBLE,
            SIGNAL if kind == wait_kind::INTERRUPTIBLE => {
                self.signal.compare_exchange(SIGNAL, NO_SIGNAL, AcqRel, Relaxed).is_ok()
            }
            _ => false,
        }
    }
}

/// What an app may do with a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read and write.
    ReadWrite,
    /// Read only: an answer stored there is a fault.
    ReadOnly,
}

struct Page {
    access: Access,
    bytes: Box<[AtomicU8]>,
}

#[derive(Default)]
struct Pages {
    /// By page number.
    pages: BTreeMap<u64, Arc<Page>>,
    mapped: u64,
}

/// An app's memory. Any thread may read and write it while the kernel does: bytes are atomic, so a race has an outcome.
#[derive(Clone, Default)]
pub struct UserMemory(Arc<Mutex<Pages>>);

impl UserMemory {
    /// Maps `len` bytes of zeros, in whole pages. What lies before and behind is not mapped.
    pub fn map(&self, len: usize, access: Access) -> u64 {
        let mut pages = lock(&self.0);
        let count = len.div_ceil(PAGE).max(1) as u64;
        let first = FIRST_AT / PAGE as u64 + pages.mapped;
        pages.mapped += count + 1;
        for number in first..first + count {
            let bytes = (0..PAGE).map(|_| AtomicU8::new(0)).collect();
            pages.pages.insert(number, Arc::new(Page { access, bytes }));
        }
        first * PAGE as u64
    }

    /// Unmaps the pages that `len` bytes at `address` lie in.
    pub fn unmap(&self, address: u64, len: usize) {
        let mut pages = lock(&self.0);
        for number in page_numbers(address, len) {
            pages.pages.remove(&number);
        }
    }

    /// Changes what may be done with the pages that `len` bytes at `address` lie in.
    pub fn protect(&self, address: u64, len: usize, access: Access) {
        let mut pages = lock(&self.0);
        for number in page_numbers(address, len) {
            if let Some(page) = pages.pages.get_mut(&number) {
                // The bytes move: an access that is under way still sees the old page, as with a stale translation.
                let bytes = page.bytes.iter().map(|byte| AtomicU8::new(byte.load(Relaxed))).collect();
                *page = Arc::new(Page { access, bytes });
            }
        }
    }

    /// Reads as the app does. Fault: a byte is not mapped; those before it were read.
    pub fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), Status> {
        self.each(address, bytes.len(), |page, at, range| {
            for (byte, shared) in bytes[range.clone()].iter_mut().zip(&page.bytes[at..at + range.len()]) {
                *byte = shared.load(Relaxed);
            }
            Ok(())
        })
    }

    /// Writes as the app does. Fault: a byte is not mapped or read-only; those before it were written.
    pub fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Status> {
        self.each(address, bytes.len(), |page, at, range| {
            if page.access == Access::ReadOnly {
                return Err(TransportStatus::FAULT.status());
            }
            for (byte, shared) in bytes[range.clone()].iter().zip(&page.bytes[at..at + range.len()]) {
                shared.store(*byte, Relaxed);
            }
            Ok(())
        })
    }

    /// Writes whatever the app itself may do: what a read-only page had in it before.
    pub fn fill(&self, address: u64, bytes: &[u8]) -> Result<(), Status> {
        self.each(address, bytes.len(), |page, at, range| {
            for (byte, shared) in bytes[range.clone()].iter().zip(&page.bytes[at..at + range.len()]) {
                shared.store(*byte, Relaxed);
            }
            Ok(())
        })
    }

    /// Maps a value by itself, a request's struct say, and gives its address.
    pub fn place<T: IntoBytes + Immutable>(&self, value: &T) -> u64 {
        let address = self.map(size_of::<T>(), Access::ReadWrite);
        let written = self.write(address, value.as_bytes());
        debug_assert!(written.is_ok(), "just mapped");
        address
    }

    /// Reads a value. Errors: as [`read`](Self::read).
    pub fn value<T: FromBytes + IntoBytes>(&self, address: u64) -> Result<T, Status> {
        let mut value = T::new_zeroed();
        self.read(address, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Runs `f` with each page that the range meets, where in the page, and which of the range's bytes.
    fn each(
        &self,
        address: u64,
        len: usize,
        mut f: impl FnMut(&Page, usize, std::ops::Range<usize>) -> Result<(), Status>,
    ) -> Result<(), Status> {
        let mut done = 0;
        while done < len {
            let here = address
                .checked_add(done as u64)
                .filter(|&here| here < KERNEL_AT)
                .ok_or(TransportStatus::FAULT.status())?;
            let page =
                lock(&self.0).pages.get(&(here / PAGE as u64)).cloned().ok_or(TransportStatus::FAULT.status())?;
            let at = (here % PAGE as u64) as usize;
            let count = (PAGE - at).min(len - done);
            f(&page, at, done..done + count)?;
            done += count;
        }
        Ok(())
    }
}

fn page_numbers(address: u64, len: usize) -> std::ops::Range<u64> {
    let page = PAGE as u64;
    address / page..(address + len as u64).div_ceil(page)
}

/// One request at the request.
#[derive(Clone, Copy)]
pub(crate) struct AppRequest<'a> {
    pub(crate) memory: &'a UserMemory,
    pub(crate) address: u64,
    /// Where status and detail go.
    pub(crate) answer_at: u64,
    pub(crate) read_write: bool,
}

/// Offset of the status in a request's head, and of status and detail together.
pub(crate) const STATUS_AT: u64 = 8;
/// Offset of what a direct call's buffer has behind its answer.
const BODY_AT: u64 = size_of::<Answer>() as u64;

/// A copy through the request is a point at which other threads run.
fn at_door(what: &'static str, len: usize, f: impl FnOnce() -> Result<(), Status>) -> Result<(), Faulted> {
    context::current().machine.schedule_point(what, len as u64);
    f().map_err(|_| Faulted)
}

impl UserRequest for AppRequest<'_> {
    fn read_header(&mut self, head: &mut [u8]) -> Result<(), Faulted> {
        at_door("take", head.len(), || {
            self.memory.read(self.address, head)?;
            self.memory.write(self.answer_at, &Status::NO_REPLY.0.to_le_bytes())
        })
    }
    fn read_size(&mut self) -> Result<u32, Faulted> {
        let mut size = [0; 4];
        self.copy_from_user(self.address, &mut size)?;
        Ok(u32::from_le_bytes(size))
    }
    fn read_tail(&mut self, at: usize, bytes: &mut [u8]) -> Result<(), Faulted> {
        self.copy_from_user(self.address.wrapping_add(at as u64), bytes)
    }
    fn write(&mut self, at: usize, bytes: &[u8]) -> Result<(), Faulted> {
        self.copy_to_user(self.address.wrapping_add(at as u64), bytes)
    }
    fn answer(&mut self, status: u32, detail: u32) -> Result<(), Faulted> {
        let both = u64::from(detail) << 32 | u64::from(status);
        at_door("answer", 8, || self.memory.write(self.answer_at, &both.to_le_bytes()))
    }
    fn access_ok(&self, address: u64, len: usize) -> bool {
        address.checked_add(len as u64).is_some_and(|end| end <= KERNEL_AT)
    }
    fn copy_from_user(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), Faulted> {
        at_door("fetch", bytes.len(), || self.memory.read(address, bytes))
    }
    fn copy_to_user(&mut self, address: u64, bytes: &[u8]) -> Result<(), Faulted> {
        at_door("store", bytes.len(), || self.memory.write(address, bytes))
    }
    fn is_read_write(&self) -> bool {
        self.read_write
    }
    fn takes_direct_calls(&self) -> bool {
        true
    }
}

impl DirectUserRequest for AppRequest<'_> {
    fn copy_in<'b>(&mut self, bytes: &'b mut [MaybeUninit<u8>]) -> Result<&'b mut [u8], Faulted> {
        let mut copy = vec![0; bytes.len()];
        at_door("begin", copy.len(), || {
            self.memory.read(self.address.wrapping_add(BODY_AT), &mut copy)?;
            self.memory.write(self.answer_at, Answer::default().as_bytes())
        })?;
        for (place, byte) in bytes.iter_mut().zip(copy) {
            place.write(byte);
        }
        let (at, len) = (bytes.as_mut_ptr().cast::<u8>(), bytes.len());
        // SAFETY: all of it was written, and it is borrowed for as long.
        Ok(unsafe { slice::from_raw_parts_mut(at, len) })
    }
    fn copy_out(&mut self, bytes: &[u8]) -> Result<(), Faulted> {
        at_door("end", bytes.len(), || self.memory.write(self.address.wrapping_add(BODY_AT), bytes))
    }
}
