//! An app's memory, behind the kernel's user-access functions.
use crate::c::*;
use core::{
    mem::MaybeUninit,
    num::NonZeroUsize,
    ptr::{self, NonNull},
};
use kp_abi::{TransportStatus, request::Answer};
use kp_core::{
    Result, Status,
    host::{DirectUserRequest, Faulted, RawPages, UserRequest},
};

/// -ENOMEM.
const NO_MEMORY: i32 = -12;
/// -EINTR, of a page that is waited for while the process is killed.
const INTERRUPTED: i32 = -4;
/// -EOPNOTSUPP.
const NOT_PINNABLE: i32 = -95;
/// -EDQUOT.
const PIN_LIMIT: i32 = -122;

/// One ioctl's argument.
#[derive(Clone, Copy)]
pub struct IoctlRequest {
    address: usize,
    /// Where the answer goes.
    answer: usize,
    /// End of what the caller may name.
    limit: u64,
    /// [`MODE_READ`] and [`MODE_WRITE`].
    mode: u32,
}

/// Bytes of a direct call's answer, at its buffer's start.
const ANSWER: usize = size_of::<Answer>();

/// Bit of a file's mode: it was opened for reading. Linux's FMODE_READ.
pub const MODE_READ: u32 = 1;
/// Bit of a file's mode: it was opened for writing. Linux's FMODE_WRITE.
pub const MODE_WRITE: u32 = 2;

/// Bytes up to which words are copied one by one, in one user-access section: less than the call of the general copy costs.
const WORDS: usize = 256;

impl IoctlRequest {
    /// The request at user address `address`, which is not checked yet. `limit` is the end of user memory, for this caller; `mode` is the
    /// file's.
    #[inline]
    pub fn new(address: usize, limit: u64, mode: u32) -> Self {
        Self { address, answer: address.wrapping_add(8), limit, mode }
    }

    /// The buffer of a direct call at user address `address`; else as [`new`](Self::new).
    #[inline]
    pub fn direct(address: usize, limit: u64, mode: u32) -> Self {
        Self { address, answer: address, limit, mode }
    }
}

/// One of the C functions that copy `len` bytes from user memory.
type Fetch = unsafe extern "C" fn(to: *mut u8, address: usize, len: usize) -> bool;
/// One of the C functions that copy `len` bytes to user memory.
type Store = unsafe extern "C" fn(address: usize, from: *const u8, len: usize) -> bool;
/// One of the C functions that copy `len` bytes to user memory, and then an answer to `head`.
type Reply = unsafe extern "C" fn(address: usize, from: *const u8, len: usize, head: usize, answer: u64) -> bool;

/// Fills `bytes` from user memory.
#[inline(always)]
fn fetch(function: Fetch, bytes: &mut [u8], address: usize) -> Result<(), Faulted> {
    // SAFETY: `bytes` is writable, and the function touches user memory through the kernel's checked access alone.
    done(unsafe { function(bytes.as_mut_ptr(), address, bytes.len()) })
}

/// Copies `bytes` to user memory.
#[inline(always)]
fn store(function: Store, address: usize, bytes: &[u8]) -> Result<(), Faulted> {
    // SAFETY: `bytes` is readable, and the function touches user memory through the kernel's checked access alone.
    done(unsafe { function(address, bytes.as_ptr(), bytes.len()) })
}

impl IoctlRequest {
    /// Copies `bytes` to user memory, then status and detail.
    #[inline(always)]
    fn put(&self, function: Reply, address: u64, bytes: &[u8], status: u32, detail: u32) -> Result<(), Faulted> {
        let (from, len, answer) = (bytes.as_ptr(), bytes.len(), answer(status, detail));
        // SAFETY: `bytes` is readable, and the function touches user memory through the kernel's checked access alone.
        done(unsafe { function(address as usize, from, len, self.answer, answer) })
    }
}

/// Status and detail as they stand side by side.
fn answer(status: u32, detail: u32) -> u64 {
    u64::from(detail) << 32 | u64::from(status)
}

fn done(ok: bool) -> Result<(), Faulted> {
    if ok { Ok(()) } else { Err(Faulted) }
}

impl UserRequest for IoctlRequest {
    #[inline]
    fn read_header(&mut self, head: &mut [u8]) -> Result<(), Faulted> {
        fetch(kp_c_user_take, head, self.address)
    }
    fn read_size(&mut self) -> Result<u32, Faulted> {
        let mut size = [0; 4];
        self.copy_from_user(self.address as u64, &mut size)?;
        Ok(u32::from_le_bytes(size))
    }
    fn read_tail(&mut self, at: usize, bytes: &mut [u8]) -> Result<(), Faulted> {
        self.copy_from_user((self.address as u64).wrapping_add(at as u64), bytes)
    }
    fn write(&mut self, at: usize, bytes: &[u8]) -> Result<(), Faulted> {
        self.copy_to_user((self.address as u64).wrapping_add(at as u64), bytes)
    }
    #[inline]
    fn answer(&mut self, status: u32, detail: u32) -> Result<(), Faulted> {
        done(kp_c_user_answer(self.answer, answer(status, detail)))
    }
    #[inline]
    fn write_with_answer(&mut self, at: usize, bytes: &[u8], status: u32, detail: u32) -> Result<(), Faulted> {
        self.put(kp_c_user_reply, self.address as u64 + at as u64, bytes, status, detail)
    }
    #[inline]
    fn access_ok(&self, address: u64, len: usize) -> bool {
        let len = len as u64;
        len <= self.limit && address <= self.limit - len
    }
    #[inline]
    fn copy_from_user(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), Faulted> {
        if bytes.len() <= WORDS {
            return fetch(kp_c_user_fetch_words, bytes, address as usize);
        }
        fetch(kp_c_user_fetch, bytes, address as usize)
    }
    #[inline]
    fn check_usercopy(&mut self, object: &[u8], longest: usize) {
        if longest > WORDS {
            // SAFETY: `object` is readable.
            unsafe { kp_c_user_vouch(object.as_ptr(), object.len()) }
        }
    }
    #[inline]
    fn copy_data_from_user(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), Faulted> {
        if bytes.len() <= WORDS {
            return self.copy_from_user(address, bytes);
        }
        fetch(kp_c_user_fetch_vouched, bytes, address as usize)
    }
    #[inline]
    fn copy_to_user(&mut self, address: u64, bytes: &[u8]) -> Result<(), Faulted> {
        store(kp_c_user_store, address as usize, bytes)
    }
    #[inline]
    fn reply(&mut self, address: u64, bytes: &[u8]) -> Result<(), Faulted> {
        let (status, detail) = (kp_abi::Status::OK.0, bytes.len() as u32);
        if bytes.len() > WORDS {
            return self.put(kp_c_user_reply_vouched, address, bytes, status, detail);
        }
        self.put(kp_c_user_reply, address, bytes, status, detail)
    }
    #[inline]
    fn is_read_write(&self) -> bool {
        self.mode & (MODE_READ | MODE_WRITE) == MODE_READ | MODE_WRITE
    }
    fn can_pin(&self) -> bool {
        true
    }
    fn pin(&mut self, address: u64, len: NonZeroUsize, write: bool) -> Result<NonNull<RawPages>> {
        let mut pinned = ptr::null_mut();
        // SAFETY: `pinned` is writable; the kernel checks the range.
        match unsafe { kp_c_pages_pin(address as usize, len.get(), write, &mut pinned) } {
            0 => NonNull::new(pinned.cast()).ok_or(Status::NO_MEMORY.into()),
            NO_MEMORY => Err(Status::NO_MEMORY.into()),
            PIN_LIMIT => Err(Status::PIN_LIMIT.into()),
            NOT_PINNABLE => Err(Status::NOT_PINNABLE.into()),
            INTERRUPTED => Err(Status::INTERRUPTED.into()),
            _ => Err(TransportStatus::FAULT.status().into()),
        }
    }
    fn takes_direct_calls(&self) -> bool {
        true
    }
}

impl DirectUserRequest for IoctlRequest {
    #[inline]
    fn copy_in<'b>(&mut self, bytes: &'b mut [MaybeUninit<u8>]) -> Result<&'b mut [u8], Faulted> {
        let (at, len) = (bytes.as_mut_ptr().cast::<u8>(), bytes.len());
        // SAFETY: `bytes` is writable, and the function touches user memory through the kernel's checked access alone.
        done(unsafe { kp_c_user_begin(at, self.address, len) })?;
        // SAFETY: the function has written all of it, and it is borrowed for as long.
        Ok(unsafe { core::slice::from_raw_parts_mut(at, len) })
    }
    #[inline]
    fn copy_out(&mut self, bytes: &[u8]) -> Result<(), Faulted> {
        store(kp_c_user_end, self.address.wrapping_add(ANSWER), bytes)
    }
}
