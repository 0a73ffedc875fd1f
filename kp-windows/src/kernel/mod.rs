//! The kernel as kp-core wants it: `port` is the contract, and the others are what it needs.
//!
//! - Clock and log: `clock`, `log`, `panic`.
//! - Memory: `memory`, `pool_box`, `pages`, `list` (through what is in it), `leaks` (what was not given back).
//! - Waiting: `lock` (of each kind that kp-core asks for), `spin_lock`, `event`, `wait_queue`. Later: `dpc` (and timers), `plugin_timer`,
//!   `plugin_work`, `late` (what the level is too high for).
//! - Levels and processors: `irql`, `processors`, `critical_region`.
//! - Names and settings: `names`, `parameters` (in the registry), `optional` (functions that not every kernel has), `routine` (one of those).
pub(crate) mod clock;
pub(crate) mod critical_region;
pub(crate) mod dpc;
pub(crate) mod event;
pub(crate) mod irql;
pub(crate) mod late;
pub(crate) mod leaks;
pub(crate) mod list;
pub(crate) mod lock;
pub(crate) mod log;
pub(crate) mod memory;
pub(crate) mod names;
pub(crate) mod optional;
pub(crate) mod pages;
pub(crate) mod panic;
pub(crate) mod parameters;
mod plugin_timer;
pub(crate) mod plugin_work;
pub(crate) mod pool_box;
mod port;
pub(crate) mod processors;
mod routine;
pub(crate) mod spin_lock;
pub(crate) mod wait_queue;
