//! What Microsoft's C runtime brings along for a driver otherwise, in assembly.
mod control_flow_guard;
mod stack_probe;
