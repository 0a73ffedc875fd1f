//! No device has this vendor.
include!("part/plugin.rs");

plugin! { Plain { name: "plain", devices: [0xffff:0x11e8], callbacks: [] } }
