//! Transfers of a device's own: in bulk, bounced or behind an IOMMU, and by apps that do what they should not.
mod bulk;
mod machine;

use super::load;
use kp_abi::Interface;
use kp_user::Plugin;

/// A session of a plugin that is loaded.
fn connect(plugin: &str, interface: &'static Interface) -> Plugin {
    Plugin::open_interface(plugin, interface, &[]).unwrap_or_else(|error| panic!("{plugin}: {error}"))
}

/// Loads it, too.
fn start(plugin: &str, interface: &'static Interface) -> Plugin {
    load(plugin);
    connect(plugin, interface)
}
