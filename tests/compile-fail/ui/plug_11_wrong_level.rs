//! A callback runs at its own level.
include!("part/plugin.rs");

impl IntAtIrql for Plain {
    fn int_at_irql(&self, _: &mut Dispatch, _: &(), _: Source) -> Verdict {
        Verdict::DONE
    }
}
