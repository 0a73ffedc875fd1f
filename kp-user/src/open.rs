//! Opening: which node, which interface, and what to do if app and driver are not of one age.
use crate::{BusAddress, Cause, Connection, OpenError, Plugin, Side};
use kp_abi::{
    Error, Interface, Status, TransportStatus, limits,
    request::{self, Request, feature},
};
use std::sync::Arc;

/// How to open a plugin.
///
/// ```no_run
/// # kp_abi::interface! { pub mod edu, version 1 { fn factorial(n: u32) -> u32 = 1; } }
/// # fn main() -> Result<(), kp_user::OpenError> {
/// let plugin = kp_user::OpenOptions::new().interface(edu::INTERFACE).data(b"quiet").open("edu.1")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenOptions<'a> {
    interface: Option<&'a Interface>,
    data: &'a [u8],
}

/// What OPEN has agreed on.
pub(crate) struct Opened {
    pub(crate) session: u64,
    pub(crate) driver: Side,
    /// The highest message number that the driver has; `None` if it declares no interface, and so takes any.
    pub(crate) highest: Option<u32>,
    /// What was granted, a mask of [`feature`].
    pub(crate) features: u64,
}

impl<'a> OpenOptions<'a> {
    /// No interface, no data.
    pub fn new() -> Self {
        Self::default()
    }

    /// The interface that the app was built with. The driver's must fit, or opening fails.
    pub fn interface(mut self, interface: &'a Interface) -> Self {
        self.interface = Some(interface);
        self
    }

    /// Data for the plugin's `open`, at most [`MAX_OPEN_DATA`](limits::MAX_OPEN_DATA) bytes.
    pub fn data(mut self, data: &'a [u8]) -> Self {
        self.data = data;
        self
    }

    /// Opens `edu`, the lowest instance, or `edu.1`, that one.
    #[cfg(any(target_os = "linux", windows))]
    pub fn open(self, name: &str) -> Result<Plugin, OpenError> {
        let (node, place) = crate::platform::open(name)?;
        self.start(Arc::new(node), &place.path, Some(&place.plugin))
    }

    /// Opens the device at a bus address, as in `0000:03:00.0`, whichever number it has.
    #[cfg(any(target_os = "linux", windows))]
    pub fn open_at(self, address: &str) -> Result<Plugin, OpenError> {
        let wanted = self.parse(address)?;
        let failed = |cause| self.no_device(wanted, cause);
        let listed = crate::platform::list().map_err(|error| failed(Cause::Io(error)))?;
        let there = || Cause::NoDevice { there: listed.iter().filter_map(|listed| listed.address).collect() };
        let found = listed.iter().find(|listed| listed.address == Some(wanted)).ok_or_else(|| failed(there()))?;
        let (node, place) = crate::platform::open(&found.name.to_string())?;
        // A plugin that was loaded anew between the look and now has given its numbers anew.
        if address_of(&node) != Some(wanted) {
            return Err(failed(there()));
        }
        self.start(Arc::new(node), &place.path, Some(&place.plugin))
    }

    /// Opens over the one of several connections whose device is at a bus address: of the simulator's, say. The others are let go.
    pub fn over_at(
        self,
        address: &str,
        connections: impl IntoIterator<Item = Arc<dyn Connection>>,
    ) -> Result<Plugin, OpenError> {
        let wanted = self.parse(address)?;
        let mut there = Vec::new();
        for connection in connections {
            match address_of(&*connection) {
                Some(address) if address == wanted => return self.over(connection),
                other => there.extend(other),
            }
        }
        Err(self.no_device(wanted, Cause::NoDevice { there }))
    }

    fn parse(self, address: &str) -> Result<BusAddress, OpenError> {
        let plugin = self.interface.map(|interface| interface.name.to_owned());
        address.parse().map_err(|_| OpenError { place: format!("{address:?}"), plugin, cause: Cause::BadAddress })
    }

    fn no_device(self, wanted: BusAddress, cause: Cause) -> OpenError {
        OpenError {
            place: wanted.to_string(),
            plugin: self.interface.map(|interface| interface.name.to_owned()),
            cause,
        }
    }

    /// Opens over a connection that is there already: the simulator's, say.
    pub fn over(self, connection: Arc<dyn Connection>) -> Result<Plugin, OpenError> {
        self.start(connection, "connection", self.interface.map(|interface| interface.name))
    }

    fn start(self, connection: Arc<dyn Connection>, place: &str, plugin: Option<&str>) -> Result<Plugin, OpenError> {
        let opened = match self.interface {
            Some(interface) => negotiate(&*connection, interface, self.data),
            None => take_any(&*connection, self.data),
        };
        match opened {
            Ok(opened) => Ok(Plugin::new(connection, opened)),
            Err(cause) => Err(OpenError { place: place.to_owned(), plugin: plugin.map(str::to_owned), cause }),
        }
    }
}

/// Where the device of an open handle is, as its driver says.
pub(crate) fn address_of(connection: &dyn Connection) -> Option<BusAddress> {
    BusAddress::from_query(connection.query(0).ok()?.bus_address)
}

/// Opens with an interface. A driver that knows fewer messages is asked once more, with as many as it knows, if the
/// interfaces agree up to there.
fn negotiate(connection: &dyn Connection, interface: &Interface, data: &[u8]) -> Result<Opened, Cause> {
    let count = interface.methods.len() as u32;
    let mut open = request(count, interface.version, interface.fingerprint());
    let mut answer = connection.open(&mut open, data);
    if answer == Err(Status::INTERFACE_MISMATCH.into()) && open.message_count < count {
        let common = open.message_count;
        let chain = interface.chain(common as usize);
        if chain == open.fingerprint {
            open = request(common, interface.version, chain);
            answer = connection.open(&mut open, data);
        }
    }
    match answer {
        Ok(()) => {
            connection.agree(interface);
            Ok(opened(&open, Some(open.message_count)))
        }
        Err(error) if error == Status::INTERFACE_MISMATCH => Err(Cause::Interface {
            name: interface.name,
            app: Side { version: interface.version, messages: count },
            driver: driver(&open),
        }),
        Err(error) => Err(refusal(error, &open)),
    }
}

/// Opens whatever interface there is: with no message known, and the chain that the driver itself has there.
fn take_any(connection: &dyn Connection, data: &[u8]) -> Result<Opened, Cause> {
    let mut open = request(0, 0, 0);
    let query = connection.query(0).map_err(|error| refusal(error, &open))?;
    open.fingerprint = query.chain;
    match connection.open(&mut open, data) {
        Ok(()) => Ok(opened(&open, (open.message_count != 0).then_some(open.message_count))),
        Err(error) => Err(refusal(error, &open)),
    }
}

fn request(message_count: u32, interface_version: u32, fingerprint: u64) -> request::Open {
    request::Open {
        abi_major: limits::ABI_MAJOR,
        abi_minor: limits::ABI_MINOR,
        features: feature::RING | feature::DIRECT,
        message_count,
        interface_version,
        fingerprint,
        ..Request::new()
    }
}

fn opened(open: &request::Open, highest: Option<u32>) -> Opened {
    Opened { session: open.session, driver: driver(open), highest, features: open.features }
}

/// The driver's interface, after its answer.
fn driver(open: &request::Open) -> Side {
    Side { version: open.interface_version, messages: open.message_count }
}

fn refusal(error: Error, open: &request::Open) -> Cause {
    match error.status {
        status if status == TransportStatus::UNKNOWN_REQUEST => Cause::NotKp,
        Status::ABI_MISMATCH => {
            Cause::Abi { app: (limits::ABI_MAJOR, limits::ABI_MINOR), driver: (open.abi_major, open.abi_minor) }
        }
        _ => Cause::Refused(error),
    }
}
