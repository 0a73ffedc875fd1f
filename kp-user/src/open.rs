//! Opening: which node, and with which interface.
use crate::{
    BusAddress, Cause, Connection, OpenError, Plugin,
    connection::address_of,
    negotiate::{negotiate, take_any},
};
use kp_abi::Interface;
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

    /// Data for the plugin's `open`, at most [`MAX_OPEN_DATA`](kp_abi::limits::MAX_OPEN_DATA) bytes.
    pub fn data(mut self, data: &'a [u8]) -> Self {
        self.data = data;
        self
    }

    /// Opens `edu`, the lowest instance, or `edu.1`, that one.
    #[cfg(any(target_os = "linux", windows))]
    pub fn open(self, name: &str) -> Result<Plugin, OpenError> {
        let (node, place) = crate::platform::open(name)?;
        self.start(node, &place.path, Some(&place.plugin))
    }

    /// Opens the device at a bus address, as in `0000:03:00.0`, whichever number it has.
    #[cfg(any(target_os = "linux", windows))]
    pub fn open_at(self, address: &str) -> Result<Plugin, OpenError> {
        let wanted = self.parse(address)?;
        let failed = |cause| self.no_device(wanted, cause);
        let listed = crate::platform::list().map_err(|error| failed(Cause::Io(error)))?;
        let there = || {
            #[cfg(target_os = "linux")]
            if let Some(cause) = crate::platform::why_not_at(wanted, self.interface.map(|interface| interface.name)) {
                return cause;
            }
            Cause::NoDevice { there: listed.iter().filter_map(|listed| listed.address).collect() }
        };
        let found = listed.iter().find(|listed| listed.address == Some(wanted)).ok_or_else(|| failed(there()))?;
        let (node, place) = crate::platform::open(&found.name.to_string())?;
        // A plugin that was loaded anew between the look and now has given its numbers anew.
        if address_of(&*node) != Some(wanted) {
            return Err(failed(there()));
        }
        self.start(node, &place.path, Some(&place.plugin))
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

impl Plugin {
    /// Opens `edu`, the lowest instance, or `edu.1`, that one. Does not check the interface: with a typed client, use
    /// [`open_interface`](Self::open_interface).
    #[cfg(any(target_os = "linux", windows))]
    pub fn open(name: &str) -> Result<Self, OpenError> {
        OpenOptions::new().open(name)
    }

    /// Opens a plugin whose interface must fit `interface`; `data` is for the plugin's `open`.
    #[cfg(any(target_os = "linux", windows))]
    pub fn open_interface(name: &str, interface: &Interface, data: &[u8]) -> Result<Self, OpenError> {
        OpenOptions::new().interface(interface).data(data).open(name)
    }

    /// Opens the device at a bus address, `0000:03:00.0`, whichever plugin drives it. Does not check the interface: with a typed client, use
    /// [`OpenOptions::open_at`].
    #[cfg(any(target_os = "linux", windows))]
    pub fn open_at(address: &str) -> Result<Self, OpenError> {
        OpenOptions::new().open_at(address)
    }

    /// Opens over a connection that is there already; else as [`open_interface`](Self::open_interface).
    pub fn over(connection: Arc<dyn Connection>, interface: &Interface, data: &[u8]) -> Result<Self, OpenError> {
        OpenOptions::new().interface(interface).data(data).over(connection)
    }

    /// The devices that are there to open, of all plugins, sorted by name. Empty if no plugin is loaded.
    #[cfg(any(target_os = "linux", windows))]
    pub fn list() -> std::io::Result<Vec<crate::Listed>> {
        crate::platform::list()
    }
}
