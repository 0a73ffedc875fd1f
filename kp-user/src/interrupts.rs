//! A session's interrupt: enable it, take its notifications, disable it.
use crate::{Connection, Notification};
use kp_abi::{
    Counters, Result, Status,
    request::{ANY_VECTOR, NO_TIMEOUT, kind},
};
#[cfg(unix)]
use std::os::fd::BorrowedFd;
use std::{fmt, ops::RangeInclusive, sync::Arc, thread, time::Duration};

/// Which interrupt to enable.
#[derive(Clone, Debug)]
pub struct Enable<'a> {
    kinds: u32,
    vectors: RangeInclusive<u32>,
    data: &'a [u8],
}

impl<'a> Enable<'a> {
    fn of(kinds: u32, vectors: RangeInclusive<u32>) -> Self {
        Self { kinds, vectors, data: &[] }
    }

    /// One vector of whichever kind there is, best first: MSI-X, MSI, line.
    pub fn any() -> Self {
        Self::of(kind::ANY, 1..=1)
    }

    /// The level-triggered interrupt, INTx.
    pub fn line() -> Self {
        Self::of(kind::LINE, 1..=1)
    }

    /// MSI, one vector.
    pub fn msi() -> Self {
        Self::of(kind::MSI, 1..=1)
    }

    /// MSI-X with as many vectors, counted from 1.
    pub fn msix(vectors: RangeInclusive<u32>) -> Self {
        Self::of(kind::MSIX, vectors)
    }

    /// At least and at most as many vectors. [`BAD_FIELD`](Status::BAD_FIELD) later, if the range is empty or has 0.
    pub fn vectors(mut self, vectors: RangeInclusive<u32>) -> Self {
        self.vectors = vectors;
        self
    }

    /// Data for the plugin's `int_enable`, at most [`MAX_OPEN_DATA`](kp_abi::limits::MAX_OPEN_DATA) bytes.
    pub fn data(mut self, data: &'a [u8]) -> Self {
        self.data = data;
        self
    }
}

/// Kind of an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Level-triggered, perhaps shared: INTx.
    Line,
    /// MSI.
    Msi,
    /// MSI-X.
    MsiX,
}

/// An enabled interrupt. Dropping it disables the interrupt, and waits for that as long as there are too many calls inside; threads may
/// share it.
///
/// It stays usable after its [`Plugin`](crate::Plugin) was dropped, but then everything answers
/// [`CLOSED`](Status::CLOSED).
pub struct Interrupts {
    connection: Arc<dyn Connection>,
    kind: Kind,
    count: u32,
    generation: u64,
    is_enabled: bool,
}

impl Interrupts {
    pub(crate) fn enable(connection: &Arc<dyn Connection>, enable: Enable<'_>) -> Result<Self> {
        let (min, max) = enable.vectors.into_inner();
        let enabled = connection.int_enable(enable.kinds, min, max, enable.data)?;
        let mut interrupts = Self {
            connection: connection.clone(),
            kind: Kind::Line,
            count: enabled.count,
            generation: enabled.generation,
            is_enabled: true,
        };
        interrupts.kind = match enabled.kind {
            kind::LINE => Kind::Line,
            kind::MSI => Kind::Msi,
            kind::MSIX => Kind::MsiX,
            _ => return Err(Status::PROTOCOL.into()), // and dropping `interrupts` disables it
        };
        Ok(interrupts)
    }

    /// The kind it got.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Vectors it got.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Number of this enabling; each one has its own counters.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Waits for one notification of any vector. [`Duration::MAX`] has no end.
    ///
    /// [`TIMEOUT`](Status::TIMEOUT) if none came, [`INT_DISABLED`](Status::INT_DISABLED) or [`CLOSED`](Status::CLOSED)
    /// if the wait was ended, [`DEVICE_GONE`](Status::DEVICE_GONE) if the device was removed,
    /// [`INTERRUPT_STORM`](Status::INTERRUPT_STORM) if the interrupt was masked. A signal does not end a wait: to be
    /// woken by other things too, poll the descriptor, `as_fd` (not on Windows).
    pub fn wait(&self, timeout: Duration) -> Result<Notification> {
        self.wait_many(ANY_VECTOR, 1, timeout)
    }

    /// Waits for one notification of `vector`, 0 being the first. [`BAD_VECTOR`](Status::BAD_VECTOR) if there is none;
    /// else as [`wait`](Self::wait).
    pub fn wait_vector(&self, vector: u32, timeout: Duration) -> Result<Notification> {
        self.wait_many(vector, 1, timeout)
    }

    /// Waits until there are notifications of `vector`, or of [`ANY_VECTOR`], and takes up to `max` of them. `max` is
    /// at least 1, else [`BAD_FIELD`](Status::BAD_FIELD). Else as [`wait`](Self::wait).
    pub fn wait_many(&self, vector: u32, max: u32, timeout: Duration) -> Result<Notification> {
        let timeout_ns = u64::try_from(timeout.as_nanos()).unwrap_or(NO_TIMEOUT);
        self.connection.int_wait(timeout_ns, vector, max)
    }

    /// Takes one notification of any vector if there is one; else [`TIMEOUT`](Status::TIMEOUT), at once.
    pub fn try_take(&self) -> Result<Notification> {
        self.wait(Duration::ZERO)
    }

    /// The counters of all vectors together, since the interrupt was enabled.
    pub fn counters(&self) -> Result<Counters> {
        self.counters_of(ANY_VECTOR)
    }

    /// The counters of `vector`, 0 being the first. [`BAD_VECTOR`](Status::BAD_VECTOR) if there is none.
    pub fn counters_of(&self, vector: u32) -> Result<Counters> {
        self.connection.int_count(vector).map(|(_, counters)| counters)
    }

    /// Disables the interrupt and reads its final counters. Waits end with [`INT_DISABLED`](Status::INT_DISABLED).
    pub fn disable(mut self) -> Result<Counters> {
        self.disable_once()
    }

    /// A descriptor for poll(2): readable when a notification can be taken, hung up when the session is over. `None` if
    /// the connection has none.
    #[cfg(unix)]
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.connection.as_fd()
    }

    /// Starts a wait for one notification of any vector, and returns at once. The answer has a handle that is set when the wait is
    /// over. [`UNKNOWN_REQUEST`](kp_abi::TransportStatus::UNKNOWN_REQUEST) if the connection cannot do that.
    #[cfg(windows)]
    pub fn start_wait(&self, timeout: Duration) -> Result<crate::PendingWait<'_>> {
        let timeout_ns = u64::try_from(timeout.as_nanos()).unwrap_or(NO_TIMEOUT);
        self.connection.start_wait(timeout_ns, ANY_VECTOR, 1)
    }

    pub(crate) fn connection(&self) -> &Arc<dyn Connection> {
        &self.connection
    }

    pub(crate) fn disable_once(&mut self) -> Result<Counters> {
        let disabled = loop {
            match self.connection.int_disable() {
                // It is enabled still, and a call will leave.
                Err(error) if error == Status::TOO_MANY_CALLS => thread::sleep(Duration::from_millis(1)),
                disabled => break disabled,
            }
        };
        self.is_enabled = false;
        disabled.map(|(_, counters)| counters)
    }

    /// Is it still this enabling that INT_DISABLE would end? A listening may have ended by itself, and another one may have begun.
    pub(crate) fn is_current(&self) -> bool {
        self.connection.int_count(ANY_VECTOR).is_ok_and(|(generation, _)| generation == self.generation)
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        if self.is_enabled && self.is_current() {
            // An interrupt that cannot be disabled is off already: the session is over, or the device gone.
            let _ = self.disable_once();
        }
    }
}

impl fmt::Debug for Interrupts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupts")
            .field("kind", &self.kind)
            .field("count", &self.count)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}
