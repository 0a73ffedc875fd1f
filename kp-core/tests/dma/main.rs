//! A device's own transfers: what it is shown it sees, what it has it keeps until it has stopped, and whatever is dropped in whatever order leaves
//! nothing.
mod coherent;
mod deaths;
mod kept;
mod mappings;
mod mover;
