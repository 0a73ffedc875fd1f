//! A removal's `event` comes first: calls run and begin beside it, and nobody is told before the plugin that the device is gone.
use core::sync::atomic::{AtomicU32, Ordering::*};
use kp_abi::{interface, request::state};
use kp_core::*;
use kp_sim::{Sim, edu::Edu, explore};

interface! {
    mod hold, version 1 {
        /// Says whether the device is going, and waits for that.
        fn wait_for_removal() = 1;
    }
}

/// Its calls and its removal meet.
struct Meeting {
    inside: AtomicU32,
    going: AtomicU32,
}

impl Init for Meeting {
    type Session = ();
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(Meeting { inside: AtomicU32::new(0), going: AtomicU32::new(0) })
    }
}

impl hold::Handler<Passive> for Meeting {
    fn wait_for_removal(&self, cx: &mut Passive, _: &()) -> Result<()> {
        self.inside.fetch_add(1, AcqRel);
        while self.going.load(Acquire) == 0 {
            cx.sleep_us(10)?;
        }
        Ok(())
    }
}

impl Event for Meeting {
    fn event(&self, cx: &mut Passive, happening: Happening) -> Deliver {
        if happening == Happening::Removing {
            // A call that begins only now is let in, too.
            for _ in 0..10_000 {
                if self.inside.load(Acquire) == 2 {
                    break;
                }
                let _ = cx.sleep_us(10);
            }
            self.going.store(1, Release);
        }
        Deliver::Swallow
    }
}

plugin! { Meeting { name: "meeting", devices: [0x1234:0x11e8], interface: hold, callbacks: [Event] } }

#[test]
fn calls_run_and_begin_beside_the_event_of_a_removal() {
    explore(0..50, |world| {
        let sim = Sim::<Meeting>::with(Edu::new()).unwrap();
        let plugin = sim.connect(hold::INTERFACE).unwrap();
        world.scope(|scope| {
            scope.spawn("remover", || sim.remove(true));
            for name in ["first", "second"] {
                scope.spawn(name, || {
                    let state = plugin.query().unwrap().state;
                    assert_eq!(state, state::BOUND, "it is not gone before the plugin has heard of it");
                    let ended = hold::Client(&plugin).wait_for_removal();
                    assert!(
                        ended == Ok(())
                            || ended == Err(Status::CLOSED.into())
                            || ended == Err(Status::DEVICE_GONE.into()),
                        "{ended:?}"
                    );
                });
            }
        });
    });
}
