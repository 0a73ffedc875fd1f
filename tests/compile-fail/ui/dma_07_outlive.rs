//! The words of shared memory do not outlive it.
include!("part/dma.rs");

pub fn keep(cx: &mut Passive, dma: &Dma) -> Result<Regs<'static, descriptor::Map, Memory>> {
    let ring = Coherent::<descriptor::Map>::new(cx, dma, 1)?;
    ring.at(0)
}
