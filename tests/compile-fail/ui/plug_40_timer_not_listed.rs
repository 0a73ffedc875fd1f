//! A callback for timers that the list does not have would never run.
include!("part/plugin.rs");

impl TimerAtDpc for Plain {
    fn timer_at_dpc(&self, _: &mut Dispatch, _: u16) {}
}

plugin! { Plain { name: "plain", callbacks: [] } }
