//! Transfers of a device's own: in bulk, bounced or behind an IOMMU, and by apps that do what they should not.
mod bulk;
mod kills;
mod low;
mod machine;
mod memory;
mod reset;
mod ring;
mod shared;
mod story;
mod stray;
mod unbound;

use super::load;
use crate::{
    interrupts::until,
    loopback::{Frames, Pair},
};
use kp_abi::Interface;
use kp_user::Plugin;
use loopback_interface::{BLOCK, loopback};

/// A session of a plugin that is loaded.
fn connect(plugin: &str, interface: &'static Interface) -> Plugin {
    Plugin::open_interface(plugin, interface, &[]).unwrap_or_else(|error| panic!("{plugin}: {error}"))
}

/// Loads it, too.
fn start(plugin: &str, interface: &'static Interface) -> Plugin {
    load(plugin);
    connect(plugin, interface)
}

/// The card is free and works, and nothing is kept for it that somebody has left.
fn works(plugin: &Plugin) {
    loopback::Client(plugin).reset().expect("the card can be reset");
    assert_eq!(plugin.query().map(|query| query.quarantined), Ok(0), "a card that was reset has nothing");
    let blocks = 8;
    Pair::new(plugin, blocks).go_round(Frames { from_at: 0, into: 0, len: BLOCK as usize, count: blocks });
}

/// Each page that was pinned is not any more. Nothing that others pin is under way in this guest.
fn nothing_is_pinned() {
    until("all that was pinned is released", || {
        machine::vmstat("nr_foll_pin_acquired") == machine::vmstat("nr_foll_pin_released")
    });
    assert!(machine::vmstat("nr_foll_pin_acquired") > 0, "something was pinned");
}
