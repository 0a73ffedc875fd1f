//! An entry of another bus, which there is not.
include!("part/plugin.rs");

plugin! { Plain { name: "plain", devices: [0x1234:0x11e8, acpi "PNP0501"], callbacks: [] } }
