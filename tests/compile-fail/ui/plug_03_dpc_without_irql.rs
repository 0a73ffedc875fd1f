//! A DPC needs an interrupt handler that defers to it.
include!("part/plugin.rs");

impl IntAtDpc for Plain {
    fn int_at_dpc(&self, _: &mut Dispatch, _: &(), _: Source, count: u32) -> u32 {
        count
    }
}

plugin! { Plain { name: "plain", callbacks: [IntAtDpc] } }
