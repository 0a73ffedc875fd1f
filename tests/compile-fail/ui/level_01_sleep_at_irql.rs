//! An interrupt handler cannot sleep.
include!("part/plugin.rs");

impl IntAtIrql for Plain {
    fn int_at_irql(&self, cx: &mut Irql, _: &(), _: Source) -> Verdict {
        cx.sleep_ms(1);
        Verdict::DONE
    }
}
