//! Batched calls: the same messages, the same answers, one request; and what a hostile app can do, which is nothing.
#[path = "../test_plugin/mod.rs"]
mod test_plugin;

mod by_hand;
mod end;
mod in_use;
mod malformed;
mod ordinary;
