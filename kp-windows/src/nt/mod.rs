//! The part of the NT kernel's binary interface that the port uses, for 64-bit Windows 10 and later. Written by hand: no WDK is
//! needed, and every offset that matters is asserted when it is compiled.
//!
//! - `structs`, `structs_device`, `structs_dma`, `structs_resource`: the kernel's structs; `layouts` holds their sizes and offsets.
//! - `status`, `constants`: numbers.
mod constants;
mod imports;
mod layouts;
mod status;
mod structs;
mod structs_device;
mod structs_dma;
mod structs_resource;

pub(crate) use constants::*;
pub(crate) use imports::*;
pub(crate) use status::*;
pub(crate) use structs::*;
pub(crate) use structs_device::*;
pub(crate) use structs_dma::*;
pub(crate) use structs_resource::*;
