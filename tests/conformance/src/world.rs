//! What a scenario needs of a host, besides the client library.
use kp_abi::Interface;
use kp_user::Plugin;

/// One of the example plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Drives no device.
    Echo,
    /// Drives QEMU's edu.
    Edu,
    /// Drives the same device, and lets it transfer by itself.
    Bmd,
}

impl Subject {
    /// The plugin's name.
    pub fn name(self) -> &'static str {
        match self {
            Subject::Echo => "echo",
            Subject::Edu => "edu",
            Subject::Bmd => "bmd",
        }
    }

    /// The plugin's interface.
    pub fn interface(self) -> &'static Interface {
        match self {
            Subject::Echo => echo_interface::echo::INTERFACE,
            Subject::Edu => edu_interface::edu::INTERFACE,
            Subject::Bmd => bmd_interface::bmd::INTERFACE,
        }
    }
}

/// What became of an unload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unload {
    /// The module is gone.
    Gone,
    /// It is in use, and stays.
    Stays,
}

impl std::fmt::Display for Unload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Unload::Gone => "gone",
            Unload::Stays => "stays",
        })
    }
}

/// A host, as far as a scenario drives it. A host that cannot do something panics: it is not one.
pub trait World {
    /// Loads the plugin, and waits until it can be opened.
    fn load(&mut self, subject: Subject);
    /// Asks for its unload.
    fn unload(&mut self, subject: Subject) -> Unload;
    /// Opens it.
    fn connect(&mut self, subject: Subject) -> Plugin;
    /// Has the system give edu's device interrupts of this kind; nobody has it open. Where a driver may choose among all that a device
    /// has, there is nothing to do.
    fn assign(&mut self, _kinds: u32) {}
    /// Starts another client, which opens edu, enables its interrupt and waits for notifications that never come; returns once the
    /// driver's own counters show it waiting. The client ends without a word when the answer is dropped, as if it were killed;
    /// that returns once the driver has let it go.
    fn client_that_waits(&mut self, kinds: u32) -> Box<dyn Victim>;
}

/// A client that can be killed.
pub trait Victim {
    /// Kills it.
    fn kill(self: Box<Self>);
}
