//! Batched calls: RING_SETUP, RING_ENTER, RING_TEARDOWN.
//!
//! An app writes submissions into memory that it shares with the driver, and one request runs them, in its own thread: each is copied
//! once, checked like a CALL, and handed to the same handler. The app is believed nothing: what the driver must know it keeps in memory
//! of its own ([`DriverSide`]), the app's indices are read once per request, and offsets are checked and clamped. A hostile app
//! hurts only itself.
//!
//! - `requests`: the three requests; when a batch stops.
//! - `rings`, `slot`: a session's ring, and one request at a time that has it.
//! - `message`: one submission.
//! - `queues`: the queues in shared memory, and copies between it and private memory.
mod message;
mod queues;
mod requests;
mod rings;
mod slot;

use super::sync;
pub(super) use {
    requests::{enter, setup, teardown, undo},
    rings::Rings,
};
