//! A self test in C, and the safe functions that the selftest plugin calls.
//!
//! All unsafe code is in `c.rs`. Each function that calls C takes the level that the C code needs.
#![no_std]
#![deny(unsafe_code)]

#[expect(unsafe_code, reason = "calls C, and is called by it")]
mod c;

pub use c::{Card, End, Report, causes, run};
