//! There are three directions.
use kp_core::*;

pub struct Sideways;

pub fn map(cx: &mut Passive, dma: &Dma, pages: &Pages) -> Result<Mapping<Sideways>> {
    Mapping::new(cx, dma, pages, 0..4096)
}
