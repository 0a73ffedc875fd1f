//! Where memory is for the device is told when the device has it.
include!("part/dma.rs");

pub fn shared(ring: &Coherent<descriptor::Map>) -> Result<BusAddress> {
    ring.bus(0)
}
pub fn mapped(mapping: &Mapping<ToDevice>) -> Result<BusAddress> {
    mapping.bus_at(0)
}
