//! A name has at most 31 characters.
include!("part/plugin.rs");

plugin! { Plain { name: "a-name-that-has-32-characters-or", callbacks: [] } }
