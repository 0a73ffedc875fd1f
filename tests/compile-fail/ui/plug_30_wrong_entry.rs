//! An entry of `devices` is one of the forms there are.
include!("part/plugin.rs");

plugin! { Plain { name: "plain", devices: [0x1234-0x11e8], callbacks: [] } }
