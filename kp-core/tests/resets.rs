//! A device that is reset under its plugin, and what comes at the same time.
use core::sync::atomic::{AtomicU32, Ordering::*};
use kp_abi::{
    interface,
    request::{ANY_VECTOR, kind, state},
};
use kp_core::{
    host::{BoundDevice, RawDevice},
    *,
};
use kp_sim::{Sim, edu::Edu, explore};

registers! {
    mod regs[0x68] {
        0x00 ID: u32, RO;
        0x04 LIVENESS: u32, RW;
        0x24 INTERRUPT_STATUS: u32, RO;
        0x60 RAISE: u32, WO;
        0x64 ACKNOWLEDGE: u32, WO;
    }
}

/// Logs what happens, and finds out whether anything of its runs while its device is being reset.
struct Witness {
    bar: Option<Bar<regs::Map>>,
    /// From ResetPrepare to ResetDone.
    in_reset: AtomicU32,
    inside: AtomicU32,
}

impl Witness {
    fn bar(&self) -> &Bar<regs::Map> {
        self.bar.as_ref().expect("it has a device")
    }

    /// At work, for a while.
    fn work(&self, cx: &mut Passive) -> Result<()> {
        self.inside.fetch_add(1, AcqRel);
        let worked = (0..3).try_for_each(|_| {
            assert_eq!(self.in_reset.load(Acquire), 0, "it runs while the device is being reset");
            cx.sleep_us(1)
        });
        self.inside.fetch_sub(1, AcqRel);
        worked
    }
}

impl Init for Witness {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        let bar = device.map(cx, 0).ok();
        Ok(Witness { bar, in_reset: AtomicU32::new(0), inside: AtomicU32::new(0) })
    }
}

impl Open for Witness {
    fn open(&self, cx: &mut Passive, _: &Caller, data: &[u8]) -> Result<()> {
        if !data.is_empty() {
            return Err(Status::NOT_PERMITTED.into());
        }
        self.work(cx)
    }
    fn close(&self, cx: &mut Passive, (): ()) {
        let _ = self.work(cx);
    }
}

interface! {
    mod witness, version 1 {
        /// Works.
        fn work() = 1;
        /// Writes a register.
        fn write(value: u32) = 2;
        /// Reads it.
        fn read() -> u32 = 3;
        /// Has the device interrupt.
        fn raise() = 4;
    }
}

impl witness::Handler<Passive> for Witness {
    fn work(&self, cx: &mut Passive, _: &()) -> Result<()> {
        Witness::work(self, cx)
    }
    fn write(&self, _: &mut Passive, _: &(), value: u32) -> Result<()> {
        self.bar().write(regs::LIVENESS, value);
        Ok(())
    }
    fn read(&self, _: &mut Passive, _: &()) -> Result<u32> {
        Ok(self.bar().read(regs::LIVENESS))
    }
    fn raise(&self, _: &mut Passive, _: &()) -> Result<()> {
        self.bar().write(regs::RAISE, 1);
        Ok(())
    }
}

impl Event for Witness {
    fn event(&self, cx: &mut Passive, happening: Happening) -> Deliver {
        match happening {
            Happening::ResetPrepare => {
                assert_eq!(self.inside.load(Acquire), 0, "calls have left");
                self.in_reset.store(1, Release);
            }
            Happening::ResetDone => {
                let _ = cx.sleep_us(1);
                self.in_reset.store(0, Release);
            }
            _ => {}
        }
        let register = self.bar.as_ref().map_or(0, |bar| bar.read(regs::LIVENESS));
        log!("{happening:?}: {register:#x}");
        Deliver::Swallow
    }
}

impl IntEnable for Witness {
    fn int_enable(&self, cx: &mut Passive, _: Enabling<'_, Self>) -> Result<()> {
        self.work(cx)
    }
    fn int_disarm(&self, cx: &mut Passive, _: &()) {
        let _ = self.work(cx);
    }
}

impl IntAtIrql for Witness {
    fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
        let bits = self.bar().read(regs::INTERRUPT_STATUS);
        if bits == 0 {
            return Verdict::NOT_MINE;
        }
        self.bar().write(regs::ACKNOWLEDGE, bits);
        Verdict::DEFER
    }
}

plugin! {
    Witness { name: "witness", devices: [0x1234:0x11e8], interface: witness, callbacks: [Open, Event, IntEnable, IntAtIrql] }
}

/// What the plugin was told, without the device.
fn told(log: &[String]) -> Vec<&str> {
    log.iter().map(|line| line.split_once(':').map_or(&**line, |(happening, _)| happening)).collect()
}

#[test]
fn a_reset_is_told_before_and_after_counted_and_calls_go_on() {
    let sim = Sim::<Witness>::with(Edu::new()).unwrap();
    let plugin = sim.connect(witness::INTERFACE).unwrap();
    let client = witness::Client(&plugin);
    client.write(0x1234).unwrap();
    assert_eq!(plugin.query().unwrap().resets, 0);
    let before = !client.read().unwrap();
    for resets in 1..=2 {
        sim.reset();
        let query = plugin.query().unwrap();
        assert_eq!((query.resets, query.state), (resets, state::BOUND));
        assert_eq!(client.work(), Ok(()), "calls go on");
    }
    sim.suspend();
    sim.resume();
    assert_eq!(plugin.query().unwrap().resets, 2, "sleep is no reset");
    assert_eq!(before, 0x1234, "edu shows the complement");
    let log = sim.log();
    assert_eq!(told(&log), ["ResetPrepare", "ResetDone", "ResetPrepare", "ResetDone", "Suspend", "Resume"]);
    assert_eq!(log[0], "ResetPrepare: 0xffffedcb");
    assert_ne!(log[1], "ResetDone: 0xffffedcb", "its registers are as after power-on");
}

#[test]
fn an_interrupt_that_was_enabled_works_after_a_reset_and_its_waits_stay() {
    for kinds in [kind::LINE, kind::MSI] {
        let sim = Sim::<Witness>::with(Edu::new()).unwrap();
        let plugin = sim.connect(witness::INTERFACE).unwrap();
        let (client, connection) = (witness::Client(&plugin), plugin.connection());
        connection.int_enable(kinds, 1, 1, &[]).unwrap();
        sim.reset();
        client.raise().unwrap();
        assert_eq!(connection.int_wait(1_000_000_000, ANY_VECTOR, 1).map(|taken| taken.got), Ok(1));
        explore(0..30, |world| {
            let sim = Sim::<Witness>::with(Edu::new()).unwrap();
            let plugin = sim.connect(witness::INTERFACE).unwrap();
            let (client, connection) = (witness::Client(&plugin), plugin.connection());
            connection.int_enable(kinds, 1, 1, &[]).unwrap();
            world.scope(|scope| {
                scope.spawn("waiter", || {
                    assert_eq!(connection.int_wait(u64::MAX, ANY_VECTOR, 1).map(|taken| taken.got), Ok(1));
                });
                scope.spawn("system", || {
                    sim.reset();
                    client.raise().unwrap();
                });
            });
        });
    }
}

#[test]
fn nothing_of_the_plugin_runs_while_its_device_is_being_reset() {
    // The plugin looks: calls, `open`, `close`, enabling and disabling, with a reset at every moment.
    explore(0..300, |world| {
        let sim = Sim::<Witness>::with(Edu::new()).unwrap();
        let plugin = sim.connect(witness::INTERFACE).unwrap();
        world.scope(|scope| {
            scope.spawn("caller", || {
                for _ in 0..2 {
                    assert_eq!(witness::Client(&plugin).work(), Ok(()));
                }
            });
            scope.spawn("opener", || {
                let other = sim.connect(witness::INTERFACE).unwrap();
                assert_eq!(other.connection().int_enable(kind::MSI, 1, 1, &[]).map(|got| got.count), Ok(1));
                assert_eq!(witness::Client(&other).work(), Ok(()));
                assert_eq!(other.connection().close(), Ok(()));
            });
            scope.spawn("system", || {
                sim.reset();
                sim.reset();
            });
        });
        assert_eq!(plugin.query().unwrap().resets, 2);
    });
}

#[test]
fn a_session_that_closes_during_a_reset_is_closed_for_calls() {
    explore(0..200, |world| {
        let sim = Sim::<Witness>::with(Edu::new()).unwrap();
        let plugin = sim.connect(witness::INTERFACE).unwrap();
        world.scope(|scope| {
            scope.spawn("caller", || {
                let worked = witness::Client(&plugin).work();
                assert!(worked == Ok(()) || worked == Err(Status::CLOSED.into()), "{worked:?}");
            });
            scope.spawn("closer", || assert_eq!(plugin.connection().close(), Ok(())));
            scope.spawn("system", || sim.reset());
        });
        assert_eq!(witness::Client(&plugin).work(), Err(Status::CLOSED.into()));
    });
}

#[test]
fn a_reset_of_a_device_that_sleeps_is_counted_and_the_plugin_hears_of_the_sleep_alone() {
    let sim = Sim::<Witness>::with(Edu::new()).unwrap();
    let plugin = sim.connect(witness::INTERFACE).unwrap();
    sim.suspend();
    sim.reset();
    let query = plugin.query().unwrap();
    assert_eq!((query.resets, query.state), (1, state::SUSPENDED), "it sleeps on");
    sim.resume();
    assert_eq!(witness::Client(&plugin).work(), Ok(()));
    assert_eq!(told(&sim.log()), ["Suspend", "Resume"]);
}

#[test]
fn a_sleep_that_begins_in_a_reset_or_a_removal_in_it_ends_it() {
    let sim = Sim::<Witness>::new().unwrap();
    let log = |from: usize| sim.log().split_off(from);
    sim.enter(|cx| {
        // SAFETY: bound and removed here, and nothing runs beside it.
        let driver = unsafe { BoundDevice::<Witness>::bind(cx, RawDevice::none()) }.unwrap();
        // SAFETY: one at a time, here.
        unsafe { driver.reset_prepare(cx) };
        // SAFETY: one at a time, here.
        unsafe { driver.suspend(cx, u64::MAX) };
        // SAFETY: one at a time, here.
        unsafe { driver.reset_done(cx) };
        assert_eq!(told(&log(0)), ["ResetPrepare"], "it sleeps");
        // SAFETY: one at a time, here.
        unsafe { driver.resume(cx) };
        assert_eq!(told(&log(0)), ["ResetPrepare", "ResetDone"], "its registers are to be set up again");
        // SAFETY: one at a time, here.
        unsafe { driver.resume(cx) };
        // SAFETY: one at a time, here.
        unsafe { driver.reset_done(cx) };
        assert_eq!(log(2), [""; 0], "neither had begun");
        // SAFETY: one at a time, here.
        unsafe { driver.reset_prepare(cx) };
        // SAFETY: one at a time, here.
        assert!(unsafe { driver.remove(cx, true) });
        // SAFETY: one at a time, here.
        unsafe { driver.reset_done(cx) };
        // SAFETY: one at a time, here.
        unsafe { driver.reset_prepare(cx) };
        // SAFETY: one at a time, here.
        unsafe { driver.reset_done(cx) };
        assert_eq!(told(&log(2)), ["ResetPrepare", "Removing"]);
    });
}

#[test]
fn a_plugin_may_refuse_a_caller() {
    let sim = Sim::<Witness>::with(Edu::new()).unwrap();
    let app = std::sync::Arc::new(sim.open());
    let refused = kp_user::Plugin::over(app, witness::INTERFACE, &[1]).err().map(|error| error.to_string());
    assert!(refused.as_ref().is_some_and(|why| why.contains("NotPermitted")), "{refused:?}");
}
