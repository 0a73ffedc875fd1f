//! The driver and its devices, from DriverEntry to unload.
//!
//! - `entry`: DriverEntry and unload.
//! - `new_device`: a device object that is being made. `control_device`, `security`: the one of a plugin that drives no hardware, and who
//!   may open it.
//! - `device_extension`, `pnp`, `power`: a device of a stack, from AddDevice to REMOVE_DEVICE. `stack_request`: a request to it, which keeps it.
pub(crate) mod control_device;
pub(crate) mod device_extension;
pub mod entry;
pub(crate) mod new_device;
pub(crate) mod pnp;
pub(crate) mod power;
pub(crate) mod security;
pub(crate) mod stack_request;
