//! A started device: what the bus has assigned to it, and what kp-core's functions do with that.
pub(crate) mod bus;
pub(crate) mod hardware;
pub(crate) mod interrupt;
pub(crate) mod mapping;
pub(crate) mod resources;
