//! The list of callbacks is never left out: it is checked both ways.
include!("part/plugin.rs");

plugin! { Plain { name: "plain", devices: [0x1234:0x11e8] } }
