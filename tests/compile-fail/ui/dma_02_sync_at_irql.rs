//! A mapping changes hands at Dispatch at most: what bounces is copied then.
use kp_core::*;

pub fn give(cx: &mut Irql, mapping: Mapping<Both>) -> OnDevice<Mapping<Both>> {
    mapping.hand_over(cx)
}
pub fn take(cx: &mut Irql, mapping: OnDevice<Mapping<Both>>) -> Mapping<Both> {
    mapping.take_back(cx)
}
