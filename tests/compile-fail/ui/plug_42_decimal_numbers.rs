//! A vendor and a device as lspci prints them: these are decimal numbers, of no device.
include!("part/plugin.rs");

plugin! { Plain { name: "plain", devices: [8086:1572], callbacks: [] } }
