//! The two buffers of a DeviceIoControl, as the kernel reaches them: the in-buffer has the struct and what its addresses would point to, the
//! out-buffer gets the struct, or a call's head and reply. Addresses are 0 in the struct, and offsets here.
use crate::user_request::{STATUS_AT, copy_point};
use kp_abi::{Status, TransportStatus, request::Head};
use kp_core::host::{Faulted, UserRequest};

const HEAD: usize = size_of::<Head>();

/// One request's buffers, at least a head long each.
pub(crate) struct ControlRequest<'a> {
    input: &'a [u8],
    output: &'a mut [u8],
    read_write: bool,
    /// End of what was written.
    written: usize,
}

impl<'a> ControlRequest<'a> {
    /// HeaderTooSmall: a buffer has no room for a head. What the in-buffer has is in the out-buffer too before anything is answered, as with
    /// METHOD_BUFFERED, where they are one.
    pub(crate) fn new(input: &'a [u8], output: &'a mut [u8], read_write: bool) -> Result<Self, Status> {
        if input.len() < HEAD || output.len() < HEAD {
            return Err(TransportStatus::HEADER_TOO_SMALL.status());
        }
        output.iter_mut().zip(input).for_each(|(out, byte)| *out = *byte);
        Ok(Self { input, output, read_write, written: 0 })
    }

    /// How many bytes of the out-buffer are the reply.
    pub(crate) fn written(&self) -> usize {
        self.written
    }

    fn part(&self, at: usize, len: usize) -> Result<&[u8], Faulted> {
        self.input.get(at..).and_then(|rest| rest.get(..len)).ok_or(Faulted)
    }

    fn read(&self, what: &'static str, at: usize, bytes: &mut [u8]) -> Result<(), Faulted> {
        copy_point(what, bytes.len(), || Ok(()))?;
        bytes.copy_from_slice(self.part(at, bytes.len())?);
        Ok(())
    }

    fn store(&mut self, what: &'static str, at: usize, bytes: &[u8]) -> Result<(), Faulted> {
        copy_point(what, bytes.len(), || Ok(()))?;
        let room = self.output.get_mut(at..).and_then(|rest| rest.get_mut(..bytes.len())).ok_or(Faulted)?;
        room.copy_from_slice(bytes);
        self.written = self.written.max(at + bytes.len());
        Ok(())
    }
}

impl UserRequest for ControlRequest<'_> {
    fn read_header(&mut self, head: &mut [u8]) -> Result<(), Faulted> {
        self.read("take", 0, head)?;
        let size = head.first_chunk().map_or(0, |size| u32::from_le_bytes(*size));
        if size as usize > self.input.len() {
            return Err(Faulted);
        }
        self.store("take", STATUS_AT as usize, &Status::NO_REPLY.0.to_le_bytes())
    }
    /// A struct that ends behind the buffer has no size: that makes it TooSmall.
    fn read_size(&mut self) -> Result<u32, Faulted> {
        let mut size = [0; 4];
        self.read("fetch", 0, &mut size)?;
        let size = u32::from_le_bytes(size);
        Ok(if size as usize > self.input.len() { 0 } else { size })
    }
    fn read_tail(&mut self, at: usize, bytes: &mut [u8]) -> Result<(), Faulted> {
        self.read("fetch", at, bytes)
    }
    /// Cut at the out-buffer's end: the app knows no more.
    fn write(&mut self, at: usize, bytes: &[u8]) -> Result<(), Faulted> {
        match self.output.len().saturating_sub(at) {
            0 => Ok(()),
            room => self.store("store", at, &bytes[..bytes.len().min(room)]),
        }
    }
    fn answer(&mut self, status: u32, detail: u32) -> Result<(), Faulted> {
        self.store("answer", STATUS_AT as usize, &(u64::from(detail) << 32 | u64::from(status)).to_le_bytes())
    }
    /// Asked with addresses; there are none.
    fn access_ok(&self, _: u64, _: usize) -> bool {
        false
    }
    fn input_range(&self, address: u64, inline: usize, len: usize) -> Result<u64, Faulted> {
        self.part(inline, len)?;
        if address == 0 { Ok(inline as u64) } else { Err(Faulted) }
    }
    fn output_range(&self, address: u64, inline: usize, len: usize) -> Result<u64, Faulted> {
        let fits = inline <= self.output.len() && len <= self.output.len() - inline;
        if address == 0 && fits { Ok(inline as u64) } else { Err(Faulted) }
    }
    fn copy_from_user(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), Faulted> {
        self.read("fetch", address as usize, bytes)
    }
    fn copy_to_user(&mut self, address: u64, bytes: &[u8]) -> Result<(), Faulted> {
        self.store("store", address as usize, bytes)
    }
    fn is_read_write(&self) -> bool {
        self.read_write
    }
}
