//! What `plugin!` has is written in one order.
include!("part/plugin.rs");

plugin! { Plain { name: "plain", callbacks: [], vectors: 1..=8 } }
