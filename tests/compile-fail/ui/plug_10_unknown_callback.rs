//! A misspelt callback is no callback.
include!("part/plugin.rs");

plugin! { Plain { name: "plain", callbacks: [IntAtIrq] } }
