//! A plugin that answers with what it is sent: what is left to measure is the way there and back.
#![no_std]
#![forbid(unsafe_code)]

pub use bench_interface::bench;
use kp_core::*;

/// The plugin.
pub struct Bench;

impl Init for Bench {
    type Session = ();
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(Bench)
    }
}

impl bench::Handler<Passive> for Bench {
    fn null(&self, _: &mut Passive, _: &()) -> Result<()> {
        Ok(())
    }

    fn copy64(&self, _: &mut Passive, _: &(), words: [u64; 8]) -> Result<[u64; 8]> {
        Ok(words)
    }

    fn copy<'m>(&self, _: &mut Passive, _: &(), data: &'m [u8], out: &mut Out<'_, 'm, u8>) -> Result<()> {
        out.lend(data)
    }
}

plugin! { Bench { name: "bench", interface: bench, callbacks: [] } }
