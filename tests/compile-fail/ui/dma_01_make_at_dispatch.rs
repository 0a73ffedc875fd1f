//! Memory for transfers is made at Passive: it allocates.
include!("part/dma.rs");

pub fn dpc(cx: &mut Dispatch, dma: &Dma) -> Result<Coherent<descriptor::Map>> {
    Coherent::new(cx, dma, 1)
}
pub fn map(cx: &mut Dispatch, dma: &Dma, pages: &Pages) -> Result<Mapping<Both>> {
    Mapping::new(cx, dma, pages, 0..4096)
}
