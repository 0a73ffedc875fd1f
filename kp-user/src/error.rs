//! Why a plugin could not be opened, and what to do about it.
use crate::{BusAddress, Mismatch, Side, sentences, system::System};
use kp_abi::{Error, Status, TransportStatus, limits};
use std::{fmt, io};

/// A plugin could not be opened. `Display` is one line: where, why, and what to do next. `Debug` is the same line, for an app whose
/// `main` returns the error.
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
    /// The text is not a bus address.
    BadAddress,
    /// No plugin has a device at this bus address.
    NoDevice {
        /// Where the devices are that there are.
        there: Vec<BusAddress>,
    },
    /// There is no such device node.
    NoNode {
        /// The plugin's module is loaded all the same.
        is_loaded: bool,
    },
    /// There is no device node: the plugin's module is loaded, and no device that it drives is on the bus.
    NotOnBus,
    /// There is no device node: another driver has the device, or may have it alone.
    Held {
        /// Where the device is.
        address: BusAddress,
        /// The driver that has it.
        driver: Option<String>,
        /// The driver that alone may have it: what `driver_override` says.
        promised_to: Option<String>,
    },
    /// There is no device node: the plugin's `init` refused the device, or somebody has unbound it.
    InitRefused {
        /// Where the device is.
        address: BusAddress,
        /// What `init` has answered, if the kernel's log has it and may be read.
        status: Option<String>,
    },
    /// The app may not open the node for reading and writing, nor may any group.
    Denied,
    /// A group may open the node for reading and writing, and the app's process is not in it.
    NotInGroup {
        /// The group's name, or its number if it has none here.
        group: String,
    },
    /// The process may not open the node, whatever the node's mode: so it is in a container.
    NotPermitted,
    /// The node is there, and is not a kp device.
    NotKp,
    /// Opening the node failed in another way.
    Io(io::Error),
    /// `KP_NODE` names a socket, and no plugin answers there.
    NoSocket(io::Error),
    /// App and driver have different major versions of the ABI.
    Abi {
        /// The app's, major and minor.
        app: (u32, u32),
        /// The driver's, major and minor.
        driver: (u32, u32),
    },
    /// The app's interface does not fit the driver's.
    Interface {
        /// The interface's name in the app.
        name: &'static str,
        /// The app's interface.
        app: Side,
        /// The driver's.
        driver: Side,
        /// What does not fit.
        mismatch: Mismatch,
    },
    /// OPEN was refused, by the host or by the plugin.
    Refused(Error),
}

impl OpenError {
    /// The row of the status table; `None` if no driver was reached.
    pub fn status(&self) -> Option<Status> {
        match &self.cause {
            Cause::Abi { .. } => Some(Status::ABI_MISMATCH),
            Cause::Interface { .. } => Some(Status::INTERFACE_MISMATCH),
            Cause::NotKp => Some(TransportStatus::UNKNOWN_REQUEST.status()),
            Cause::Refused(error) => Some(error.status),
            Cause::BadName
            | Cause::BadAddress
            | Cause::NoDevice { .. }
            | Cause::NoNode { .. }
            | Cause::NotOnBus
            | Cause::Held { .. }
            | Cause::InitRefused { .. }
            | Cause::Denied
            | Cause::NotInGroup { .. }
            | Cause::NotPermitted
            | Cause::Io(_)
            | Cause::NoSocket(_) => None,
        }
    }

    fn plugin(&self) -> &str {
        self.plugin.as_deref().unwrap_or("PLUGIN")
    }

    /// The error in one line, with what to do on `system`.
    fn write(&self, f: &mut fmt::Formatter<'_>, system: System) -> fmt::Result {
        let (name, log) = (self.plugin(), system.log());
        write!(f, "{}: ", self.place)?;
        let module = system.loaded(name);
        let mut say = |sentence, more: &[(&str, &str)]| {
            let all = [("plugin", name), ("module", module.as_str()), ("place", self.place.as_str())];
            f.write_str(&system.say(sentence, &[&all[..], more].concat()))
        };
        match &self.cause {
            Cause::BadName => write!(f, "{}", crate::BadName),
            Cause::BadAddress => write!(f, "{}", crate::BadAddress),
            Cause::NoDevice { there } if there.is_empty() => write!(
                f,
                "no plugin has a device at this address, nor at any other: is the {} loaded? {}",
                system.module(),
                system.load(name)
            ),
            Cause::NoDevice { there } => {
                let there: Vec<String> = there.iter().map(BusAddress::to_string).collect();
                let devices = system.devices();
                write!(f, "no plugin has a device at this address, but at {}: see {devices}", there.join(", "))
            }
            Cause::NoNode { is_loaded: false } => say(sentences::NO_NODE, &[]),
            Cause::NoNode { is_loaded: true } => say(sentences::NO_NODE_OF_LOADED, &[]),
            Cause::NotOnBus => {
                let (node, module) = (system.node(), system.loaded(name));
                write!(f, "no {node}: no device that {module} drives is on the bus: see `lspci -nn`")
            }
            Cause::Held { address, driver, promised_to } => {
                let (device, module) = (format!("/sys/bus/pci/devices/{address}"), system.loaded(name));
                write!(f, "no {}: ", system.node())?;
                let take = format!("`kp load {name} --take {address}`, or ");
                let free = format!("`echo > {device}/driver_override`, ");
                let unbind = format!("`echo {address} > {device}/driver/unbind`, ");
                match (driver, promised_to) {
                    (Some(driver), Some(other)) => write!(
                        f,
                        "driver {driver} has {address}, and driver_override of it is set to {other}: {take}{free}{unbind}"
                    ),
                    (Some(driver), None) => write!(f, "driver {driver} has {address}: {take}{unbind}"),
                    (None, other) => {
                        let other = other.as_deref().unwrap_or_default();
                        write!(f, "driver_override of {address} is set to {other}: {take}{free}")
                    }
                }?;
                write!(f, "then `echo {address} > /sys/bus/pci/drivers/{module}/bind`")
            }
            Cause::InitRefused { address, status: Some(status) } => {
                write!(f, "no {}: `init` refused {address}: {status}: see {log}", system.node())
            }
            Cause::InitRefused { address, status: None } => write!(
                f,
                "no {}: no driver has {address}, though {} is loaded: `init` refused it, or it was unbound; see {log}",
                system.node(),
                system.loaded(name)
            ),
            Cause::Denied => say(sentences::DENIED, &[]),
            Cause::NotInGroup { group } => say(sentences::NOT_IN_GROUP, &[("group", group)]),
            Cause::NotPermitted => say(sentences::NOT_PERMITTED, &[]),
            Cause::NotKp => {
                write!(f, "not a kp device: remove what has taken this {}, then {}", system.place(), system.load(name))
            }
            Cause::Io(error) => match error.raw_os_error() {
                Some(_) => write!(f, "{error}: see {log}"),
                None => write!(f, "{error}"),
            },
            Cause::NoSocket(error) => say(sentences::NO_SOCKET, &[("why", &error.to_string())]),
            Cause::Abi { app, driver } => write!(
                f,
                "the app speaks ABI {}.{}, the driver {}.{}: build both with the same major version of kp",
                app.0, app.1, driver.0, driver.1
            ),
            Cause::Interface { name, app, driver, mismatch } => mismatch.write(f, name, *app, *driver),
            Cause::Refused(error) => self.refused(f, *error, system),
        }
    }

    fn refused(&self, f: &mut fmt::Formatter<'_>, error: Error, system: System) -> fmt::Result {
        let (name, log) = (self.plugin(), system.log());
        match error.status {
            Status::POISONED => write!(f, "the plugin has panicked: see {log}, then {}", system.load_anew(name)),
            Status::DEVICE_GONE => {
                write!(f, "the device was removed: plug it in again, or {}", system.load_anew(name))
            }
            Status::TOO_MANY_SESSIONS => f.write_str("the device has as many sessions as it allows: close another one"),
            Status::PAYLOAD_TOO_LARGE => {
                write!(f, "the open data is too long: pass {} bytes at most", limits::MAX_OPEN_DATA)
            }
            Status::PLUGIN_ERROR => {
                write!(f, "the plugin refused with its error {}: see its documentation, and {log}", error.detail)
            }
            Status::NO_REPLY => {
                write!(f, "the driver left no answer: see {log}, and load the {} anew", system.module())
            }
            status => {
                write!(f, "OPEN answered {error}")?;
                match status.row() {
                    Some(row) => write!(f, ": {} See {log}", row.meaning),
                    None => f.write_str(": this build does not know the status; rebuild the app with a newer kp-user"),
                }
            }
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, System::HERE)
    }
}

impl fmt::Debug for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::Io(error) | Cause::NoSocket(error) => Some(error),
            Cause::Refused(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As it is shown on one system.
    struct On<'e>(System, &'e OpenError);
    impl fmt::Display for On<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.1.write(f, self.0)
        }
    }

    #[test]
    fn an_error_that_main_returns_still_says_what_to_do() {
        let error = OpenError { place: "/dev/kp/edu".into(), plugin: Some("edu".into()), cause: Cause::BadName };
        assert_eq!(format!("{error:?}"), error.to_string());
    }

    #[test]
    fn each_system_is_told_in_its_own_words_what_to_do() {
        let shown = |system: System, cause: Cause| {
            let place = if system == System::Windows { r"\\.\kp-my-edu.0" } else { "/dev/kp/my-edu.0" };
            let error = OpenError { place: place.into(), plugin: Some("my-edu".into()), cause };
            On(system, &error).to_string().split_once(": ").expect("a place, and why").1.to_owned()
        };
        let both = |cause: fn() -> Cause| [System::Linux, System::Windows].map(|system| shown(system, cause()));
        assert_eq!(
            both(|| Cause::NoNode { is_loaded: false }),
            [
                "no such device node: is the module loaded? `kp load my-edu`, or `insmod kp-my-edu.ko`",
                "no such device: is the driver loaded? `sc start kp-my-edu`, or install kp-my-edu.inf"
            ]
        );
        assert_eq!(
            both(|| Cause::NoNode { is_loaded: true }),
            [
                "no such device node, though kp_my_edu is loaded: there is no such device, or the plugin refused it; \
                 see `lspci -nnk` and `dmesg`",
                "no such device, though kp-my-edu is loaded: there is no such device, or the plugin refused it; \
                 see Device Manager and the debugger's output"
            ]
        );
        assert_eq!(
            both(|| Cause::Denied),
            [
                "permission denied: run as root, or let a group in: `kp install kp-my-edu.ko --group GROUP`, or a udev rule: \
                 SUBSYSTEM==\"kp-my-edu\", GROUP=\"GROUP\", MODE=\"0660\"",
                "access denied: run as administrator"
            ]
        );
        assert_eq!(
            both(|| Cause::NotKp),
            [
                "not a kp device: remove what has taken this path, then `kp load my-edu`, or `insmod kp-my-edu.ko`",
                "not a kp device: remove what has taken this name, then `sc start kp-my-edu`, or install kp-my-edu.inf"
            ]
        );
        assert_eq!(
            both(|| Cause::Refused(Status::POISONED.into())),
            [
                "the plugin has panicked: see `dmesg`, then `kp reload my-edu`, or `rmmod kp_my_edu` and `insmod kp-my-edu.ko`",
                "the plugin has panicked: see the debugger's output, then boot Windows again"
            ]
        );
        assert_eq!(
            both(|| Cause::Refused(Status::DEVICE_GONE.into())),
            [
                "the device was removed: plug it in again, or `kp reload my-edu`, or `rmmod kp_my_edu` and `insmod kp-my-edu.ko`",
                "the device was removed: plug it in again, or boot Windows again"
            ]
        );
    }
}
