//! An open plugin.
use crate::{
    Access, Buffer, BusAddress, Connection, Enable, Interrupts, Ring, Side, buffer::Numbers, negotiate::Opened,
};
use kp_abi::{
    Result, Status, Transport, TransportStatus,
    request::{self, feature},
};
#[cfg(unix)]
use std::os::fd::BorrowedFd;
use std::{
    fmt,
    num::NonZeroU64,
    ptr::NonNull,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Numbers of batches' runs: no two plugins' have one.
static RUNS: AtomicU64 = AtomicU64::new(0);

/// An open plugin: one session with one device. Threads may share it.
///
/// `&Plugin` carries the messages of an interface's client: `edu::Client(&plugin)`. Dropping it ends the session, and
/// only then closes the handle, so waits of other threads end with [`CLOSED`](Status::CLOSED) on every kernel.
pub struct Plugin {
    connection: Arc<dyn Connection>,
    opened: Opened,
    is_closed: bool,
    /// Set up by the first batch.
    pub(crate) ring: Mutex<Option<Ring>>,
    buffers: Arc<Numbers>,
}

impl Plugin {
    pub(crate) fn new(connection: Arc<dyn Connection>, opened: Opened) -> Self {
        Self { connection, opened, is_closed: false, ring: Mutex::new(None), buffers: Arc::default() }
    }

    /// Number of the session, never used again while the plugin is loaded.
    pub fn session(&self) -> u64 {
        self.opened.session
    }

    /// The driver's interface.
    pub fn driver(&self) -> Side {
        self.opened.driver
    }

    /// QUERY: the driver's limits, state and bus address.
    pub fn query(&self) -> Result<request::Query> {
        self.connection.query(self.opened.driver.messages)
    }

    /// Where the device is on the bus, as QUERY says. `None` for a plugin without a device.
    pub fn bus_address(&self) -> Result<Option<BusAddress>> {
        Ok(BusAddress::from_query(self.query()?.bus_address))
    }

    /// The same session, with calls that answer [`SUSPENDED`](Status::SUSPENDED) at once while the device sleeps,
    /// rather than wait until it is back.
    pub fn nowait(&self) -> NoWait<'_> {
        NoWait(self)
    }

    /// Enables the device's interrupt for this session.
    ///
    /// [`NO_INTERRUPT`](Status::NO_INTERRUPT) if the device has none of the kind,
    /// [`ALREADY_ENABLED`](Status::ALREADY_ENABLED) or [`INTERRUPT_OWNED`](Status::INTERRUPT_OWNED) if this or another
    /// session has it, or what the plugin answers.
    pub fn interrupts(&self, enable: Enable<'_>) -> Result<Interrupts> {
        Interrupts::enable(&self.connection, enable)
    }

    /// The connection.
    pub fn connection(&self) -> &Arc<dyn Connection> {
        &self.connection
    }

    /// A descriptor for poll(2): readable when a notification can be taken, hung up when the session is over. `None` if
    /// the connection has none.
    #[cfg(unix)]
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.connection.as_fd()
    }

    /// Ends the session, as dropping does, and says what CLOSE answered.
    pub fn close(mut self) -> Result<()> {
        self.is_closed = true;
        self.connection.close()
    }

    /// May buffers be registered? Else they answer [`UNKNOWN_REQUEST`](TransportStatus::UNKNOWN_REQUEST): this driver takes none.
    pub fn has_buffers(&self) -> bool {
        self.opened.features & feature::BUFFERS != 0
    }

    /// New memory, `len` bytes of zeros, rounded up to whole pages, which the driver and its device may use.
    ///
    /// [`BAD_VALUE`](Status::BAD_VALUE) for no bytes, [`BUFFER_IN_USE`](Status::BUFFER_IN_USE) if the session has 64 already,
    /// [`PAYLOAD_TOO_LARGE`](Status::PAYLOAD_TOO_LARGE) above 1 GiB, [`PIN_LIMIT`](Status::PIN_LIMIT) if it is more than this process may have
    /// pinned (`ulimit -l`), [`NO_MEMORY`](Status::NO_MEMORY).
    pub fn buffer(&self, len: usize, access: Access) -> Result<Buffer> {
        self.may_register()?;
        Buffer::new(&self.connection, &self.buffers, len, access)
    }

    /// As [`buffer`](Self::buffer), of memory that is there: `len` bytes at `start`, whole pages of 4096.
    ///
    /// [`BAD_FIELD`](Status::BAD_FIELD) also if they are not whole pages; [`NOT_PINNABLE`](Status::NOT_PINNABLE) for a file's or another device's;
    /// [`FAULT`](TransportStatus::FAULT) if they are not mapped, or cannot be written and shall be.
    ///
    /// # Safety
    /// The bytes are there as long as the buffer, and until each message that names it has been answered; whoever else in this process uses them
    /// meanwhile does so by atomic words. A device may not have finished with what a message gave it, though that was answered with an error: until
    /// `quarantined` of [`query`](Self::query) is 0 they are used for nothing else, nor given back to an allocator.
    #[expect(unsafe_code, reason = "trusts its caller with a pointer")]
    pub unsafe fn buffer_over(&self, start: NonNull<u8>, len: usize, access: Access) -> Result<Buffer> {
        self.may_register()?;
        // SAFETY: the caller's promise.
        unsafe { Buffer::over(&self.connection, &self.buffers, start, len, access) }
    }

    fn may_register(&self) -> Result<()> {
        if self.has_buffers() { Ok(()) } else { Err(TransportStatus::UNKNOWN_REQUEST.status().into()) }
    }

    /// May batches be made? Else they answer [`UNKNOWN_REQUEST`](TransportStatus::UNKNOWN_REQUEST): this driver has no rings.
    pub fn has_batches(&self) -> bool {
        self.opened.features & feature::RING != 0
    }

    /// Sets up the ring on which batches are made, for those who want another one than the first batch does by itself: how many messages
    /// and bytes a batch may have. Errors: as for [`Ring::set_up`].
    pub fn set_up_ring(&self, entries: u32, data_len: u32) -> Result<()> {
        let mut ring = self.ring.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *ring = None;
        *ring = Some(self.new_ring(entries, data_len)?);
        Ok(())
    }

    /// The session's ring, if it has one.
    pub fn with_ring<R>(&self, f: impl FnOnce(Option<&Ring>) -> R) -> R {
        f(self.ring.lock().unwrap_or_else(std::sync::PoisonError::into_inner).as_ref())
    }

    pub(crate) fn new_ring(&self, entries: u32, data_len: u32) -> Result<Ring> {
        if !self.has_batches() {
            return Err(TransportStatus::UNKNOWN_REQUEST.status().into());
        }
        Ring::set_up_by(&self.connection, &self.buffers, entries, data_len)
    }

    pub(crate) fn next_run(&self) -> NonZeroU64 {
        NonZeroU64::MIN.saturating_add(RUNS.fetch_add(1, Relaxed))
    }

    /// The highest number of a message that it knows; `None` if it takes any.
    pub(crate) fn highest_message(&self) -> Option<u32> {
        self.opened.highest
    }

    fn call_with(&self, id: u32, flags: u32, args: &[u8], data: &[u8], reply: &mut [u8]) -> Result<usize> {
        if !self.knows(id) {
            return Err(Status::UNKNOWN_MESSAGE.into());
        }
        self.connection.call(id, flags, args, data, reply)
    }
}

impl Transport for Plugin {
    #[inline]
    fn call(&self, id: u32, args: &[u8], data: &[u8], reply: &mut [u8]) -> Result<usize> {
        self.call_with(id, 0, args, data, reply)
    }

    #[inline]
    fn knows(&self, id: u32) -> bool {
        self.opened.highest.is_none_or(|highest| (1..=highest).contains(&id))
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        // Its memory keeps the handle open.
        *self.ring.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        if !self.is_closed {
            // A session that cannot be closed is over already.
            let _ = self.connection.close();
        }
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("session", &self.session())
            .field("driver", &self.driver())
            .finish_non_exhaustive()
    }
}

/// A session whose calls do not wait for a device that sleeps. From [`Plugin::nowait`].
#[derive(Clone, Copy, Debug)]
pub struct NoWait<'a>(&'a Plugin);

impl Transport for NoWait<'_> {
    fn call(&self, id: u32, args: &[u8], data: &[u8], reply: &mut [u8]) -> Result<usize> {
        self.0.call_with(id, request::CALL_NOWAIT, args, data, reply)
    }

    fn knows(&self, id: u32) -> bool {
        self.0.knows(id)
    }
}
