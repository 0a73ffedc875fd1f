//! Fewer come first.
include!("part/plugin.rs");

plugin! { Plain { name: "plain", vectors: 5..=2, callbacks: [] } }
