//! A started device: what the bus has assigned to it, and what kp-core's functions do with that.
//!
//! - `stack_device`: the device objects of other drivers below this one's. `hardware`: the record of a started device.
//! - `resources`: what START_DEVICE assigns. `bus`: configuration space.
//! - `dma`: its own transfers, and memory that it shares. `dma_mapping`: pages that are mapped for it. `dma_list`: the kernel's lists of those.
//! - `mapping`: registers. `interrupt`: vectors, their handlers and DPCs. `msix_table`: their masks. `command`: the command register.
pub(crate) mod bus;
pub(crate) mod command;
pub(crate) mod dma;
mod dma_list;
pub(crate) mod dma_mapping;
pub(crate) mod hardware;
pub(crate) mod interrupt;
pub(crate) mod mapping;
pub(crate) mod msix_table;
pub(crate) mod resources;
pub(crate) mod stack_device;
