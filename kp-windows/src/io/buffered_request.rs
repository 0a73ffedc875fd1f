//! The two buffers of a DeviceIoControl. The in-buffer has the struct and what its addresses would point to; the out-buffer gets the
//! reply's head, and a call's reply behind it. The addresses on the wire are 0, and are offsets here.
use crate::{
    io::{
        irp::{DeviceControl, Irp},
        seh,
    },
    nt::DeviceControlParameters,
};
use core::marker::PhantomData;
use kp_abi::{Status, TransportStatus, request::Head};
use kp_core::host::{Faulted, UserRequest};

/// Bits of a control code: how the buffers come.
const METHOD: u32 = 3;
const METHOD_BUFFERED: u32 = 0;
const METHOD_NEITHER: u32 = 3;

const HEAD: usize = size_of::<Head>();
/// Offset of the status in a head, and of status and detail together.
const STATUS_AT: usize = 8;

/// One request's buffers, at least a head long each. They may be the same memory. INVARIANT: both are the kernel's, or lie in user memory
/// (probed) of the process that runs.
pub(crate) struct BufferedRequest<'irp> {
    input: *const u8,
    input_len: usize,
    output: *mut u8,
    output_len: usize,
    /// End of what was written.
    written: usize,
    irp: PhantomData<&'irp Irp<DeviceControl>>,
}

impl<'irp> BufferedRequest<'irp> {
    /// Those that the request's control code asks for, in the context in which it came. Passive.
    pub(crate) fn of(irp: &'irp Irp<DeviceControl>) -> Result<Self, Status> {
        let parameters = irp.parameters();
        match parameters.io_control_code & METHOD {
            METHOD_NEITHER => Self::unbuffered(irp, &parameters),
            _ => Self::buffered(irp),
        }
    }

    /// Those of a request whose buffer is the kernel's: at any level up to DISPATCH_LEVEL, in any context.
    pub(crate) fn buffered(irp: &'irp Irp<DeviceControl>) -> Result<Self, Status> {
        let parameters = irp.parameters();
        if parameters.io_control_code & METHOD != METHOD_BUFFERED {
            return Err(TransportStatus::UNKNOWN_REQUEST.status());
        }
        // One buffer of the kernel, as long as the longer one of both.
        let buffer = irp.system_buffer();
        Self::new(buffer, buffer, &parameters)
    }

    /// The in-buffer of a request whose out-buffer is memory that it is about, and a place for the reply.
    pub(crate) fn direct(irp: &'irp Irp<DeviceControl>, reply: &'irp mut [u8]) -> Result<Self, Status> {
        let mut parameters = irp.parameters();
        parameters.output_buffer_length = reply.len() as u32;
        Self::new(irp.system_buffer(), reply.as_mut_ptr(), &parameters)
    }

    /// Those of a request whose buffers are the app's own memory: while it is in the app's context.
    fn unbuffered(irp: &'irp Irp<DeviceControl>, parameters: &DeviceControlParameters) -> Result<Self, Status> {
        if !irp.is_of_this_process() {
            return Err(TransportStatus::WRONG_CONTEXT.status());
        }
        let (input, output) = (parameters.type3_input_buffer.cast::<u8>(), irp.user_buffer());
        let (input_len, output_len) = lengths(parameters);
        seh::probe(input, input_len).map_err(|_| TransportStatus::FAULT.status())?;
        seh::probe(output, output_len).map_err(|_| TransportStatus::FAULT.status())?;
        Self::new(input, output, parameters)
    }

    /// HeaderTooSmall: a buffer has no room for a head. The buffers are as the type's invariant says.
    fn new(input: *const u8, output: *mut u8, parameters: &DeviceControlParameters) -> Result<Self, Status> {
        let (input_len, output_len) = lengths(parameters);
        if input_len < HEAD || output_len < HEAD {
            return Err(TransportStatus::HEADER_TOO_SMALL.status());
        }
        Ok(Self { input, input_len, output, output_len, written: 0, irp: PhantomData })
    }

    /// How many bytes of the out-buffer are the reply.
    pub(crate) fn written(&self) -> usize {
        self.written
    }

    fn read(&self, at: usize, bytes: &mut [u8]) -> Result<(), Faulted> {
        if at > self.input_len || bytes.len() > self.input_len - at {
            return Err(Faulted);
        }
        // SAFETY: inside the in-buffer, by the invariant; `bytes` is writable.
        unsafe { seh::copy(bytes.as_mut_ptr(), self.input.wrapping_add(at), bytes.len()) }
    }

    fn write(&mut self, at: usize, bytes: &[u8]) -> Result<(), Faulted> {
        if at > self.output_len || bytes.len() > self.output_len - at {
            return Err(Faulted);
        }
        // SAFETY: inside the out-buffer, by the invariant; `bytes` is readable.
        unsafe { seh::copy(self.output.wrapping_add(at), bytes.as_ptr(), bytes.len()) }?;
        self.written = self.written.max(at + bytes.len());
        Ok(())
    }
}

/// Of the in-buffer and of the out-buffer.
fn lengths(parameters: &DeviceControlParameters) -> (usize, usize) {
    (parameters.input_buffer_length as usize, parameters.output_buffer_length as usize)
}

impl UserRequest for BufferedRequest<'_> {
    fn read_header(&mut self, head: &mut [u8]) -> Result<(), Faulted> {
        self.read(0, head)?;
        let size = head.first_chunk().map_or(0, |size| u32::from_le_bytes(*size));
        if size as usize > self.input_len {
            // `size` finds it cut short too, whatever the app has made of the size by then.
            self.input_len = HEAD;
            return Err(Faulted);
        }
        self.write(STATUS_AT, &Status::NO_REPLY.0.to_le_bytes())
    }
    /// A struct that ends behind the buffer has no size: that makes it TooSmall.
    fn read_size(&mut self) -> Result<u32, Faulted> {
        let mut size = [0; 4];
        self.read(0, &mut size)?;
        let size = u32::from_le_bytes(size);
        Ok(if size as usize > self.input_len { 0 } else { size })
    }
    fn read_tail(&mut self, at: usize, bytes: &mut [u8]) -> Result<(), Faulted> {
        self.read(at, bytes)
    }
    /// Cut at the out-buffer's end: the app knows no more.
    fn write(&mut self, at: usize, bytes: &[u8]) -> Result<(), Faulted> {
        match self.output_len.saturating_sub(at) {
            0 => Ok(()),
            room => self.write(at, &bytes[..bytes.len().min(room)]),
        }
    }
    fn answer(&mut self, status: u32, detail: u32) -> Result<(), Faulted> {
        self.write(STATUS_AT, &(u64::from(detail) << 32 | u64::from(status)).to_le_bytes())
    }
    /// Asked with addresses; there are none.
    fn access_ok(&self, _: u64, _: usize) -> bool {
        false
    }
    fn input_range(&self, address: u64, inline: usize, len: usize) -> Result<u64, Faulted> {
        let fits = inline <= self.input_len && len <= self.input_len - inline;
        if address == 0 && fits { Ok(inline as u64) } else { Err(Faulted) }
    }
    fn output_range(&self, address: u64, inline: usize, len: usize) -> Result<u64, Faulted> {
        let fits = inline <= self.output_len && len <= self.output_len - inline;
        if address == 0 && fits { Ok(inline as u64) } else { Err(Faulted) }
    }
    fn copy_from_user(&mut self, address: u64, bytes: &mut [u8]) -> Result<(), Faulted> {
        self.read(address as usize, bytes)
    }
    fn copy_to_user(&mut self, address: u64, bytes: &[u8]) -> Result<(), Faulted> {
        self.write(address as usize, bytes)
    }
    /// The I/O manager has compared the access that the control code asks for with the handle's.
    fn is_read_write(&self) -> bool {
        true
    }
    /// By requests of their own, which are `pinned`'s.
    fn can_pin(&self) -> bool {
        true
    }
}
