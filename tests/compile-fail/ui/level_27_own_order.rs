//! Which level is below which is not an author's to say.
use kp_core::*;

impl AtMost<Dispatch> for Irql {}

impl<L: Level> AtMost<L> for Box<L> {}
