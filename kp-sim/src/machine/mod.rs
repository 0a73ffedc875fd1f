//! One simulated kernel. It acts on what its parts decide: the heap, the locks, the vectors and the bus know no kernel.
//!
//! Each file adds one topic, and calls only what comes before it in this list: `base`, `dma`, `free`, `deliver`, `wait`, `lock`, `interrupt`
//! and `scheduled`.
mod base;
mod deliver;
mod dma;
mod free;
mod interrupt;
mod lock;
mod scheduled;
mod wait;

pub(crate) use base::{Channel, Machine, Options, State};
pub(crate) use wait::WordWait;
