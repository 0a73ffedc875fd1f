//! In what the app's interface and the driver's differ: asked of the driver once it has refused.
use crate::Connection;
use kp_abi::Interface;
use std::fmt;

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
        let Self { version, messages } = self;
        let plural = if *messages == 1 { "" } else { "s" };
        write!(f, "version {version} ({messages} message{plural})")
    }
}

/// What does not fit between the app's interface and the driver's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mismatch {
    /// The plugin declares no interface.
    NoInterface,
    /// The names: the plugin is another one.
    Name,
    /// A message that both know.
    Message {
        /// Its number; of several, the lowest.
        number: u32,
        /// Its name in the app.
        name: &'static str,
    },
    /// The driver does not say.
    Unknown,
}

impl Mismatch {
    /// Asks the driver for its chain where the app's begins, and then message by message.
    pub(crate) fn find(connection: &dyn Connection, interface: &Interface, driver: Side) -> Self {
        let Ok(query) = connection.query(0) else { return Self::Unknown };
        if query.chain == 0 && driver.messages == 0 {
            return Self::NoInterface;
        }
        if query.chain != interface.chain(0) {
            return Self::Name;
        }
        for (number, method) in (1..=driver.messages).zip(interface.methods) {
            match connection.query(number) {
                Ok(query) if query.chain == interface.chain(number as usize) => {}
                Ok(_) => return Self::Message { number, name: method.name },
                Err(_) => break,
            }
        }
        Self::Unknown
    }

    /// Both sides, what differs, and what to do, in a line.
    pub(crate) fn write(self, f: &mut fmt::Formatter<'_>, name: &str, app: Side, driver: Side) -> fmt::Result {
        let both = format_args!("the app's interface `{name}` is {app}, the driver's is {driver}");
        match self {
            Self::NoInterface => write!(
                f,
                "the app is for the interface `{name}`, and this plugin has none: open the plugin that the app is for, or this one \
                 without an interface; if it should have one, its `plugin!` lacks `interface:`"
            ),
            Self::Name => write!(
                f,
                "the app is for the interface `{name}`, and this plugin has another one, {driver}: open the plugin that the app is \
                 for, or build the app with this one's interface crate"
            ),
            Self::Message { number, name: message } if app.version == driver.version => write!(
                f,
                "app and driver both have version {} of the interface `{name}`, and differ in message {number}, `{message}`: build \
                 both from one interface crate, in which a message that changes gets a number of its own",
                app.version
            ),
            Self::Message { number, name: message } => write!(
                f,
                "{both}, and they differ in message {number}, `{message}`: build both from one interface crate"
            ),
            Self::Unknown => {
                write!(f, "{both}, and the driver says that they do not fit: build both from one interface crate")
            }
        }
    }
}
