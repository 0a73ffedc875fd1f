//! A type without `plugin!` lines is no plugin.
include!("part/plugin.rs");

pub fn name() -> &'static str {
    <Plain as Plugin>::TABLE.name
}
