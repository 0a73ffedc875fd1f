//! Batched calls: the same messages, the same answers, one request; and what a hostile app can do, which is nothing.
#[path = "../part/mod.rs"]
mod part;

mod corners;
mod end;
mod hostile;
mod ordinary;
mod raw;
