//! An interrupt of the plugin's own that nothing would serve.
include!("part/plugin.rs");

plugin! { Plain { name: "plain", devices: [0x1234:0x11e8], interrupt: own, callbacks: [] } }
