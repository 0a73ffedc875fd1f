//! What fails a test by itself: mistakes that its author has not looked for.
use kp_core::*;
use kp_sim::{Sim, edu::Edu};
use std::panic::{AssertUnwindSafe, catch_unwind};

registers! {
    mod regs[0x68] {
        0x24 INTERRUPT_STATUS: u32, RO;
        0x60 RAISE: u32, WO;
    }
}

kp_abi::interface! {
    mod card, version 1 {
        fn raise() = 1;
    }
}

/// Its interrupt handler defers, and leaves the line up.
struct Forgets(Bar<regs::Map>);

impl Init for Forgets {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        Ok(Forgets(device.map(cx, 0)?))
    }
}

impl card::Handler<Passive> for Forgets {
    fn raise(&self, _: &mut Passive, _: &()) -> Result<()> {
        self.0.write(regs::RAISE, 1);
        Ok(())
    }
}

impl IntAtIrql for Forgets {
    fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
        if self.0.read(regs::INTERRUPT_STATUS) == 0 { Verdict::NOT_MINE } else { Verdict::DEFER }
    }
}

plugin! { Forgets { name: "forgets", devices: [0x1234:0x11e8], interface: card, callbacks: [IntAtIrql] } }

/// What a test says that panics.
fn said(test: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(test)).expect_err("it fails");
    panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).into())).unwrap()
}

/// As one writes it who does not think of it: one interrupt is raised, one is waited for.
#[test]
fn an_interrupt_that_is_not_acknowledged_fails_the_test_that_uses_it() {
    let said = said(|| {
        let sim = Sim::<Forgets>::with(Edu::new()).unwrap();
        let plugin = sim.connect(card::INTERFACE).unwrap();
        let interrupts = plugin.interrupts(kp_user::Enable::line()).unwrap();
        card::Client(&plugin).raise().unwrap();
        let _ = interrupts.wait(std::time::Duration::from_secs(1));
    });
    assert!(
        said.starts_with("an interrupt never ended, and the host has masked it: does `int_at_irql` quiet"),
        "{said}"
    );
}

/// Drives another device than the model is.
mod other {
    use super::*;
    pub struct Other;
    impl Init for Other {
        type Session = ();
        type Interrupt = ();
        fn init(_: &mut Passive, _: Device) -> Result<Self> {
            Ok(Other)
        }
    }
    plugin! { Other { name: "other", devices: [0x1234:0x11e9, 0x1235:0x11e8], callbacks: [] } }
}

#[test]
fn a_model_that_the_plugin_does_not_drive_is_refused_by_its_numbers() {
    let said = said(|| drop(Sim::<other::Other>::with(Edu::new())));
    assert_eq!(said, "the model is device 1234:11e8, which the plugin's `devices` does not list");
}

#[test]
fn a_request_while_the_device_sleeps_that_nobody_wakes_fails_the_test() {
    let said = said(|| {
        let sim = Sim::<Forgets>::with(Edu::new()).unwrap();
        let plugin = sim.connect(card::INTERFACE).unwrap();
        sim.suspend();
        let _ = card::Client(&plugin).raise();
    });
    let due = "a thread waits for a device that sleeps, and nobody resumes it: call `Sim::resume` in another thread";
    assert_eq!(said, due);
}
