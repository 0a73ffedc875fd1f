//! What a plugin is told of an enabling: whose it is, what the app sent along, and what the kernel has granted.
use kp_abi::{Status, interface, request::kind};
use kp_core::*;
use kp_sim::{
    Sim,
    device::{DeviceModel, Identity, Memory},
};
use kp_user::{Connection, Plugin};
use std::sync::Mutex as StdMutex;

/// What the callbacks of this thread's test were told. Each test has a thread of its own, and the simulator runs callbacks on the caller's.
static TOLD: StdMutex<Vec<(std::thread::ThreadId, String)>> = StdMutex::new(Vec::new());

fn note(what: String) {
    TOLD.lock().unwrap().push((std::thread::current().id(), what));
}

fn told() -> Vec<String> {
    let mine = std::thread::current().id();
    TOLD.lock().unwrap().extract_if(.., |(thread, _)| *thread == mine).map(|(_, what)| what).collect()
}

interface! {
    mod listener, version 1 {
        /// Waits until the device's word is not 0, and adds up under a lock what was read.
        fn word() -> u32 = 1;
    }
}

registers! {
    mod regs[0x10] {
        0x00 WORD: u32, RO;
    }
}

struct Listener {
    bar: Bar<regs::Map>,
    looks: SpinLock<u32, Dispatch>,
}

impl Init for Listener {
    type Session = u8;
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        Ok(Listener { bar: device.map(cx, 0)?, looks: SpinLock::new(cx, 0)? })
    }
}

impl Open for Listener {
    fn open(&self, _: &mut Passive, _: &Caller, data: &[u8]) -> Result<u8> {
        Ok(*data.first().ok_or(Status::BAD_VALUE)?)
    }
}

impl listener::Handler<Passive, u8> for Listener {
    fn word(&self, cx: &mut Passive, _: &u8) -> Result<u32> {
        cx.poll(100, |cx| {
            self.looks.with(cx, |looks, _| *looks += 1);
            self.bar.read(regs::WORD) != 0
        })?;
        Ok(self.looks.with(cx, |looks, _| *looks))
    }
}

impl IntEnable for Listener {
    fn int_enable(&self, _: &mut Passive, enabling: Enabling<'_, Self>) -> Result<()> {
        let Enabling { session, data, kind, count, .. } = enabling;
        note(format!("enable {session:?} {data:?} {kind:?} {count}"));
        Ok(())
    }
    fn int_arm(&self, _: &mut Passive, _: &(), granted: Granted) -> Result<()> {
        note(format!("arm {:?} {}", granted.kind, granted.count));
        Ok(())
    }
}

impl IntAtIrql for Listener {
    fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
        Verdict::NOT_MINE
    }
}

plugin! { Listener { name: "listener", devices: [0x0001:0x0002], interface: listener, callbacks: [Open, IntEnable, IntAtIrql] } }

/// A card that has every kind of interrupt, and whose word is not 0 from the third look on.
struct Card {
    looks: u64,
}

impl DeviceModel for Card {
    fn identity(&self) -> Identity {
        Identity { vendor: 1, device: 2 }
    }
    fn read(&mut self, _: usize, _: u64, _: u8, _: &mut dyn Memory) -> u64 {
        self.looks += 1;
        self.looks / 3
    }
    fn vectors(&self, kind: IrqKind) -> u16 {
        match kind {
            IrqKind::Line => 1,
            IrqKind::Msi => 4,
            IrqKind::MsiX => 8,
        }
    }
}

#[test]
fn both_callbacks_are_told_what_the_kernel_has_granted() {
    let sim = Sim::<Listener>::with(Card { looks: 0 }).unwrap();
    let app = std::sync::Arc::new(sim.open());
    let _plugin = Plugin::over(app.clone(), listener::INTERFACE, &[7]).unwrap();
    for (kinds, min, max, granted) in [
        (kind::LINE, 1, 1, "Line 1"),
        (kind::MSI, 1, 1, "Msi 1"),
        (kind::MSI, 1, 4, "Msi 4"),
        (kind::MSIX, 2, 5, "MsiX 5"),
        (kind::ANY, 1, 32, "MsiX 8"),
    ] {
        app.int_enable(kinds, min, max, &[1, 2]).unwrap();
        app.int_disable().unwrap();
        assert_eq!(told(), [format!("enable Some(7) [1, 2] {granted}"), format!("arm {granted}")]);
    }
}

#[test]
fn a_poll_lends_its_level_so_that_a_lock_can_be_taken_in_it() {
    let sim = Sim::<Listener>::with(Card { looks: 0 }).unwrap();
    let app = std::sync::Arc::new(sim.open());
    let plugin = Plugin::over(app, listener::INTERFACE, &[7]).unwrap();
    assert_eq!(listener::Client(&plugin).word(), Ok(3));
}
