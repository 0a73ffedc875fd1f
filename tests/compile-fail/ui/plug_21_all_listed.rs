//! Whatever is listed and not implemented is named.
include!("part/plugin.rs");

plugin! { Plain { name: "plain", callbacks: [Open, Call, IntEnable, IntAtIrql, IntAtDpc, Event] } }
