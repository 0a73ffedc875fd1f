//! A plugin without a device that keeps an app's buffer. It speaks the copier's interface, as far as that needs no card.
#![no_std]
#![forbid(unsafe_code)]
use copier_interface::copier;
use kp_abi::Buffer;
use kp_core::*;

/// What is kept.
pub struct Keeper(Mutex<Option<Pages>>);

impl Init for Keeper {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, _: Device) -> Result<Self> {
        Ok(Keeper(Mutex::new(cx, None)?))
    }
}

impl copier::Handler<Passive> for Keeper {
    fn shared(&self, _: &mut Passive, (): &(), _: u32) -> Result<u32> {
        Err(Status::NO_DMA.into())
    }
    fn pages(&self, _: &mut Passive, (): &(), _: u32) -> Result<u32> {
        Err(Status::NO_DMA.into())
    }
    fn copy(&self, _: &mut Passive, (): &(), _: Buffer, _: Buffer, _: u32) -> Result<u32> {
        Err(Status::NO_DMA.into())
    }
    fn keep(&self, cx: &mut Passive, (): &(), buffer: Buffer) -> Result<()> {
        let pages = cx.buffer(buffer)?;
        self.0.with(cx, |kept, _| *kept = Some(pages));
        Ok(())
    }
    fn lose(&self, _: &mut Passive, (): &(), _: Buffer) -> Result<()> {
        Err(Status::NO_DMA.into())
    }
    fn forget(&self, cx: &mut Passive, (): &()) -> Result<()> {
        let kept = self.0.with(cx, |kept, _| kept.take());
        kept.map(drop).ok_or(Status::NO_BUFFER.into())
    }
    fn halt(&self, _: &mut Passive, (): &()) -> Result<()> {
        Err(Status::NO_DMA.into())
    }
}

plugin! { Keeper { name: "keeper", interface: copier, callbacks: [] } }
