//! A plugin that has two pages of its stack in one function: compilers call for such a function what touches each page.
#![no_std]
#![forbid(unsafe_code)]

use core::hint::black_box;
use kp_core::*;

/// The plugin.
pub struct Deep;

impl Init for Deep {
    type Session = ();
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        // What its arguments and its caller's variables are has to be the same afterwards.
        let (seed, before) = black_box((7, [1_u64, 2, 3, 4]));
        let sum = fill(seed, 3, 5, 11);
        if sum == 8192 * 7 + 3 + 5 + 11 && before == [1, 2, 3, 4] { Ok(Deep) } else { Err(Error::plugin(1)) }
    }
}

/// Fills two pages of the stack, and adds up what is there.
#[inline(never)]
fn fill(seed: u8, a: u64, b: u64, c: u64) -> u64 {
    let mut bytes = [0; 8192];
    black_box(&mut bytes).fill(seed);
    black_box(&bytes).iter().map(|&byte| u64::from(byte)).sum::<u64>() + a + b + c
}

plugin! { Deep { name: "deep-stack", callbacks: [] } }
