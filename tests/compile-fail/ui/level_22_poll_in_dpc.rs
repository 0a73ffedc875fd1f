//! A DPC cannot wait for the device.
include!("part/plugin.rs");

impl IntAtDpc for Plain {
    fn int_at_dpc(&self, cx: &mut Dispatch, _: &(), _: Source, count: u32) -> u32 {
        let _ = cx.poll(10, |_| true);
        count
    }
}
