//! What was taken back is not the device's any more: its addresses are not told.
use kp_core::*;

pub fn late(cx: &mut Passive, on_device: OnDevice<Mapping<FromDevice>>) -> usize {
    let mapping = on_device.take_back(cx);
    on_device.segments().count() + mapping.len()
}
pub fn kept(cx: &mut Passive, on_device: OnDevice<Mapping<FromDevice>>) -> Option<Segment> {
    let mut segments = on_device.segments();
    on_device.take_back(cx);
    segments.next()
}
