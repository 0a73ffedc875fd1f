//! What there is to open.
use crate::{BusAddress, Name};
use std::fmt;

/// A device that is there to open, or a plugin without one. From [`Plugin::list`](crate::Plugin::list). Sorts by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Listed {
    /// Plugin and number: what [`Plugin::open`](crate::Plugin::open) takes.
    pub name: Name,
    /// The node's path, or the device's name with Windows.
    pub path: String,
    /// Where the device is on the bus: what [`Plugin::open_at`](crate::Plugin::open_at) takes. `None` for a plugin without a device; with
    /// Windows, where the driver is asked, also if this app may not open it.
    pub address: Option<BusAddress>,
}

impl fmt::Display for Listed {
    /// `edu.0 at 0000:03:00.0`, or the name alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "{} at {address}", self.name),
            None => write!(f, "{}", self.name),
        }
    }
}
