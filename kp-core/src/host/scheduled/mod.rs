//! What a plugin has scheduled: its timers and work items, which run when no app has asked for anything.
//!
//! They do not run before the plugin's value is in its place, while its device sleeps or is being reset, or once it goes: what is due
//! meanwhile is held back, and runs when the pause is over.
mod entries;
mod group;
mod runs;
mod timer;
mod work_item;

pub use entries::{timer, work};
pub(crate) use group::{Entries, Scheduled, unlisted};
pub(crate) use timer::TimerRecord;
pub(crate) use work_item::WorkRecord;
