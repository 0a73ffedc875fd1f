//! C that no kernel may run, one fault at a time, and what the c-code plugin calls.
#![no_std]
#![deny(unsafe_code)]

#[expect(unsafe_code, reason = "calls C, and is called by it")]
mod c;

pub use c::run;
