//! The app's side of one request, as a port hands it in: every access may fail, and nothing is read twice.
#![deny(unsafe_code)]
use super::RawPages;
use crate::{Result, Status};
use core::{mem::MaybeUninit, num::NonZeroUsize, ptr::NonNull};

/// An address that cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faulted;

/// One request's struct and buffers in the app's memory. A port makes one per request; every byte behind it is hostile.
pub trait UserRequest {
    /// Copies the struct's first bytes, once, and then stores NoReply in its status: an answer that cannot be written is found before
    /// anything was done.
    fn read_header(&mut self, head: &mut [u8]) -> Result<(), Faulted>;
    /// Reads the struct's `size` alone. For the answer when `read_header` has failed.
    fn read_size(&mut self) -> Result<u32, Faulted>;
    /// Copies bytes of the struct behind those of `read_header`.
    fn read_tail(&mut self, at: usize, bytes: &mut [u8]) -> Result<(), Faulted>;
    /// Writes bytes of the struct.
    fn write(&mut self, at: usize, bytes: &[u8]) -> Result<(), Faulted>;
    /// Writes status and detail: the whole answer of a CALL, in one store.
    fn answer(&mut self, status: u32, detail: u32) -> Result<(), Faulted>;
    /// Writes bytes of the struct, and then status and detail.
    #[inline]
    fn write_with_answer(&mut self, at: usize, bytes: &[u8], status: u32, detail: u32) -> Result<(), Faulted> {
        self.write(at, bytes)?;
        self.answer(status, detail)
    }
    /// Can this range be the app's at all? Reads and writes nothing.
    fn access_ok(&self, address: u64, len: usize) -> bool;
    /// Where [`copy_from_user`](Self::copy_from_user) finds `len` bytes: at the `address` that the struct names, if that can be the app's. A port whose
    /// requests carry their data themselves looks `inline` bytes behind the struct's start instead.
    #[inline]
    fn input_range(&self, address: u64, inline: usize, len: usize) -> Result<u64, Faulted> {
        let _ = inline;
        if self.access_ok(address, len) { Ok(address) } else { Err(Faulted) }
    }
    /// Where [`copy_to_user`](Self::copy_to_user) may put `len` bytes of reply: at the `address` that the struct names, if that can be the app's. A
    /// port whose replies carry their data themselves looks `inline` bytes behind the reply's start instead.
    #[inline]
    fn output_range(&self, address: u64, inline: usize, len: usize) -> Result<u64, Faulted> {
        let _ = inline;
        if self.access_ok(address, len) { Ok(address) } else { Err(Faulted) }
    }
    /// The object that [`copy_data_from_user`](Self::copy_data_from_user) and [`reply`](Self::reply) copy to and from, at most `longest` bytes at once, for a
    /// port whose kernel checks such objects: once, rather than at each copy.
    #[inline]
    fn check_usercopy(&mut self, object: &[u8], longest: usize) {
        let _ = (object, longest);
    }
    /// As [`copy_from_user`](Self::copy_from_user), to bytes of the object that was vouched for.
    #[inline]
    fn copy_data_from_user(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), Faulted> {
        self.copy_from_user(address, bytes)
    }
    /// Copies from the app's memory.
    fn copy_from_user(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), Faulted>;
    /// Copies to the app's memory.
    fn copy_to_user(&mut self, address: u64, bytes: &[u8]) -> Result<(), Faulted>;
    /// The whole answer of a CALL that succeeded: the reply's bytes, then status and detail.
    #[inline]
    fn reply(&mut self, address: u64, bytes: &[u8]) -> Result<(), Faulted> {
        if !bytes.is_empty() {
            self.copy_to_user(address, bytes)?;
        }
        self.answer(kp_abi::Status::OK.0, bytes.len() as u32)
    }
    /// Was the handle opened for reading and writing?
    fn is_read_write(&self) -> bool;
    /// Can the port keep an app's memory where it is?
    fn can_pin(&self) -> bool {
        false
    }
    /// Keeps `len` bytes of the app's memory from `address` on, whole pages of 4096, where they are, until they are freed as pages. `write`: they
    /// are written too. In the app's context; reads and writes nothing.
    ///
    /// Errors: Fault (as the transport's), NotPinnable, PinLimit, NoMemory.
    fn pin(&mut self, address: u64, len: NonZeroUsize, write: bool) -> Result<NonNull<RawPages>> {
        let _ = (address, len, write);
        Err(Status::NOT_PINNABLE.into())
    }
    /// Does the port take direct calls, as a [`DirectUserRequest`]?
    fn takes_direct_calls(&self) -> bool {
        false
    }
}

/// A user that direct calls come through too. Then a buffer takes the struct's place: the answer is written at its start, and what the app
/// sends and gets stands behind it.
pub trait DirectUserRequest: UserRequest {
    /// Copies what the app sends, once, and clears the answer's place: one that cannot be written is found before anything was done.
    fn copy_in<'b>(&mut self, bytes: &'b mut [MaybeUninit<u8>]) -> Result<&'b mut [u8], Faulted>;
    /// Writes a reply over what the app has sent.
    fn copy_out(&mut self, bytes: &[u8]) -> Result<(), Faulted>;
}
