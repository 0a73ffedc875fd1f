//! `cargo kp test`.
