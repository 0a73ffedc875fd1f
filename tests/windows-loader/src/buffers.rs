//! A request's buffers: as a process names them, and as the I/O manager hands them on.
use crate::{
    cpu,
    irp::{BUFFERED_OUTPUT, SYSTEM_BUFFER},
    kernel::Kernel,
    nt::{IoStackLocation, Irp, NtStatus, STATUS_ACCESS_VIOLATION, STATUS_INSUFFICIENT_RESOURCES, method},
    space::PAGE,
    trap,
};
use std::ptr;

/// A buffer as a process names it: nobody promises that it is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buffer {
    /// Where.
    pub address: usize,
    /// How many bytes.
    pub len: u32,
}

impl Buffer {
    /// What will be read.
    pub fn input(bytes: &[u8]) -> Self {
        Self { address: bytes.as_ptr().expose_provenance(), len: bytes.len() as u32 }
    }

    /// What may be written.
    pub fn output(bytes: &mut [u8]) -> Self {
        Self { address: bytes.as_mut_ptr().expose_provenance(), len: bytes.len() as u32 }
    }
}

/// How much the pool gives for a system buffer.
const MOST: u32 = 16 << 20;

/// A request's buffers, as its method has them.
#[derive(Default)]
pub(crate) struct Buffers {
    system: usize,
    system_len: usize,
    mdl: usize,
    has_output: bool,
    is_neither: bool,
}

impl Buffers {
    pub(crate) fn capture(kernel: &Kernel, code: u32, input: Buffer, output: Buffer) -> Result<Self, NtStatus> {
        let mut buffers = Self::default();
        let readable = |buffer: Buffer| kernel.space.is_user(buffer.address, buffer.len as usize);
        let how = code & 3;
        if how == method::NEITHER {
            buffers.is_neither = true;
            return Ok(buffers);
        }
        if !readable(input) || !readable(output) {
            return Err(STATUS_ACCESS_VIOLATION);
        }
        if input.len.max(output.len) > MOST {
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        if how == method::BUFFERED && output.len > 0 {
            touch(output, true)?;
        }
        let len = match how {
            method::BUFFERED => input.len.max(output.len),
            _ => input.len,
        } as usize;
        if how != method::BUFFERED && output.len > 0 {
            touch(output, how == method::OUT_DIRECT)?;
            buffers.mdl = kernel.page_lists.make(kernel, output.address, output.len as usize, false);
        }
        if len > 0 {
            buffers.system = kernel.pool.allocate(&kernel.space, len, SYSTEM_BUFFER, false);
            buffers.system_len = len;
            if !trap::copy(buffers.system, input.address, input.len as usize) {
                cpu::checked(kernel.pool.free(buffers.system, None));
                if buffers.mdl != 0 {
                    cpu::checked(kernel.page_lists.unlock(kernel, buffers.mdl));
                }
                return Err(STATUS_ACCESS_VIOLATION);
            }
        }
        buffers.has_output = how == method::BUFFERED;
        Ok(buffers)
    }

    pub(crate) fn put(&self, irp: &mut Irp, location: &mut IoStackLocation, input: Buffer) {
        irp.system_buffer = ptr::with_exposed_provenance_mut(self.system);
        irp.overlay[0] = self.system_len;
        irp.mdl_address = ptr::with_exposed_provenance_mut(self.mdl);
        if self.has_output {
            irp.flags |= BUFFERED_OUTPUT;
        }
        if self.is_neither {
            location.parameters[3] = input.address;
        }
    }
}

/// Is every page of a buffer there?
fn touch(buffer: Buffer, write: bool) -> Result<(), NtStatus> {
    let end = buffer.address + buffer.len as usize;
    let mut at = buffer.address;
    while at < end {
        let mut byte = 0u8;
        let place = (&raw mut byte).expose_provenance();
        if !trap::copy(place, at, 1) || write && !trap::copy(at, place, 1) {
            return Err(STATUS_ACCESS_VIOLATION);
        }
        at = (at + PAGE) / PAGE * PAGE;
    }
    Ok(())
}
