//! How the kernel reaches an app's memory for one request.
use crate::{context, page::KERNEL_AT, user_memory::UserMemory};
use kp_abi::{Status, request::Answer, zerocopy::IntoBytes};
use kp_core::host::{DirectUserRequest, Faulted, RawPages, UserRequest};
use std::{
    mem::MaybeUninit,
    num::NonZeroUsize,
    ptr::{self, NonNull},
    slice,
};

/// One request of an app: where its struct is, and what the handle may do.
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

/// A copy to or from the app's memory is a point at which other threads may run.
pub(crate) fn copy_point(
    what: &'static str,
    len: usize,
    f: impl FnOnce() -> Result<(), Status>,
) -> Result<(), Faulted> {
    context::current().machine.schedule_point(what, len as u64);
    f().map_err(|_| Faulted)
}

impl UserRequest for AppRequest<'_> {
    fn read_header(&mut self, head: &mut [u8]) -> Result<(), Faulted> {
        copy_point("take", head.len(), || {
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
        copy_point("answer", 8, || self.memory.write(self.answer_at, &both.to_le_bytes()))
    }
    fn access_ok(&self, address: u64, len: usize) -> bool {
        address.checked_add(len as u64).is_some_and(|end| end <= KERNEL_AT)
    }
    fn copy_from_user(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), Faulted> {
        copy_point("fetch", bytes.len(), || self.memory.read(address, bytes))
    }
    fn copy_to_user(&mut self, address: u64, bytes: &[u8]) -> Result<(), Faulted> {
        copy_point("store", bytes.len(), || self.memory.write(address, bytes))
    }
    fn is_read_write(&self) -> bool {
        self.read_write
    }
    fn can_pin(&self) -> bool {
        true
    }
    fn pin(&mut self, address: u64, len: NonZeroUsize, write: bool) -> kp_core::Result<NonNull<RawPages>> {
        let machine = &context::current().machine;
        machine.schedule_point("pin", len.get() as u64);
        if machine.fails() {
            return Err(Status::NO_MEMORY.into());
        }
        let pages = self.memory.pin(address, len.get(), write)?;
        NonNull::new(ptr::without_provenance_mut(machine.add_pages(pages))).ok_or(Status::NO_MEMORY.into())
    }
    fn takes_direct_calls(&self) -> bool {
        true
    }
}

impl DirectUserRequest for AppRequest<'_> {
    fn copy_in<'b>(&mut self, bytes: &'b mut [MaybeUninit<u8>]) -> Result<&'b mut [u8], Faulted> {
        let mut copy = vec![0; bytes.len()];
        copy_point("begin", copy.len(), || {
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
        copy_point("end", bytes.len(), || self.memory.write(self.address.wrapping_add(BODY_AT), bytes))
    }
}
