//! An enabling that fails is undone in full: what its process meets with meanwhile ends none of the plugin's sleeps there.
use kp_abi::{interface, request::kind};
use kp_core::*;
use kp_sim::{Mode, Process, Sim, edu::Edu, explore};
use kp_user::{Connection, Plugin};
use std::sync::Arc;

interface! {
    mod slow, version 1 {
        /// Nothing.
        fn nothing() = 1;
    }
}

/// What takes its time with everything about its interrupt.
struct Slow;

impl Init for Slow {
    type Session = ();
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(Slow)
    }
}

impl slow::Handler<Passive> for Slow {
    fn nothing(&self, _: &mut Passive, _: &()) -> Result<()> {
        Ok(())
    }
}

fn slept(cx: &mut Passive) -> &'static str {
    cx.sleep_ms(10).map_or_else(|error| error.status.name(), |()| "Ok")
}

impl IntEnable for Slow {
    fn int_enable(&self, _: &mut Passive, _: Enabling<'_, Self>) -> Result<()> {
        Ok(())
    }
    fn int_arm(&self, cx: &mut Passive, (): &(), _: Granted) -> Result<()> {
        cx.sleep_ms(100)
    }
    fn int_disarm(&self, cx: &mut Passive, (): &()) {
        log!("disarm: {}", slept(cx));
    }
    fn int_disable(&self, cx: &mut Passive, (): ()) {
        log!("disable: {}", slept(cx));
    }
}

impl IntAtIrql for Slow {
    fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
        Verdict::NOT_MINE
    }
}

plugin! { Slow { name: "slow", devices: [0x1234:0x11e8], interface: slow, callbacks: [IntEnable, IntAtIrql] } }

/// The process is killed, the session closed, or the device removed, while the interrupt is enabled.
#[test]
fn nothing_ends_a_sleep_of_the_undoing_early() {
    let mut undone = [0; 3];
    for (how, undone) in undone.iter_mut().enumerate() {
        explore(0..60, |world| {
            let sim = Sim::<Slow>::with(Edu::new()).unwrap();
            let app = Arc::new(sim.open_in(&Process::new(1), Mode::ReadWrite).unwrap());
            let plugin = Plugin::over(app.clone(), slow::INTERFACE, &[]).unwrap();
            world.scope(|scope| {
                scope.spawn("enable", || _ = app.int_enable(kind::LINE, 1, 1, &[]));
                scope.spawn("end", || match how {
                    0 => app.kill(),
                    1 => _ = app.close(),
                    _ => sim.remove(true),
                });
            });
            drop(plugin);
            drop(app);
            let log = sim.log();
            assert!(log.iter().all(|line| line.ends_with(": Ok")), "{log:?}");
            *undone += usize::from(log.iter().any(|line| line.starts_with("disable")));
        });
    }
    assert!(undone.iter().all(|&times| times != 0), "each has been there: {undone:?}");
}
