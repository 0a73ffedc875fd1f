//! What only a kernel can tell that looks for mistakes, as `cargo kp kernel build --sanitised` makes one.
mod fail_nth;
mod failing;
mod found;
mod races;
