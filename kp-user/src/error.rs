//! Why a plugin could not be opened, and what to do about it.
use kp_abi::{Error, Status, limits};
use std::{fmt, io};

/// A plugin could not be opened. `Display` is one line: where, why, and what to do next.
#[derive(Debug)]
pub struct OpenError {
    /// What was to be opened: a node's path, or the name as given, or `connection`.
    pub place: String,
    /// The plugin's name, if it is known.
    pub plugin: Option<String>,
    /// Why it failed.
    pub cause: Cause,
}

/// Why a plugin could not be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Cause {
    /// The name is not one that a plugin can have.
    BadName,
    /// There is no such device node.
    NoNode {
        /// The plugin's module is loaded all the same.
        is_loaded: bool,
    },
    /// The app may not open the node for reading and writing.
    Denied,
    /// The node is there, and is not a kp device.
    NotKp,
    /// Opening the node failed in another way.
    Io(io::Error),
    /// App and driver have different major versions of the ABI.
    Abi {
        /// The app's, major and minor.
        app: (u32, u32),
        /// The driver's, major and minor.
        driver: (u32, u32),
    },
    /// App and driver disagree about a message that both know.
    Interface {
        /// The interface's name in the app.
        name: &'static str,
        /// The app's interface.
        app: Side,
        /// The driver's.
        driver: Side,
    },
    /// OPEN was refused, by the host or by the plugin.
    Refused(Error),
}

/// One side's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// Version of the interface, for people.
    pub version: u32,
    /// Messages.
    pub messages: u32,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {} ({} messages)", self.version, self.messages)
    }
}

impl OpenError {
    /// The row of the status table; `None` if no driver was reached.
    pub fn status(&self) -> Option<Status> {
        match &self.cause {
            Cause::Abi { .. } => Some(Status::ABI_MISMATCH),
            Cause::Interface { .. } => Some(Status::INTERFACE_MISMATCH),
            Cause::NotKp => Some(Status::UNKNOWN_REQUEST),
            Cause::Refused(error) => Some(error.status),
            Cause::BadName | Cause::NoNode { .. } | Cause::Denied | Cause::Io(_) => None,
        }
    }

    fn plugin(&self) -> &str {
        self.plugin.as_deref().unwrap_or("PLUGIN")
    }

    /// How to load the plugin's module.
    fn load(&self) -> String {
        format!("`insmod kp-{}.ko`", self.plugin())
    }

    /// The module's name in the kernel.
    fn module(&self) -> String {
        module(self.plugin())
    }

    fn refused(&self, f: &mut fmt::Formatter<'_>, error: Error) -> fmt::Result {
        let module = self.module();
        match error.status {
            Status::POISONED => {
                write!(f, "the plugin has panicked: see `dmesg`, then `rmmod {module}` and {}", self.load())
            }
            Status::DEVICE_GONE => {
                write!(f, "the device was removed: plug it in again, or `rmmod {module}` and {}", self.load())
            }
            Status::TOO_MANY_SESSIONS => f.write_str("the device has as many sessions as it allows: close another one"),
            Status::PAYLOAD_TOO_LARGE => {
                write!(f, "the open data is too long: pass {} bytes at most", limits::MAX_OPEN_DATA)
            }
            Status::PLUGIN_ERROR => {
                write!(f, "the plugin refused with its error {}: see its documentation, and `dmesg`", error.detail)
            }
            Status::NO_REPLY => f.write_str("the driver left no answer: see `dmesg`, and load the module anew"),
            status => {
                write!(f, "OPEN answered {error}")?;
                match status.row() {
                    Some(row) => write!(f, ": {} See `dmesg`", row.meaning),
                    None => f.write_str(": this build does not know the status; rebuild the app with a newer kp-user"),
                }
            }
        }
    }
}

/// The kernel's name of a plugin's module.
pub(crate) fn module(plugin: &str) -> String {
    format!("kp_{}", plugin.replace('-', "_"))
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        match &self.cause {
            Cause::BadName => write!(f, "{}", crate::BadName),
            Cause::NoNode { is_loaded: false } => {
                write!(f, "no such device node: is the module loaded? {}", self.load())
            }
            Cause::NoNode { is_loaded: true } => {
                let module = self.module();
                write!(f, "no such device node, though {module} is loaded: it drives no such device, see `dmesg`")
            }
            Cause::Denied => write!(
                f,
                "permission denied: run as root, or let a group in with a udev rule: KERNEL==\"kp-{}*\", GROUP=\"GROUP\", \
                 MODE=\"0660\"",
                self.plugin()
            ),
            Cause::NotKp => write!(f, "not a kp device: remove what has taken this path, then {}", self.load()),
            Cause::Io(error) => match error.raw_os_error() {
                Some(_) => write!(f, "{error}: see `dmesg`"),
                None => write!(f, "{error}"),
            },
            Cause::Abi { app, driver } => write!(
                f,
                "the app speaks ABI {}.{}, the driver {}.{}: build both with the same major version of kp",
                app.0, app.1, driver.0, driver.1
            ),
            Cause::Interface { name, app, driver } => write!(
                f,
                "the app's interface `{name}` is {app}, the driver's is {driver}, and they differ in a message that both know: \
                 build both from one interface crate"
            ),
            Cause::Refused(error) => self.refused(f, *error),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::Io(error) => Some(error),
            Cause::Refused(error) => Some(error),
            _ => None,
        }
    }
}
