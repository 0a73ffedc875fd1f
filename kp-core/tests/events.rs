//! What happens to a device as a whole: the plugin hears of each thing once, in its order, at Passive, and at the right moment.
use core::sync::atomic::{AtomicU32, Ordering::*};
use kp_abi::interface;
use kp_core::*;
use kp_sim::{Sim, edu::Edu, explore};

registers! {
    mod regs[0x68] {
        0x00 ID: u32, RO;
        0x04 LIVENESS: u32, RW;
    }
}

/// Logs what it is told, with what it finds then.
struct Witness {
    bar: Bar<regs::Map>,
    sessions: AtomicU32,
}

impl Witness {
    /// The device, as its registers show it.
    fn device(&self) -> &'static str {
        match (self.bar.read(regs::ID), self.bar.read(regs::LIVENESS)) {
            (u32::MAX, _) => "gone",
            (_, 0) => "as after power-on",
            _ => "in use",
        }
    }
}

impl Init for Witness {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        Ok(Witness { bar: device.map(cx, 0)?, sessions: AtomicU32::new(0) })
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        log!("dropped");
    }
}

impl Open for Witness {
    fn open(&self, _: &mut Passive, _: &Caller, _: &[u8]) -> Result<()> {
        self.sessions.fetch_add(1, Relaxed);
        self.bar.write(regs::LIVENESS, 7);
        Ok(())
    }
    fn close(&self, _: &mut Passive, (): ()) {
        self.sessions.fetch_sub(1, Relaxed);
        log!("closed");
    }
}

interface! {
    mod witness, version 1 {
        /// Logs that it runs.
        fn call() = 1;
    }
}

impl witness::Handler<Passive> for Witness {
    fn call(&self, _: &mut Passive, _: &()) -> Result<()> {
        log!("called");
        Ok(())
    }
}

impl Event for Witness {
    fn event(&self, cx: &mut Passive, happening: Happening) -> Deliver {
        log!("{happening:?}: device {}, sessions {}", self.device(), self.sessions.load(Relaxed));
        // Only Passive code may: the kernel looks.
        let slept = cx.sleep_ms(3);
        let kept = KBox::new(cx, [0_u8; 64]);
        log!("{happening:?} over: {}, {}", slept.is_ok(), kept.is_ok());
        Deliver::Swallow
    }
}

plugin! { Witness { name: "witness", devices: [0x1234:0x11e8], interface: witness, callbacks: [Open, Event] } }

#[test]
fn each_happening_is_told_once_in_order_and_at_passive() {
    let sim = Sim::<Witness>::with(Edu::new()).unwrap();
    let plugin = sim.connect(witness::INTERFACE).unwrap();
    sim.suspend();
    sim.resume();
    sim.suspend();
    sim.resume();
    sim.remove(true);
    // The device is gone for the plugin: nothing happens to it any more.
    sim.suspend();
    sim.resume();
    sim.remove(true);
    drop(plugin);
    sim.unload().unwrap();
    assert_eq!(
        sim.log(),
        [
            "Suspend: device in use, sessions 1",
            "Suspend over: true, true",
            "Resume: device as after power-on, sessions 1",
            "Resume over: true, true",
            "Suspend: device as after power-on, sessions 1",
            "Suspend over: true, true",
            "Resume: device as after power-on, sessions 1",
            "Resume over: true, true",
            "Removing: device as after power-on, sessions 1",
            "Removing over: true, true",
            "closed",
            "dropped",
        ]
    );
}

#[test]
fn a_removal_is_told_whether_the_device_is_there_or_not_and_at_unload_too() {
    let told = |end: fn(&Sim<Witness>)| {
        let sim = Sim::<Witness>::with(Edu::new()).unwrap();
        end(&sim);
        sim.unload().unwrap();
        sim.log()
    };
    let over = ["Removing over: true, true", "dropped"];
    let there = ["Removing: device as after power-on, sessions 0", over[0], over[1]];
    assert_eq!(told(|sim| sim.remove(true)), there, "the driver is taken away");
    assert_eq!(told(|_| {}), there, "the plugin is unloaded");
    let gone = ["Removing: device gone, sessions 0", over[0], over[1]];
    assert_eq!(told(|sim| sim.remove(false)), gone, "the device is pulled out");
}

#[test]
fn a_call_that_waits_for_the_device_runs_after_the_plugin_has_heard_of_the_resume() {
    explore(0..100, |world| {
        let sim = Sim::<Witness>::with(Edu::new()).unwrap();
        let plugin = sim.connect(witness::INTERFACE).unwrap();
        sim.suspend();
        world.scope(|scope| {
            scope.spawn("caller", || assert_eq!(witness::Client(&plugin).call(), Ok(())));
            scope.spawn("system", || sim.resume());
        });
        let log = sim.log();
        assert_eq!(log[log.len() - 2..], ["Resume over: true, true", "called"], "{log:?}");
    });
}
