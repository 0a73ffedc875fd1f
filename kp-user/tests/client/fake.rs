//! A driver that lives in the test: it negotiates as the kernel's does, and keeps a log of the requests.
use kp_abi::{Counters, Error, Interface, Result, Status, limits, request};
use kp_user::{BusAddress, Connection, IntEnabled, Notification};
#[cfg(unix)]
use std::os::fd::BorrowedFd;
use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

/// A wait that nobody ends fails its test after this, rather than hang.
const STUCK: Duration = Duration::from_secs(20);

/// The driver.
pub struct Fake {
    interface: Option<&'static Interface>,
    abi: (u32, u32),
    /// Where its device is, as QUERY has it.
    address: u64,
    /// What the plugin says to OPEN.
    refusal: Option<Error>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    log: Vec<String>,
    mail: VecDeque<u32>,
    over: Option<Status>,
    /// How often INT_DISABLE is refused, as there are too many calls.
    refusals: u32,
    /// Enablings so far.
    enablings: u64,
}

impl Fake {
    pub fn new(interface: Option<&'static Interface>) -> Self {
        Self {
            interface,
            abi: (limits::ABI_MAJOR, limits::ABI_MINOR),
            address: request::NO_BUS_ADDRESS,
            refusal: None,
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// With another version of the ABI.
    pub fn speaking(mut self, major: u32, minor: u32) -> Self {
        self.abi = (major, minor);
        self
    }

    /// With a device at this address.
    pub fn at(mut self, address: &str) -> Self {
        self.address = address.parse::<BusAddress>().expect(address).to_query();
        self
    }

    /// With a plugin that refuses an OPEN that fits.
    pub fn refusing(mut self, error: impl Into<Error>) -> Self {
        self.refusal = Some(error.into());
        self
    }

    pub fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }

    /// The requests so far.
    pub fn log(&self) -> Vec<String> {
        self.state.lock().unwrap().log.clone()
    }

    /// So many notifications arrive together.
    pub fn notify(&self, count: u32) {
        self.state.lock().unwrap().mail.push_back(count);
        self.changed.notify_all();
    }

    /// Every wait, now and later, ends with this.
    pub fn end(&self, status: Status) {
        self.state.lock().unwrap().over = Some(status);
        self.changed.notify_all();
    }

    /// So many calls are inside that INT_DISABLE is refused so often.
    pub fn refuse_disabling(&self, times: u32) {
        self.state.lock().unwrap().refusals = times;
    }

    fn record(&self, line: String) {
        self.state.lock().unwrap().log.push(line);
    }

    fn count(&self) -> u32 {
        self.interface.map_or(0, |interface| interface.methods.len() as u32)
    }

    fn chain(&self, count: u32) -> u64 {
        self.interface.map_or(0, |interface| interface.chain(count as usize))
    }
}

impl Connection for Fake {
    fn query(&self, chain_at: u32) -> Result<request::Query> {
        self.record(format!("QUERY {chain_at}"));
        Ok(request::Query {
            chain: self.chain(chain_at),
            message_count: self.count(),
            bus_address: self.address,
            ..Default::default()
        })
    }

    fn open(&self, open: &mut request::Open, data: &[u8]) -> Result<()> {
        self.record(format!("OPEN {} {}", open.message_count, String::from_utf8_lossy(data)));
        let app = *open;
        (open.abi_major, open.abi_minor) = self.abi;
        open.message_count = self.count();
        open.interface_version = self.interface.map_or(0, |interface| interface.version);
        open.fingerprint = self.chain(app.message_count.min(self.count()));
        if app.abi_major != self.abi.0 {
            return Err(Error::new(Status::ABI_MISMATCH, self.abi.0 << 16 | self.abi.1));
        }
        if app.message_count > self.count() || app.fingerprint != open.fingerprint {
            return Err(Status::INTERFACE_MISMATCH.into());
        }
        if let Some(error) = self.refusal {
            return Err(error);
        }
        open.session = 17;
        Ok(())
    }

    fn call(&self, message: u32, flags: u32, args: &[u8], data: &[u8], reply: &mut [u8]) -> Result<usize> {
        self.record(format!("CALL {message} flags {flags} args {args:?} data {data:?}"));
        reply.fill(1);
        Ok(reply.len())
    }

    fn close(&self) -> Result<()> {
        self.record("CLOSE".into());
        self.end(Status::CLOSED);
        Ok(())
    }

    fn int_enable(&self, kinds: u32, min: u32, max: u32, data: &[u8]) -> Result<IntEnabled> {
        self.record(format!("INT_ENABLE {kinds} {min} {max} {}", String::from_utf8_lossy(data)));
        let mut state = self.state.lock().unwrap();
        state.enablings += 1;
        Ok(IntEnabled { kind: 1 << kinds.ilog2(), count: max, generation: 4 + state.enablings })
    }

    fn int_wait(&self, timeout_ns: u64, vector: u32, max: u32) -> Result<Notification> {
        let mut state = self.state.lock().unwrap();
        state.log.push(format!("INT_WAIT {timeout_ns} {vector} {max}"));
        loop {
            if let Some(got) = state.mail.pop_front() {
                return Ok(Notification { vector: 0, got, available: 0, generation: 5 });
            }
            if let Some(status) = state.over {
                return Err(status.into());
            }
            if timeout_ns == 0 {
                return Err(Status::TIMEOUT.into());
            }
            assert_eq!(timeout_ns, request::NO_TIMEOUT, "this driver has no clock");
            let (back, timeout) = self.changed.wait_timeout(state, STUCK).unwrap();
            state = back;
            if timeout.timed_out() {
                drop(state); // so that the panic does not poison it
                panic!("nobody ended this wait");
            }
        }
    }

    fn int_count(&self, vector: u32) -> Result<(u64, Counters)> {
        self.record(format!("INT_COUNT {vector}"));
        let generation = 4 + self.state.lock().unwrap().enablings;
        Ok((generation, Counters { received: 2, ..Counters::default() }))
    }

    fn int_disable(&self) -> Result<(u64, Counters)> {
        self.record("INT_DISABLE".into());
        let mut state = self.state.lock().unwrap();
        if state.refusals > 0 {
            state.refusals -= 1;
            return Err(Status::TOO_MANY_CALLS.into());
        }
        drop(state);
        self.end(Status::INT_DISABLED);
        Ok((5, Counters { received: 3, ..Counters::default() }))
    }

    #[cfg(unix)]
    fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}
