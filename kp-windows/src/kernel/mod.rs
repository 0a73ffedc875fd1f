//! The kernel as kp-core wants it: `port` is the contract, and the others are what it needs.
pub(crate) mod critical_region;
pub(crate) mod irql;
pub(crate) mod leaks;
pub(crate) mod lock;
pub(crate) mod memory;
pub(crate) mod names;
pub(crate) mod panic;
pub(crate) mod parameters;
pub(crate) mod port;
pub(crate) mod processors;
pub(crate) mod wait_queue;
