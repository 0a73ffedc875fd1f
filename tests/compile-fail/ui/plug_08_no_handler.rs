//! A plugin with an interface answers its messages.
include!("part/plugin.rs");
include!("part/interface.rs");

plugin! { Plain { name: "plain", interface: sums, callbacks: [] } }
