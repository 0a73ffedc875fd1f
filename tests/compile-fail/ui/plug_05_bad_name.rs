//! A name is fit for a file and a device node.
include!("part/plugin.rs");

plugin! { Plain { name: "My Plugin", callbacks: [] } }
