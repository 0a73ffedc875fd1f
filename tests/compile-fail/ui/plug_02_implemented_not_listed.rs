//! An implemented callback is listed.
include!("part/plugin.rs");

impl IntAtIrql for Plain {
    fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
        Verdict::DONE
    }
}

plugin! { Plain { name: "plain", callbacks: [] } }
