//! What one open handle can do, whatever carries it.
use crate::{BusAddress, IntEnabled, Notification, SharedMemory};
use kp_abi::{Counters, Interface, Result, Status, TransportStatus, request};
#[cfg(unix)]
use std::os::fd::BorrowedFd;

/// One open handle of a plugin's device: one method per request of the ABI, and one implementation per transport.
///
/// A connection carries; it does not negotiate, retry or keep state. [`Plugin`](crate::Plugin) does that, over any
/// connection. Every method may be called from any thread, and several at once. Dropping a connection closes the handle
/// without CLOSE.
///
/// Errors are those of the [status table](kp_abi::Status); a transport that fails answers the row marked T that fits.
pub trait Connection: Send + Sync {
    /// QUERY: who are you? Asks for the fingerprint chain at `chain_at` messages. Works in every state.
    fn query(&self, chain_at: u32) -> Result<request::Query>;

    /// OPEN, once, as the caller has filled it in; the connection adds `data`. The out-fields are filled in also when
    /// the answer is [`ABI_MISMATCH`](kp_abi::Status::ABI_MISMATCH) or
    /// [`INTERFACE_MISMATCH`](kp_abi::Status::INTERFACE_MISMATCH).
    fn open(&self, open: &mut request::Open, data: &[u8]) -> Result<()>;

    /// CALL: sends a message and answers how many bytes of `reply` were written. The bytes behind them keep their
    /// values. `flags` are 0 or [`CALL_NOWAIT`](request::CALL_NOWAIT).
    fn call(&self, message: u32, flags: u32, args: &[u8], data: &[u8], reply: &mut [u8]) -> Result<usize>;

    /// OPEN has just succeeded with this interface: a connection that can may send the messages that OPEN agreed on in the direct form of
    /// CALL from now on. [`Agreement`](crate::Agreement) keeps what it needs for that.
    fn agree(&self, interface: &Interface) {
        let _ = interface;
    }

    /// CLOSE: ends the session and wakes its waits with [`CLOSED`](kp_abi::Status::CLOSED). Idempotent.
    fn close(&self) -> Result<()>;

    /// INT_ENABLE: `kinds` is a mask of [`request::kind`], `min` and `max` bound the number of vectors, `data` is the
    /// plugin's.
    fn int_enable(&self, kinds: u32, min: u32, max: u32, data: &[u8]) -> Result<IntEnabled>;

    /// INT_WAIT: takes at most `max` notifications of `vector`, or of [`ANY_VECTOR`](request::ANY_VECTOR). `timeout_ns`
    /// is in ns: 0 asks only, [`NO_TIMEOUT`](request::NO_TIMEOUT) has no end. [`TIMEOUT`](kp_abi::Status::TIMEOUT) if
    /// none came, [`INT_DISABLED`](kp_abi::Status::INT_DISABLED) or [`CLOSED`](kp_abi::Status::CLOSED) if the wait was
    /// ended.
    fn int_wait(&self, timeout_ns: u64, vector: u32, max: u32) -> Result<Notification>;

    /// INT_COUNT: generation and counters of `vector`, or of all together with [`ANY_VECTOR`](request::ANY_VECTOR).
    fn int_count(&self, vector: u32) -> Result<(u64, Counters)>;

    /// INT_DISABLE: generation and final counters of the enabling that ended.
    fn int_disable(&self) -> Result<(u64, Counters)>;

    /// RING_SETUP, as the caller has filled it in. What it answers is mapped with [`map_shared`](Self::map_shared), if that is not a buffer.
    ///
    /// Like the other three, a connection whose driver has no rings need not implement it: it answers
    /// [`UNKNOWN_REQUEST`](TransportStatus::UNKNOWN_REQUEST).
    fn ring_setup(&self, setup: &mut request::RingSetup) -> Result<()> {
        let _ = setup;
        Err(TransportStatus::UNKNOWN_REQUEST.status().into())
    }

    /// RING_ENTER: takes at most `to_submit` submissions. How many were taken, whatever is answered, stands in the kernel page, or without one in the
    /// ring's memory.
    fn ring_enter(&self, to_submit: u32) -> Result<()> {
        let _ = to_submit;
        Err(TransportStatus::UNKNOWN_REQUEST.status().into())
    }

    /// RING_TEARDOWN.
    fn ring_teardown(&self) -> Result<()> {
        Err(TransportStatus::UNKNOWN_REQUEST.status().into())
    }

    /// Can [`map_shared`](Self::map_shared) map a ring's memory? If not, that is a buffer.
    fn can_map(&self) -> bool {
        true
    }

    /// Maps memory that the driver shares, at the offset that RING_SETUP has answered: all `len` bytes of it.
    fn map_shared(&self, offset: u64, len: usize, write: bool) -> Result<SharedMemory> {
        let _ = (offset, len, write);
        Err(TransportStatus::UNKNOWN_REQUEST.status().into())
    }

    /// New memory of this process's, `len` bytes of zeros, whole pages of 4096, for [`buffer_register`](Self::buffer_register): its address as the
    /// driver is told it, and how this process uses it.
    fn new_memory(&self, len: usize) -> Result<(u64, SharedMemory)> {
        let memory = SharedMemory::zeroed(len).ok_or(Status::NO_MEMORY)?;
        Ok((memory.address(), memory))
    }

    /// BUFFER_REGISTER, as the caller has filled it in.
    ///
    /// Like the other, a connection whose driver takes no buffers need not implement it.
    fn buffer_register(&self, register: &request::BufferRegister) -> Result<()> {
        let _ = register;
        Err(TransportStatus::UNKNOWN_REQUEST.status().into())
    }

    /// BUFFER_RELEASE.
    fn buffer_release(&self, buffer: u32) -> Result<()> {
        let _ = buffer;
        Err(TransportStatus::UNKNOWN_REQUEST.status().into())
    }

    /// SCHEMA: copies what is from `offset` on of the interface as bytes to `room`, and answers the request as the driver has filled it in. Works in
    /// every state, before OPEN too.
    ///
    /// A connection whose driver tells nobody its interface need not implement it.
    fn schema(&self, offset: u32, room: &mut [u8]) -> Result<request::Schema> {
        let _ = (offset, room);
        Err(TransportStatus::UNKNOWN_REQUEST.status().into())
    }

    /// A descriptor for poll(2): readable when a notification can be taken, hung up when the session is over. `None` if
    /// the connection has none.
    #[cfg(unix)]
    fn as_fd(&self) -> Option<BorrowedFd<'_>>;

    /// INT_WAIT that is under way while the thread does something else; Windows' counterpart of a descriptor for poll(2).
    /// [`UNKNOWN_REQUEST`](TransportStatus::UNKNOWN_REQUEST) if the connection has none.
    #[cfg(windows)]
    fn start_wait(&self, timeout_ns: u64, vector: u32, max: u32) -> Result<crate::PendingWait<'_>> {
        let _ = (timeout_ns, vector, max);
        Err(TransportStatus::UNKNOWN_REQUEST.status().into())
    }
}

/// Where the device of an open handle is, as its driver says.
pub(crate) fn address_of(connection: &dyn Connection) -> Option<BusAddress> {
    BusAddress::from_query(connection.query(0).ok()?.bus_address)
}
