//! Requests as bytes at addresses, below the client library: what a hostile app can do.
use kp_abi::{
    Status, TransportStatus,
    request::{self, BufferRegister, Request, access, feature},
    zerocopy::{FromBytes, IntoBytes},
};
use kp_user::SharedMemory;
use std::{
    ptr::{self, NonNull},
    sync::Arc,
};

/// An app's process, as far as requests reach into it: its memory, and open handles.
pub trait Process: Sync {
    /// New memory, zeroed, of `len` bytes in whole pages, with unmapped pages before and behind. Its address.
    fn map(&self, len: usize, access: Access) -> u64;
    /// Reads mapped memory.
    fn read(&self, address: u64, bytes: &mut [u8]);
    /// Writes memory that is mapped, for the process itself, whatever its access for the kernel.
    fn write(&self, address: u64, bytes: &[u8]);
    /// From now on the kernel may only read this memory, whole pages of `map`'s.
    fn make_read_only(&self, address: u64, len: usize);
    /// An address that is the kernel's.
    fn kernel_address(&self) -> u64;
    /// Opens the plugin's node; no OPEN is sent.
    fn handle(&self, plugin: &str) -> Box<dyn Handle + '_>;
    /// Like `handle`, but for reading only.
    fn read_only_handle(&self, plugin: &str) -> Box<dyn Handle + '_>;
    /// Whether requests go to the driver by address. On Windows their bytes go instead, in two buffers.
    fn sends_addresses(&self) -> bool {
        true
    }
    /// Whether a ring's memory is mapped. If not, it is a buffer.
    fn maps_rings(&self) -> bool {
        self.sends_addresses()
    }
    /// Whether a driver sees memory that is registered with it.
    fn lends(&self) -> bool {
        true
    }
    /// Whether several requests of one handle run at the same time.
    fn runs_requests_at_once(&self) -> bool {
        true
    }
    /// Whether there is a device, and so edu is loaded too.
    fn has_device(&self) -> bool {
        true
    }
}

/// What the kernel may do with memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Both.
    ReadWrite,
    /// Read only.
    ReadOnly,
}

/// One open handle.
pub trait Handle: Sync {
    /// Sends request `nr` with its struct at `address`. `Err`: the transport itself failed, with this status.
    fn send(&self, nr: u32, address: u64) -> Result<(), Status>;
    /// Sends a message in the direct form of CALL, its buffer at `address`. The status; `Err`: as for `send`. A host without that form has no
    /// such request.
    fn direct(&self, message: u32, address: u64) -> Result<Status, Status> {
        let _ = (message, address);
        Err(TransportStatus::UNKNOWN_REQUEST.status())
    }
    /// Maps what RING_SETUP has answered. A host without rings has nothing to map.
    fn map(&self, offset: u64, len: usize, write: bool) -> Result<SharedMemory, Status> {
        let _ = (offset, len, write);
        Err(TransportStatus::UNKNOWN_REQUEST.status())
    }
    /// Registers new memory, `len` bytes of zeros in whole pages, for writing, as a buffer that a ring can be made of.
    fn lend(&self, buffer: u32, len: usize) -> Result<SharedMemory, Status>;
    /// Can the process change what is mapped for reading so that it can write there?
    fn can_be_made_writable(&self, memory: &SharedMemory) -> bool {
        let _ = memory;
        false
    }
}

// kp-sim itself is for 64-bit machines.
#[path = "../../../kp-sim/src/random.rs"]
mod random;
pub use random::Random;

/// Bytes of a page, on every host here.
pub const PAGE: u64 = 4096;

/// A process and a place in it for structs: sends them by value.
pub struct Sender<'p> {
    /// The process.
    pub process: &'p dyn Process,
    /// Two pages to read and write.
    pub place: u64,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<R> {
    /// The transport's, or else the header's.
    pub status: Status,
    /// The header's.
    pub detail: u32,
    /// The struct afterwards.
    pub request: R,
}

impl<'p> Sender<'p> {
    /// Maps a place for structs.
    pub fn new(process: &'p dyn Process) -> Self {
        Self { process, place: process.map(2 * PAGE as usize, Access::ReadWrite) }
    }

    /// Sends a struct as it is.
    pub fn send<R: Request>(&self, handle: &dyn Handle, request: R) -> Answer<R> {
        self.process.write(self.place, request.as_bytes());
        self.send_at(handle, self.place)
    }

    /// Sends the struct that is at `address` already.
    pub fn send_at<R: Request>(&self, handle: &dyn Handle, address: u64) -> Answer<R> {
        match handle.send(R::NR, address) {
            Err(status) => Answer { status, detail: 0, request: R::default() },
            Ok(()) => {
                let mut request = R::default();
                self.process.read(address, request.as_mut_bytes());
                let head = *request.head();
                Answer { status: Status(head.status), detail: head.detail, request }
            }
        }
    }

    /// OPEN with an interface's own count and fingerprint.
    pub fn open(&self, handle: &dyn Handle, interface: &kp_abi::Interface) -> Answer<request::Open> {
        self.send(handle, open(interface))
    }

    /// A call of `message` with arguments and data, and room for a reply of `room` bytes; these are all in memory of their own.
    pub fn call(
        &self,
        handle: &dyn Handle,
        message: u32,
        args: &[u8],
        data: &[u8],
        room: usize,
    ) -> Answer<request::Call> {
        self.send(handle, self.prepare(message, args, data, room))
    }

    /// A call ready to be sent.
    pub fn prepare(&self, message: u32, args: &[u8], data: &[u8], room: usize) -> request::Call {
        let put = |bytes: &[u8]| {
            let address = self.process.map(bytes.len().max(1), Access::ReadWrite);
            self.process.write(address, bytes);
            address
        };
        request::Call {
            message,
            args_len: args.len() as u32,
            in_len: data.len() as u32,
            out_len: room as u32,
            args_addr: put(args),
            in_addr: put(data),
            out_addr: self.process.map(room.max(1), Access::ReadWrite),
            ..request::Call::new()
        }
    }

    /// The bytes at an address.
    pub fn bytes(&self, address: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.process.read(address, &mut bytes);
        bytes
    }

    /// A value at an address.
    pub fn value<T: FromBytes + IntoBytes>(&self, address: u64) -> T {
        T::read_from_bytes(&self.bytes(address, size_of::<T>())).expect("as many bytes as asked for")
    }
}

/// Memory of this process that others use too, which is never unmapped.
///
/// # Panics
/// If this process cannot name it.
pub fn shared(address: u64, len: usize) -> SharedMemory {
    let start = ptr::with_exposed_provenance_mut(usize::try_from(address).expect("an address of this process"));
    let start = NonNull::new(start).expect("memory is not at 0");
    // SAFETY: the caller has mapped it for good; both sides use it by words.
    unsafe { SharedMemory::new(start, len, Arc::new(())) }
}

/// BUFFER_REGISTER of memory for writing.
pub fn register(buffer: u32, addr: u64, len: usize) -> BufferRegister {
    BufferRegister { addr, len: len as u64, buffer, access: access::WRITE, ..Request::new() }
}

/// An OPEN with an interface's own count and fingerprint, that asks for all optional parts.
pub fn open(interface: &kp_abi::Interface) -> request::Open {
    request::Open {
        abi_major: kp_abi::limits::ABI_MAJOR,
        abi_minor: kp_abi::limits::ABI_MINOR,
        message_count: interface.methods.len() as u32,
        interface_version: interface.version,
        fingerprint: interface.fingerprint(),
        features: feature::DIRECT | feature::RING | feature::BUFFERS,
        ..request::Open::new()
    }
}
