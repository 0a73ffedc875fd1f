//! An app's memory, behind the kernel's user-access functions.
use crate::c::*;
use core::mem::MaybeUninit;
use kp_abi::request::Answer;
use kp_core::host::{DirectUserRequest, Faulted, UserRequest};

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
    /// The request at user address `address`, which nobody has checked. `limit` is the end of user memory, for this caller; `mode` is the
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

impl IoctlRequest {
    /// Few bytes, then status and detail.
    #[inline]
    fn put_words(&mut self, address: u64, bytes: &[u8], status: u32, detail: u32) -> Result<(), Faulted> {
        // SAFETY: `bytes` is readable; user memory is only touched through the kernel's own checked access.
        done(unsafe { kp_c_user_reply(address, bytes.as_ptr(), bytes.len(), self.answer, answer(status, detail)) })
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
        // SAFETY: `head` is writable; user memory is only touched through the kernel's own checked access.
        done(unsafe { kp_c_user_take(head.as_mut_ptr(), self.address, head.len()) })
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
        self.put_words(self.address as u64 + at as u64, bytes, status, detail)
    }
    #[inline]
    fn access_ok(&self, address: u64, len: usize) -> bool {
        let len = len as u64;
        len <= self.limit && address <= self.limit - len
    }
    #[inline]
    fn copy_from_user(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), Faulted> {
        if bytes.len() <= WORDS {
            // SAFETY: `bytes` is writable; as in `take`.
            return done(unsafe { kp_c_user_fetch_words(bytes.as_mut_ptr(), address, bytes.len()) });
        }
        // SAFETY: `bytes` is writable; as in `take`.
        done(unsafe { kp_c_user_fetch(bytes.as_mut_ptr(), address, bytes.len()) })
    }
    #[inline]
    fn check_usercopy(&mut self, object: &[u8], longest: usize) {
        if longest > WORDS {
            // SAFETY: a readable range.
            unsafe { kp_c_user_vouch(object.as_ptr(), object.len()) }
        }
    }
    #[inline]
    fn copy_data_from_user(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), Faulted> {
        if bytes.len() <= WORDS {
            return self.copy_from_user(address, bytes);
        }
        // SAFETY: `bytes` is writable; as in `take`.
        done(unsafe { kp_c_user_fetch_vouched(bytes.as_mut_ptr(), address, bytes.len()) })
    }
    #[inline]
    fn copy_to_user(&mut self, address: u64, bytes: &[u8]) -> Result<(), Faulted> {
        // SAFETY: `bytes` is readable; as in `take`.
        done(unsafe { kp_c_user_store(address, bytes.as_ptr(), bytes.len()) })
    }
    #[inline]
    fn reply(&mut self, address: u64, bytes: &[u8]) -> Result<(), Faulted> {
        let (status, detail) = (kp_abi::Status::OK.0, bytes.len() as u32);
        if bytes.len() > WORDS {
            // SAFETY: `bytes` is readable; as in `take`.
            return done(unsafe {
                kp_c_user_reply_vouched(address, bytes.as_ptr(), bytes.len(), self.answer, answer(status, detail))
            });
        }
        self.put_words(address, bytes, status, detail)
    }
    #[inline]
    fn is_read_write(&self) -> bool {
        self.mode & (MODE_READ | MODE_WRITE) == MODE_READ | MODE_WRITE
    }
    fn takes_direct_calls(&self) -> bool {
        true
    }
}

impl DirectUserRequest for IoctlRequest {
    #[inline]
    fn copy_in<'b>(&mut self, bytes: &'b mut [MaybeUninit<u8>]) -> Result<&'b mut [u8], Faulted> {
        let (at, len) = (bytes.as_mut_ptr().cast::<u8>(), bytes.len());
        // SAFETY: `bytes` is writable; as in `take`.
        done(unsafe { kp_c_user_begin(at, self.address, len) })?;
        // SAFETY: all of it was written, and it is borrowed for as long.
        Ok(unsafe { core::slice::from_raw_parts_mut(at, len) })
    }
    #[inline]
    fn copy_out(&mut self, bytes: &[u8]) -> Result<(), Faulted> {
        // SAFETY: `bytes` is readable; as in `take`.
        done(unsafe { kp_c_user_end(self.address.wrapping_add(ANSWER), bytes.as_ptr(), bytes.len()) })
    }
}
