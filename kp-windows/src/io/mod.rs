//! Requests: what apps and the kernel ask of the driver, as IRPs.
pub(crate) mod buffered_request;
pub(crate) mod control;
pub(crate) mod handle;
pub(crate) mod irp;
pub(crate) mod seh;
pub(crate) mod wait;
