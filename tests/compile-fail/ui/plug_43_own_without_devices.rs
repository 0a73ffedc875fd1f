//! An interrupt of the plugin's own that nothing would raise.
include!("part/plugin.rs");

impl IntAtIrql for Plain {
    fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
        Verdict::DONE
    }
}

plugin! { Plain { name: "plain", interrupt: own, callbacks: [IntAtIrql] } }
