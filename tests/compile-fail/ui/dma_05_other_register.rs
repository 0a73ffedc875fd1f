//! Shared memory has the registers of its own map.
include!("part/dma.rs");

pub fn write(ring: &Coherent<descriptor::Map>) -> Result<()> {
    ring.at(0)?.write(other::VALUE, 1);
    Ok(())
}
