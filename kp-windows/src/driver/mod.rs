//! The driver and its devices, from DriverEntry to unload.
pub(crate) mod control_device;
pub(crate) mod device_extension;
pub mod entry;
pub(crate) mod node;
pub(crate) mod pnp;
pub(crate) mod power;
pub(crate) mod security;
