//! A connection through a device's name.
//!
//! A request goes as the bytes of docs/abi.md: the in-buffer has the struct and, behind it, what its addresses would point to; the
//! out-buffer gets the struct back, or, for a call, the head and the reply.
#[cfg(test)]
mod tests;

use super::{
    answer::{answer, notification},
    control::DeviceControl,
};
#[cfg(windows)]
use super::{control::Handle, pending::PendingWait};
use crate::{Connection, IntEnabled, Notification};
use kp_abi::{
    Counters, Result, Status, TransportStatus, limits,
    request::{self, Head, Request, control_code},
    ring::PAGE,
    zerocopy::{FromBytes, IntoBytes},
};
use std::cell::Cell;

const HEAD: usize = size_of::<Head>();

/// A device that is open through anything that carries DeviceIoControl: a handle of Windows, or a simulated one.
///
/// A handle of Windows is for overlapped use: requests of several threads run at once, and each call here returns when its own is over. A
/// program that this process starts does not inherit it.
#[derive(Debug)]
pub struct ControlNode<K> {
    kernel: K,
}

/// A plugin's open device.
#[cfg(windows)]
pub type Node = ControlNode<Handle>;

impl<K: DeviceControl> ControlNode<K> {
    /// A handle that is open already. Starts no session.
    pub fn over(kernel: K) -> Self {
        Self { kernel }
    }
}

#[cfg(windows)]
impl ControlNode<Handle> {
    /// Opens a device by its path, `\\.\kp-edu.0`, for reading and writing. Starts no session.
    pub fn open(path: &str) -> std::io::Result<Self> {
        Ok(Self { kernel: Handle::open(path)? })
    }
}

impl<K: DeviceControl> Connection for ControlNode<K> {
    fn query(&self, chain_at: u32) -> Result<request::Query> {
        plain(&self.kernel, request::Query { chain_at, ..Request::new() })
    }

    fn open(&self, open: &mut request::Open, data: &[u8]) -> Result<()> {
        (open.data_addr, open.data_len) = (0, length(data));
        send(&self.kernel, open, data)
    }

    fn call(&self, message: u32, flags: u32, args: &[u8], data: &[u8], reply: &mut [u8]) -> Result<usize> {
        let mut call = request::Call { message, ..Request::new() };
        call.head.flags = flags;
        (call.args_len, call.in_len, call.out_len) = (length(args), length(data), length(reply));
        let mut buffers = Buffers::take();
        let Buffers { input, output } = &mut buffers;
        input.clear();
        input.extend_from_slice(call.as_bytes());
        input.extend_from_slice(args);
        input.resize(input.len().next_multiple_of(8), 0);
        input.extend_from_slice(data);
        let answer = call_with(&self.kernel, input, output, call.head, reply);
        buffers.put_back();
        answer
    }

    fn close(&self) -> Result<()> {
        plain(&self.kernel, request::Close::new()).map(|_| ())
    }

    fn int_enable(&self, kinds: u32, min: u32, max: u32, data: &[u8]) -> Result<IntEnabled> {
        let data_len = length(data);
        let mut enable = request::IntEnable { kinds, min, max, data_len, ..Request::new() };
        send(&self.kernel, &mut enable, data)?;
        Ok(IntEnabled { kind: enable.kind, count: enable.count, generation: enable.generation })
    }

    fn int_wait(&self, timeout_ns: u64, vector: u32, max: u32) -> Result<Notification> {
        plain(&self.kernel, request::IntWait { timeout_ns, vector, max, ..Request::new() }).map(notification)
    }

    fn int_count(&self, vector: u32) -> Result<(u64, Counters)> {
        let count = plain(&self.kernel, request::IntCount { vector, ..Request::new() })?;
        Ok((count.generation, count.counters))
    }

    fn int_disable(&self) -> Result<(u64, Counters)> {
        let disable = plain(&self.kernel, request::IntDisable::new())?;
        Ok((disable.generation, disable.counters))
    }

    fn ring_setup(&self, setup: &mut request::RingSetup) -> Result<()> {
        send(&self.kernel, setup, &[])
    }

    fn ring_enter(&self, to_submit: u32) -> Result<()> {
        plain(&self.kernel, request::RingEnter { to_submit, ..Request::new() }).map(|_| ())
    }

    fn ring_teardown(&self) -> Result<()> {
        plain(&self.kernel, request::RingTeardown::new()).map(|_| ())
    }

    fn can_map(&self) -> bool {
        false
    }

    /// The memory is the request's out-buffer, and registered as long as the request is pending. What no driver takes is the driver's to refuse.
    ///
    /// Windows locks it for writing also if the device only reads, where it can be written: a page that is copied on write is copied then, and the
    /// device has the app's own. What cannot be written, and a driver that takes no such request, gets it locked for reading.
    fn buffer_register(&self, register: &request::BufferRegister) -> Result<()> {
        let sent = request::BufferRegister { addr: register.addr % PAGE as u64, ..*register };
        // Windows would lock all of it before it asks the driver.
        let len = if register.len > limits::MAX_BUFFER { 0 } else { register.len };
        const NR: u32 = <request::BufferRegister as Request>::NR;
        const WRITES: u32 = control_code(NR).expect("BUFFER_REGISTER has a code");
        const READS: u32 = request::in_direct_code(NR).expect("BUFFER_REGISTER has a code for reading");
        match self.kernel.keep(WRITES, sent.as_bytes(), register.addr, len) {
            Err(status)
                if register.access == request::access::READ
                    && [TransportStatus::FAULT.status(), Status::BAD_FIELD].contains(&status) =>
            {
                Ok(self.kernel.keep(READS, sent.as_bytes(), register.addr, len)?)
            }
            kept => Ok(kept?),
        }
    }

    fn buffer_release(&self, buffer: u32) -> Result<()> {
        plain(&self.kernel, request::BufferRelease { buffer, ..Request::new() }).map(|_| ())
    }

    fn schema(&self, offset: u32, room: &mut [u8]) -> Result<request::Schema> {
        const CODE: u32 = control_code(<request::Schema as Request>::NR).expect("SCHEMA has a code");
        const STRUCT: usize = size_of::<request::Schema>();
        let sent = request::Schema { offset, len: length(room), ..Request::new() };
        let mut output = [sent.as_bytes(), room].concat();
        let written = self.kernel.control(CODE, sent.as_bytes(), &mut output)?;
        let (schema, bytes) = request::Schema::read_from_prefix(&output).expect("as long as the struct");
        answer(&schema.head)?;
        let part = bytes.get(..schema.written as usize).filter(|part| STRUCT + part.len() <= written);
        let part = part.ok_or(Status::PROTOCOL)?;
        room.get_mut(..part.len()).ok_or(Status::PROTOCOL)?.copy_from_slice(part);
        Ok(schema)
    }

    #[cfg(windows)]
    fn start_wait(&self, timeout_ns: u64, vector: u32, max: u32) -> Result<PendingWait<'_>> {
        let handle = self.kernel.handle().ok_or(kp_abi::TransportStatus::UNKNOWN_REQUEST.status())?;
        PendingWait::start(handle, request::IntWait { timeout_ns, vector, max, ..Request::new() })
    }

    #[cfg(unix)]
    fn as_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.kernel.as_fd()
    }
}

/// Sends a request that has no data, and gives it back answered.
fn plain<R: Request>(kernel: &impl DeviceControl, mut request: R) -> Result<R> {
    send(kernel, &mut request, &[])?;
    Ok(request)
}

/// Sends a request with its data behind it. It is then the answer, also after an error that the driver itself has answered.
fn send<R: Request>(kernel: &impl DeviceControl, request: &mut R, data: &[u8]) -> Result<()> {
    let code = control_code(R::NR).expect("kp-abi gives each of its requests a code");
    let sent = *request;
    let gathered;
    let input = if data.is_empty() {
        sent.as_bytes()
    } else {
        gathered = [sent.as_bytes(), data].concat();
        &gathered
    };
    kernel.control(code, input, request.as_mut_bytes())?;
    answer(request.head())
}

/// Sends a call whose input is ready, and copies the reply out. `head` is what the out-buffer starts with.
fn call_with(
    kernel: &impl DeviceControl,
    input: &[u8],
    output: &mut Vec<u8>,
    head: Head,
    reply: &mut [u8],
) -> Result<usize> {
    const CODE: u32 = control_code(<request::Call as Request>::NR).expect("CALL has a code");
    // A driver refuses a longer reply, and needs no room for it.
    let room = reply.len().min(u32::MAX as usize - HEAD);
    if output.len() < HEAD + room {
        output.resize(HEAD + room, 0);
    }
    let output = &mut output[..HEAD + room];
    output[..HEAD].copy_from_slice(head.as_bytes());
    let written = kernel.control(CODE, input, output)?;
    let head = Head::read_from_bytes(&output[..HEAD]).expect("as long as a head");
    answer(&head)?;
    let len = head.detail as usize;
    if len > room || HEAD + len > written {
        return Err(Status::PROTOCOL.into());
    }
    reply[..len].copy_from_slice(&output[HEAD..HEAD + len]);
    Ok(len)
}

/// A thread's own buffers for calls, kept from one to the next.
#[derive(Default)]
struct Buffers {
    input: Vec<u8>,
    output: Vec<u8>,
}

thread_local! {
    static BUFFERS: Cell<Buffers> = const { Cell::new(Buffers { input: Vec::new(), output: Vec::new() }) };
}

impl Buffers {
    /// This thread's; new ones in a thread that ends.
    fn take() -> Self {
        BUFFERS.try_with(Cell::take).unwrap_or_default()
    }

    fn put_back(self) {
        let _ = BUFFERS.try_with(|buffers| buffers.set(self));
    }
}

/// A length that is never more than the buffer has. The driver refuses far shorter ones.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
