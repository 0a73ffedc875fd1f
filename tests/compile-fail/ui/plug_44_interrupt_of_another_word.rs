//! Whose the interrupt is has one word.
include!("part/plugin.rs");

plugin! { Plain { name: "plain", devices: [0x1234:0x11e8], interrupt: app, callbacks: [] } }
