//! Requests whose addresses are those of live buffers, and the system call that sends them: all the unsafe code there
//! is.
use kp_abi::request::{self, Request};
use std::{fs::File, io, marker::PhantomData, os::fd::AsRawFd};

/// A request ready for the kernel.
///
/// INVARIANT: `bytes` are one whole request struct of number `nr`; its `size` is their length, and each address and
/// length in it describes memory that is borrowed for `'a`, mutably if the kernel writes there.
pub struct Prepared<'a> {
    nr: u32,
    bytes: &'a mut [u8],
    buffers: PhantomData<&'a mut [u8]>,
}

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

impl<'a> Prepared<'a> {
    /// A request without addresses.
    pub fn plain<R: Plain>(request: &'a mut R) -> Self {
        Self::new(request)
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
        Self { nr: R::NR, bytes: request.as_mut_bytes(), buffers: PhantomData }
    }

    /// The request's number.
    #[cfg(test)]
    pub fn nr(&self) -> u32 {
        self.nr
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
pub fn ioctl(file: &File, request: Prepared<'_>) -> Result<(), i32> {
    let number = request::ioctl_number(request.nr) as libc::Ioctl;
    // SAFETY: the descriptor is open as long as `file` is borrowed. A kp driver reads and writes the struct, no further
    // than `size`, and the buffers that it names, and nothing after it returns: by the invariant all of them are
    // borrowed until then, and no bytes are invalid in them. The number belongs to kp: it has kp's type and no length,
    // and other drivers refuse it.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), number, request.bytes.as_mut_ptr()) };
    if answer >= 0 { Ok(()) } else { Err(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)) }
}
