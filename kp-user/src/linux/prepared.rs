//! Requests whose addresses are those of live buffers, and the system call that sends them: all the unsafe code there
//! is.
use kp_abi::{
    request::{self, Answer, Request, Segments},
    zerocopy::IntoBytes,
};
use std::{fs::File, io, marker::PhantomData, os::fd::AsRawFd};

/// A request ready for the kernel.
///
/// INVARIANT: `bytes` are one whole request struct of the request with this ioctl number, and its `size` is their length; or
/// they are the buffer of a direct call, as long as its message needs it. Each address and length in them describes
/// memory that is borrowed for `'a`, mutably if the kernel writes there.
pub struct Prepared<'a> {
    number: u32,
    bytes: &'a mut [u8],
    buffers: PhantomData<&'a mut [u8]>,
}

/// Bytes of a direct call's answer.
const ANSWER: usize = size_of::<Answer>();

/// A request without addresses.
pub trait Plain: Request {}
impl Plain for request::Query {}
impl Plain for request::Close {}
impl Plain for request::IntWait {}
impl Plain for request::IntCount {}
impl Plain for request::IntDisable {}
impl Plain for request::RingSetup {}
impl Plain for request::RingEnter {}
impl Plain for request::RingTeardown {}
impl Plain for request::BufferRelease {}

impl<'a> Prepared<'a> {
    /// A request without addresses.
    pub fn plain<R: Plain>(request: &'a mut R) -> Self {
        Self::new(request)
    }

    /// BUFFER_REGISTER: the kernel looks for the memory itself, and takes nothing of it.
    pub fn buffer_register(register: &'a mut request::BufferRegister) -> Self {
        Self::new(register)
    }

    /// OPEN with its data, at most `u32::MAX` bytes of them.
    pub fn open(open: &'a mut request::Open, data: &'a [u8]) -> Self {
        (open.data_addr, open.data_len) = read(data);
        Self::new(open)
    }

    /// INT_ENABLE with its data, at most `u32::MAX` bytes of them.
    pub fn int_enable(enable: &'a mut request::IntEnable, data: &'a [u8]) -> Self {
        (enable.data_addr, enable.data_len) = read(data);
        Self::new(enable)
    }

    /// SCHEMA with room for its answer, at most `u32::MAX` bytes of it.
    pub fn schema(schema: &'a mut request::Schema, room: &'a mut [u8]) -> Self {
        schema.len = length(room);
        schema.addr = room.as_mut_ptr().expose_provenance() as u64;
        Self::new(schema)
    }

    /// CALL with arguments, data and room for the reply, at most `u32::MAX` bytes of each.
    #[inline]
    pub fn call(call: &'a mut request::Call, args: &'a [u8], data: &'a [u8], reply: &'a mut [u8]) -> Self {
        (call.args_addr, call.args_len) = read(args);
        (call.in_addr, call.in_len) = read(data);
        call.out_len = length(reply);
        call.out_addr = reply.as_mut_ptr().expose_provenance() as u64;
        Self::new(call)
    }

    #[inline]
    fn new<R: Request>(request: &'a mut R) -> Self {
        request.head().size = size_of::<R>() as u32;
        Self { number: request::ioctl_number(R::NR), bytes: request.as_mut_bytes(), buffers: PhantomData }
    }

    /// A direct call. The caller has made sure that app and driver agree on the message's shape, that it is this one, and that `buffer` is as
    /// long as it needs; behind the answer the caller has put the arguments.
    #[inline]
    pub fn fixed(message: u32, buffer: &'a mut [u8]) -> Self {
        Self { number: request::direct_number(message), bytes: buffer, buffers: PhantomData }
    }

    /// A direct call with segments: data and room for the reply, at most `u32::MAX` bytes of each. Otherwise as
    /// [`fixed`](Self::fixed); the arguments stand behind the segments, which are filled in here.
    #[inline]
    pub fn segments(message: u32, buffer: &'a mut [u8], data: &'a [u8], reply: &'a mut [u8]) -> Self {
        let (in_addr, in_len) = read(data);
        let (out_len, out_addr) = (length(reply), reply.as_mut_ptr().expose_provenance() as u64);
        let segments = Segments { in_len, out_len, in_addr, out_addr };
        buffer[ANSWER..ANSWER + size_of::<Segments>()].copy_from_slice(segments.as_bytes());
        Self { number: request::direct_number(message), bytes: buffer, buffers: PhantomData }
    }

    /// The request's ioctl number.
    #[cfg(test)]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The request's struct.
    #[cfg(test)]
    pub fn bytes(&mut self) -> &mut [u8] {
        self.bytes
    }
}

/// Address and length of what the kernel reads.
#[inline]
fn read(bytes: &[u8]) -> (u64, u32) {
    (bytes.as_ptr().expose_provenance() as u64, length(bytes))
}

/// A length that is never more than the buffer has. The driver refuses far shorter ones.
#[inline]
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// Sends a request. `Err`: the errno.
#[inline]
#[expect(unsafe_code, reason = "std has no ioctl")]
pub fn ioctl(file: &File, request: Prepared<'_>) -> Result<u32, i32> {
    let number = request.number as libc::Ioctl;
    // SAFETY: the descriptor is open as long as `file` is borrowed. A kp driver reads and writes the struct, no further
    // than `size`, or what the message needs of a direct call's buffer, and the buffers that are named there, and
    // nothing after it returns: by the invariant all of them are borrowed until then, and no bytes are invalid in them.
    // The number belongs to kp: it has kp's type, and other drivers refuse it.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), number, request.bytes.as_mut_ptr()) };
    u32::try_from(answer).map_err(|_| io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}

/// RING_ENTER in its short form. `Err`: the errno.
#[inline]
#[expect(unsafe_code, reason = "std has no ioctl")]
pub fn enter(file: &File, to_submit: u32) -> Result<u32, i32> {
    let number = request::ioctl_number(kp_abi::ring::ENTER_DIRECT) as libc::Ioctl;
    // SAFETY: the descriptor is open as long as `file` is borrowed, and the argument is a number to a kp driver. Other drivers refuse
    // the ioctl's.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), number, to_submit as libc::c_ulong) };
    u32::try_from(answer).map_err(|_| io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}
