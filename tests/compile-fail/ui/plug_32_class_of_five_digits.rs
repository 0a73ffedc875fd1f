//! A class has four digits or six.
include!("part/plugin.rs");

plugin! { Plain { name: "plain", devices: [class 0x01080], callbacks: [] } }
