//! A callback for work items that is listed is implemented.
include!("part/plugin.rs");

plugin! { Plain { name: "plain", callbacks: [Work] } }
