//! An app's memory, behind the kernel's user-access functions.
use crate::c::*;
use kp_core::host::{Door, Faulted};

/// One ioctl's argument.
pub struct UserDoor {
    address: usize,
    /// End of what the caller may name.
    limit: u64,
    read_write: bool,
}

/// Bytes up to which words are copied one by one, in one user-access section: less than the call of the general copy costs.
const WORDS: usize = 256;

impl UserDoor {
    /// The request at user address `address`, which nobody has checked. `limit` is the end of user memory, for this caller.
    #[inline]
    pub fn new(address: usize, limit: u64, read_write: bool) -> Self {
        Self { address, limit, read_write }
    }
}

impl UserDoor {
    /// Few bytes, then status and detail.
    #[inline]
    fn put_words(&mut self, address: u64, bytes: &[u8], status: u32, detail: u32) -> Result<(), Faulted> {
        let (head, answer) = (self.address.wrapping_add(8), u64::from(detail) << 32 | u64::from(status));
        // SAFETY: `bytes` is readable; user memory is only touched through the kernel's own checked access.
        done(unsafe { kp_c_user_reply(address, bytes.as_ptr(), bytes.len(), head, answer) })
    }
}

fn done(ok: bool) -> Result<(), Faulted> {
    if ok { Ok(()) } else { Err(Faulted) }
}

impl Door for UserDoor {
    #[inline]
    fn take(&mut self, head: &mut [u8]) -> Result<(), Faulted> {
        // SAFETY: `head` is writable; user memory is only touched through the kernel's own checked access.
        done(unsafe { kp_c_user_take(head.as_mut_ptr(), self.address, head.len()) })
    }
    fn size(&mut self) -> Result<u32, Faulted> {
        let mut size = [0; 4];
        self.fetch(self.address as u64, &mut size)?;
        Ok(u32::from_le_bytes(size))
    }
    fn tail(&mut self, at: usize, bytes: &mut [u8]) -> Result<(), Faulted> {
        self.fetch((self.address as u64).wrapping_add(at as u64), bytes)
    }
    fn put(&mut self, at: usize, bytes: &[u8]) -> Result<(), Faulted> {
        self.store((self.address as u64).wrapping_add(at as u64), bytes)
    }
    #[inline]
    fn answer(&mut self, status: u32, detail: u32) -> Result<(), Faulted> {
        done(kp_c_user_answer(self.address.wrapping_add(8), u64::from(detail) << 32 | u64::from(status)))
    }
    #[inline]
    fn put_answer(&mut self, at: usize, bytes: &[u8], status: u32, detail: u32) -> Result<(), Faulted> {
        self.put_words(self.address as u64 + at as u64, bytes, status, detail)
    }
    #[inline]
    fn in_range(&self, address: u64, len: usize) -> bool {
        let len = len as u64;
        len <= self.limit && address <= self.limit - len
    }
    #[inline]
    fn fetch(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), Faulted> {
        if bytes.len() <= WORDS {
            // SAFETY: `bytes` is writable; as in `take`.
            return done(unsafe { kp_c_user_fetch_words(bytes.as_mut_ptr(), address, bytes.len()) });
        }
        // SAFETY: `bytes` is writable; as in `take`.
        done(unsafe { kp_c_user_fetch(bytes.as_mut_ptr(), address, bytes.len()) })
    }
    #[inline]
    fn store(&mut self, address: u64, bytes: &[u8]) -> Result<(), Faulted> {
        // SAFETY: `bytes` is readable; as in `take`.
        done(unsafe { kp_c_user_store(address, bytes.as_ptr(), bytes.len()) })
    }
    #[inline]
    fn reply(&mut self, address: u64, bytes: &[u8]) -> Result<(), Faulted> {
        let (status, detail) = (kp_abi::Status::OK.0, bytes.len() as u32);
        if bytes.len() > WORDS {
            self.store(address, bytes)?;
            return self.answer(status, detail);
        }
        self.put_words(address, bytes, status, detail)
    }
    #[inline]
    fn is_read_write(&self) -> bool {
        self.read_write
    }
}
