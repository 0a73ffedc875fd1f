//! An interrupt has a vector.
include!("part/plugin.rs");

plugin! { Plain { name: "plain", vectors: 0..=4, callbacks: [] } }
