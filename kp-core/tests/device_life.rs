//! Corners of a device's life: removed twice, interrupting while it wakes, failing to arm, never ending.
use core::sync::atomic::{AtomicU32, Ordering::*};
use kp_abi::{
    interface,
    request::{ANY_VECTOR, kind},
};
use kp_core::{
    host::{BoundDevice, RawDevice},
    *,
};
use kp_sim::{Sim, edu::Edu, explore};

registers! {
    mod regs[0x68] {
        0x24 INTERRUPT_STATUS: u32, RO;
        0x60 RAISE: u32, WO;
        0x64 ACKNOWLEDGE: u32, WO;
    }
}

/// What goes wrong, from now on.
mod trouble {
    pub const NONE: u32 = 0;
    /// `int_arm` fails after a sleep.
    pub const ARM: u32 = 1;
    /// The next DPC raises a line that nobody lowers any more.
    pub const STORM: u32 = 2;
    /// The line is not lowered.
    pub const STUCK: u32 = 3;
}

struct Card {
    bar: Option<Bar<regs::Map>>,
    trouble: AtomicU32,
    /// Deferrals that the DPC was told of.
    told: AtomicU32,
}

impl Card {
    fn bar(&self) -> &Bar<regs::Map> {
        self.bar.as_ref().expect("this test has a device")
    }
}

impl Init for Card {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        let bar = if device.has_hardware() { Some(device.map(cx, 0)?) } else { None };
        Ok(Card { bar, trouble: AtomicU32::new(trouble::NONE), told: AtomicU32::new(0) })
    }
}

interface! {
    mod card, version 1 {
        fn raise() = 1;
        fn trouble(which: u32) = 2;
        fn told() -> u32 = 3;
    }
}

impl card::Handler<Passive> for Card {
    fn raise(&self, _: &mut Passive, _: &()) -> Result<()> {
        self.bar().write(regs::RAISE, 1);
        Ok(())
    }
    fn trouble(&self, _: &mut Passive, _: &(), which: u32) -> Result<()> {
        self.trouble.store(which, Relaxed);
        Ok(())
    }
    fn told(&self, _: &mut Passive, _: &()) -> Result<u32> {
        Ok(self.told.load(Relaxed))
    }
}

impl Event for Card {
    /// The device has something to say as soon as it is awake.
    fn event(&self, _: &mut Passive, happening: Happening) -> Deliver {
        if happening == Happening::Resume {
            self.bar().write(regs::RAISE, 1);
        }
        Deliver::Swallow
    }
}

impl IntEnable for Card {
    fn int_enable(&self, _: &mut Passive, _: Enabling<'_, Self>) -> Result<()> {
        Ok(())
    }
    fn int_arm(&self, cx: &mut Passive, _: &(), _: Granted) -> Result<()> {
        if self.trouble.load(Relaxed) == trouble::ARM {
            cx.sleep_ms(5)?;
            return Err(Status::BAD_VALUE.into());
        }
        Ok(())
    }
    fn int_disarm(&self, _: &mut Passive, _: &()) {
        self.bar().write(regs::ACKNOWLEDGE, !0);
    }
}

impl IntAtIrql for Card {
    fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
        if self.trouble.load(Relaxed) == trouble::STUCK {
            return Verdict::DONE;
        }
        let bits = self.bar().read(regs::INTERRUPT_STATUS);
        if bits == 0 {
            return Verdict::NOT_MINE;
        }
        self.bar().write(regs::ACKNOWLEDGE, bits);
        Verdict::DEFER
    }
}

impl IntAtDpc for Card {
    fn int_at_dpc(&self, _: &mut Dispatch, _: &(), _: Source, count: u32) -> u32 {
        self.told.fetch_add(count, Relaxed);
        if self.trouble.load(Relaxed) == trouble::STORM {
            self.trouble.store(trouble::STUCK, Relaxed);
            self.bar().write(regs::RAISE, 1);
            self.bar().read(regs::INTERRUPT_STATUS);
        }
        count
    }
}

plugin! { Card { name: "card", devices: [0x1234:0x11e8], interface: card, callbacks: [Event, IntEnable, IntAtIrql, IntAtDpc] } }

#[test]
fn a_second_removal_and_what_comes_after_it_do_nothing() {
    let sim = Sim::<Card>::new().unwrap();
    sim.enter(|cx| {
        // SAFETY: this thread alone has the driver.
        let driver = unsafe { BoundDevice::<Card>::bind(cx, RawDevice::none()) }.unwrap();
        for _ in 0..2 {
            // SAFETY: as above.
            assert!(unsafe { driver.remove(cx, true) });
        }
        // SAFETY: as above.
        unsafe { driver.suspend(cx, u64::MAX) };
        // SAFETY: as above.
        unsafe { driver.resume(cx) };
        assert_eq!(driver.session(cx, Caller::new(1, false, false)).err(), Some(Status::DEVICE_GONE.into()));
    });
}

#[test]
fn an_interrupt_from_the_moment_of_waking_is_not_lost() {
    let sim = Sim::<Card>::with(Edu::new()).unwrap();
    let plugin = sim.connect(card::INTERFACE).unwrap();
    plugin.connection().int_enable(kind::MSI, 1, 1, &[]).unwrap();
    sim.suspend();
    sim.resume();
    assert_eq!(plugin.connection().int_wait(1_000_000_000, ANY_VECTOR, 1).map(|n| n.got), Ok(1));
}

#[test]
fn an_enabling_that_fails_ends_the_waits_that_saw_it() {
    explore(0..100, |world| {
        let sim = Sim::<Card>::with(Edu::new()).unwrap();
        let plugin = sim.connect(card::INTERFACE).unwrap();
        card::Client(&plugin).trouble(trouble::ARM).unwrap();
        world.scope(|scope| {
            scope.spawn("enabler", || {
                let enabled = plugin.connection().int_enable(kind::LINE, 1, 1, &[]);
                assert_eq!(enabled.unwrap_err(), Status::BAD_VALUE);
            });
            scope.spawn("waiter", || {
                let start = sim.now_ns();
                for _ in 0..50 {
                    let ended = plugin.connection().int_wait(u64::MAX, ANY_VECTOR, 1).unwrap_err().status;
                    assert!(ended == Status::NOT_ENABLED || ended == Status::INT_DISABLED, "{ended}");
                }
                assert!(sim.now_ns() - start < 500_000_000, "a wait slept until it looked for a panic");
            });
        });
    });
}

#[test]
fn a_storm_that_begins_in_a_dpc_is_told_and_no_deferral_is_made_up() {
    let sim = Sim::<Card>::with(Edu::new()).unwrap();
    let plugin = sim.connect(card::INTERFACE).unwrap();
    let (client, connection) = (card::Client(&plugin), plugin.connection());
    connection.int_enable(kind::LINE, 1, 1, &[]).unwrap();
    client.trouble(trouble::STORM).unwrap();
    client.raise().unwrap();
    assert_eq!(connection.int_wait(0, ANY_VECTOR, 8).map(|n| n.got), Ok(1));
    assert_eq!(connection.int_wait(0, ANY_VECTOR, 8).unwrap_err(), Status::INTERRUPT_STORM);
    assert_eq!(client.told(), Ok(1));
    assert_eq!(sim.storms(), 1);
    assert_eq!(connection.int_disable().map(|(_, c)| (c.deferred, c.notified)), Ok((1, 1)));
    client.trouble(trouble::NONE).unwrap();
    connection.int_enable(kind::LINE, 1, 1, &[]).unwrap();
    client.raise().unwrap();
    assert_eq!(connection.int_wait(0, ANY_VECTOR, 8).map(|n| n.got), Ok(1), "INT_DISABLE has cleared it");
}
