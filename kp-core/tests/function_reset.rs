//! A function level reset: the device forgets, and configuration space is as it was; and when it is refused.
use kp_abi::request::{ANY_VECTOR, kind};
use kp_core::{
    pci::{capability, extended_capability},
    *,
};
use kp_sim::{
    ConfigSpace, Sim,
    device::{DeviceModel, Identity, Memory},
};
use kp_user::Enable;

kp_abi::interface! {
    mod resetter, version 1 {
        /// Resets the device.
        fn reset() = 1;
        /// Drops memory that the device has.
        fn lose() = 2;
        /// Ends the device's transfers.
        fn halt() = 3;
    }
}

/// Where its capability PCI Express is.
const EXPRESS: u8 = 0x80;
const COMMAND: u16 = 0x04;
/// Where its capability MSI is.
const MSI: u8 = 0x60;

/// A device with registers in a BAR, a scratch one among them, that answers nothing for a while after its reset.
struct Card {
    space: ConfigSpace,
    scratch: u64,
    /// How long it answers nothing, in ms.
    silent_ms: u64,
    silent_until: u64,
    /// Until when its transactions are pending.
    pending_until: u64,
    now: u64,
    /// What was written to the command register, in order, and `R` for the reset.
    commands: Vec<u16>,
    /// Where else was written.
    writes: Vec<u16>,
    resets: u32,
    reset_until: u64,
    /// An interrupt was connected while it was reset.
    met: bool,
}

const RESET: u16 = 0xFFFF;

impl Card {
    fn new() -> Self {
        let mut express = [0; 0x3A];
        express[0] = 0x02; // version 2, an endpoint
        express[0x04 - 2 + 3] = 0x10; // Device Capabilities: it can be reset
        let space = ConfigSpace::new()
            .with(0, &[0x34, 0x12, 0xE8, 0x11])
            .capability(EXPRESS, capability::PCI_EXPRESS, &express)
            .capability(0x40, capability::MSI_X, &[7, 0])
            .capability(0x50, capability::POWER_MANAGEMENT, &[0; 4])
            .capability(MSI, capability::MSI, &[0; 0x16])
            .extended(
                0x100,
                extended_capability::RESIZABLE_BAR,
                1,
                &[0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            )
            .extended(0x140, extended_capability::LTR, 1, &[0; 4]);
        let (scratch, silent_ms, silent_until, pending_until, now) = (0, 0, 0, 0, 0);
        Self {
            space,
            scratch,
            silent_ms,
            silent_until,
            pending_until,
            now,
            commands: Vec::new(),
            writes: Vec::new(),
            resets: 0,
            reset_until: 0,
            met: false,
        }
    }

    fn is_silent(&self) -> bool {
        self.now < self.silent_until
    }
}

/// What a kernel has written: where, and what.
const WRITTEN: [(u16, u8, u32); 12] = [
    (COMMAND, 2, 0x0406),
    (0x0C, 1, 0x10),
    (0x10, 4, 0xFEB0_0004),
    (0x14, 4, 0x12),
    (0x30, 4, 0xFEC0_0000),
    (0x3C, 1, 11),
    (EXPRESS as u16 + 0x08, 2, 0x5037),
    (EXPRESS as u16 + 0x28, 2, 0x0009),
    (0x42, 2, 0x4007),
    (0x54, 2, 0x0100),
    (0x110, 4, 0x0000_0900),
    (0x144, 4, 0x1003_1003),
];

impl DeviceModel for Card {
    fn identity(&self) -> Identity {
        Identity { vendor: 0x1234, device: 0x11e8 }
    }
    fn read(&mut self, _: usize, _: u64, _: u8, _: &mut dyn Memory) -> u64 {
        self.scratch
    }
    fn config_read(&mut self, offset: u16, width: u8) -> Option<u32> {
        let pending = offset == u16::from(EXPRESS) + 0x0A && self.now < self.pending_until;
        Some(if self.is_silent() { u32::MAX } else { self.space.read(offset, width) | u32::from(pending) << 5 })
    }
    fn config_write(&mut self, offset: u16, width: u8, value: u32) -> bool {
        if self.is_silent() {
            return true;
        }
        if offset == COMMAND {
            self.commands.push(value as u16);
        }
        self.writes.push(offset);
        self.space.write(offset, width, value);
        if self.space.take_reset() {
            self.commands.push(RESET);
            self.resets += 1;
            self.reset_until = self.now + 100_000_000;
            self.scratch = 0;
            self.silent_until = self.now + 1_000_000 * self.silent_ms;
        }
        true
    }
    fn vectors(&self, kind: IrqKind) -> u16 {
        if kind == IrqKind::MsiX { 8 } else { 0 }
    }
    fn select(&mut self, kind: Option<IrqKind>, _: u16) {
        self.met |= kind.is_some() && self.now < self.reset_until;
    }
    fn advance(&mut self, ns: u64, _: &mut dyn Memory) {
        self.now += ns;
    }
}

/// What an app sends along: `int_enable` refuses, or does not try to reset.
const REFUSED: &[u8] = &[1];
const QUIET: &[u8] = &[2];

registers! { mod page[0x1000] { 0 WORD: [u64; 512], RW; } }

struct Resetter(Config, Dma);

impl Init for Resetter {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        let config = device.config()?;
        config.reset(cx)?; // before anything else
        Ok(Resetter(config, device.dma(cx, DmaLimits::bits(32))?))
    }
}

impl resetter::Handler<Passive> for Resetter {
    fn reset(&self, cx: &mut Passive, (): &()) -> Result<()> {
        self.0.reset(cx)
    }
    fn lose(&self, cx: &mut Passive, (): &()) -> Result<()> {
        drop(Coherent::<page::Map>::new(cx, &self.1, 1)?.hand_over());
        Ok(())
    }
    fn halt(&self, cx: &mut Passive, (): &()) -> Result<()> {
        self.1.halt(cx)
    }
}

impl IntEnable for Resetter {
    fn int_enable(&self, cx: &mut Passive, enabling: Enabling<'_, Self>) -> Result<()> {
        if enabling.data != QUIET {
            log!("int_enable: {}", said(self.0.reset(cx)));
        }
        if enabling.data == REFUSED { Err(Error::plugin(1)) } else { Ok(()) }
    }
    fn int_disable(&self, cx: &mut Passive, (): ()) {
        log!("int_disable: {}", said(self.0.reset(cx)));
    }
}

impl IntAtIrql for Resetter {
    fn int_at_irql(&self, _: &mut Irql, (): &(), _: Source) -> Verdict {
        Verdict::DONE
    }
}

impl Event for Resetter {
    fn event(&self, cx: &mut Passive, happening: Happening) -> Deliver {
        log!("{happening:?}: {}", said(self.0.reset(cx)));
        Deliver::Swallow
    }
}

fn said(result: Result<()>) -> &'static str {
    result.map_or_else(|error| error.status.name(), |()| "Ok")
}

plugin! { Resetter {
    name: "resetter", devices: [0x1234:0x11e8], vectors: 1..=8, interface: resetter, callbacks: [IntEnable, IntAtIrql, Event]
} }

fn bound() -> Sim<Resetter> {
    let sim = Sim::<Resetter>::with(Card::new()).unwrap();
    sim.device(|card: &mut Card| {
        assert_eq!(std::mem::take(&mut card.resets), 1, "by `init`");
        card.commands.clear();
    });
    sim
}

/// The plugin of a device whose configuration space a kernel has written.
fn written() -> Sim<Resetter> {
    let sim = bound();
    sim.device(|card: &mut Card| {
        for (offset, width, value) in WRITTEN {
            card.space.write(offset, width, value);
        }
        card.scratch = 7;
    });
    sim
}

/// Runs a test in a world in which time passes by itself, and exactly.
fn in_a_world(f: impl Fn() + Sync) {
    kp_sim::explore(0..1, |_| f());
}

/// Resets through a message; how long that took, in ms.
fn reset(sim: &Sim<Resetter>) -> (Result<()>, u64) {
    let plugin = sim.connect(resetter::INTERFACE).unwrap();
    let before = sim.now_ns();
    let result = resetter::Client(&plugin).reset();
    (result, (sim.now_ns() - before) / 1_000_000)
}

#[test]
fn the_device_forgets_and_configuration_space_does_not() {
    in_a_world(|| {
        let sim = written();
        let (result, ms) = reset(&sim);
        assert_eq!(result, Ok(()));
        assert!((100..105).contains(&ms), "{ms} ms");
        sim.device(|card: &mut Card| {
            assert_eq!((card.resets, card.scratch), (1, 0));
            for (offset, width, value) in WRITTEN {
                assert_eq!(card.space.read(offset, width), value, "at {offset:#x}");
            }
            // No transfer is under way when it is reset, and the BARs are there before they are decoded.
            assert_eq!(card.commands, [0x0402, RESET, 0x0406]);
        });
        assert!(!sim.log().iter().any(|line| line.contains("Reset")), "it is the plugin's own: no event");
    });
}

/// MSI as a kernel has it that leaves it enabled while nobody listens: message, masks, and the control that goes last.
#[test]
fn the_message_of_msi_is_there_before_it_is_enabled_whatever_its_address_has() {
    const WIDE: u32 = 1 << 7;
    const HAS_MASKS: u32 = 1 << 8;
    let at = u16::from(MSI);
    for flags in [0, WIDE, HAS_MASKS, WIDE | HAS_MASKS] {
        in_a_world(|| {
            let sim = written();
            let (data, masks) = if flags & WIDE != 0 { (at + 0x0C, at + 0x10) } else { (at + 0x08, at + 0x0C) };
            let mut due = vec![(at + 0x04, 4, 0xFEE0_1000), (data, 2, 0x0051)];
            due.extend((flags & WIDE != 0).then_some((at + 0x08, 4, 1)));
            due.extend((flags & HAS_MASKS != 0).then_some((masks, 4, 2)));
            due.push((at + 0x02, 2, flags | 1));
            sim.device(|card: &mut Card| {
                card.space = card.space.clone().with(usize::from(at) + 2, &(flags as u16).to_le_bytes());
                due.iter().for_each(|&(offset, width, value)| card.space.write(offset, width, value));
                card.writes.clear();
            });
            assert_eq!(reset(&sim).0, Ok(()));
            sim.device(|card: &mut Card| {
                for &(offset, width, value) in &due {
                    assert_eq!(card.space.read(offset, width), value, "{flags:#x}: at {offset:#x}");
                }
                let written = |offset| card.writes.iter().position(|&at| at == offset);
                assert!(
                    due.iter().all(|&(offset, ..)| written(offset) <= written(at + 0x02)),
                    "{flags:#x}: enabled last"
                );
            });
        });
    }
}

#[test]
fn one_that_is_slow_is_waited_for() {
    in_a_world(|| {
        let sim = written();
        sim.device(|card: &mut Card| card.silent_ms = 900);
        let (result, ms) = reset(&sim);
        assert_eq!(result, Ok(()));
        assert!((900..910).contains(&ms), "{ms} ms");
        assert_eq!(sim.device(|card: &mut Card| card.space.read(0x10, 4)), 0xFEB0_0004);
    });
}

#[test]
fn one_that_never_answers_is_a_timeout() {
    in_a_world(|| {
        let sim = written();
        sim.device(|card: &mut Card| card.silent_ms = 1_000_000);
        let (result, ms) = reset(&sim);
        assert_eq!(result, Err(Status::TIMEOUT.into()));
        assert!((1100..1110).contains(&ms), "{ms} ms");
    });
}

#[test]
fn what_was_dropped_on_the_device_is_freed_when_it_was_reset() {
    in_a_world(|| {
        let sim = written();
        let plugin = sim.connect(resetter::INTERFACE).unwrap();
        resetter::Client(&plugin).lose().unwrap();
        let interrupts = plugin.interrupts(Enable::msix(1..=8)).unwrap();
        assert_eq!((reset(&sim).0, sim.live().dma), (Err(Status::BUSY.into()), 1), "the device has it still");
        interrupts.disable().unwrap();
        assert_eq!((reset(&sim).0, sim.live().dma), (Ok(()), 0));
        resetter::Client(&plugin).lose().unwrap();
        sim.device(|card: &mut Card| card.silent_ms = 1_000_000);
        assert_eq!((reset(&sim).0, sim.live().dma), (Err(Status::TIMEOUT.into()), 1), "nobody knows");
    });
}

#[test]
fn what_is_under_way_is_waited_for_and_not_without_end() {
    in_a_world(|| {
        for (pending_ms, total) in [(300, 400..405), (1_000_000, 1100..1110)] {
            let sim = written();
            sim.device(|card: &mut Card| card.pending_until = card.now + 1_000_000 * pending_ms);
            let (result, ms) = reset(&sim);
            assert_eq!(result, Ok(()));
            assert!(total.contains(&ms), "{ms} ms");
        }
    });
}

/// A halt too; but what does not end may still write to what is kept.
#[test]
fn a_halt_waits_for_what_is_under_way_and_frees_nothing_of_what_does_not_end() {
    in_a_world(|| {
        let sim = written();
        let plugin = sim.connect(resetter::INTERFACE).unwrap();
        let client = resetter::Client(&plugin);
        client.lose().unwrap();
        for (pending_ms, took, halted, left) in
            [(1_000_000, 100..105, Err(Status::TIMEOUT.into()), 1), (30, 30..35, Ok(()), 0)]
        {
            sim.device(|card: &mut Card| card.pending_until = card.now + 1_000_000 * pending_ms);
            let before = sim.now_ns();
            assert_eq!((client.halt(), sim.live().dma), (halted, left), "pending for {pending_ms} ms");
            let ms = (sim.now_ns() - before) / 1_000_000;
            assert!(took.contains(&ms), "{ms} ms");
        }
    });
}

#[test]
fn one_without_it_is_refused_untouched() {
    let sim = written();
    sim.device(|card: &mut Card| card.space.write(u16::from(EXPRESS) + 7, 1, 0));
    assert_eq!(reset(&sim), (Err(Status::WRONG_DEVICE.into()), 0));
    sim.device(|card: &mut Card| card.space.write(EXPRESS.into(), 1, 0x09)); // no capability of PCI Express at all
    assert_eq!(reset(&sim), (Err(Status::WRONG_DEVICE.into()), 0));
    sim.device(|card: &mut Card| assert_eq!((card.resets, card.scratch, card.commands.len()), (0, 7, 0)));
}

#[test]
fn it_is_refused_while_an_interrupt_is_enabled_and_is_enabled_no_more_when_it_is_disabled() {
    in_a_world(|| {
        let sim = written();
        let owner = sim.connect(resetter::INTERFACE).unwrap();
        let interrupts = owner.interrupts(Enable::msix(1..=8)).unwrap();
        assert_eq!(reset(&sim), (Err(Status::BUSY.into()), 0), "by whomever");
        assert_eq!(resetter::Client(&owner).reset(), Err(Status::BUSY.into()));
        interrupts.disable().unwrap();
        assert_eq!(reset(&sim).0, Ok(()));
        // An enabling that fails ends too.
        let refused = owner.connection().int_enable(kind::MSIX, 1, 8, REFUSED);
        assert_eq!(refused.map(|_| ()), Err(Error::plugin(1)));
        assert_eq!(reset(&sim).0, Ok(()));
        let refused = owner.interrupts(Enable::msix(9..=9));
        assert_eq!(refused.map(|_| ()), Err(Status::NO_INTERRUPT.into()));
        assert_eq!(reset(&sim).0, Ok(()));
        sim.remove(true);
        // While it is being enabled and disabled it is not to be reset either.
        assert_eq!(sim.log(), ["int_enable: Busy", "int_disable: Busy", "int_enable: Busy", "Removing: Ok"]);
    });
}

#[test]
fn an_app_that_dies_with_its_interrupt_enabled_does_not_keep_it_from_a_reset() {
    in_a_world(|| {
        let sim = written();
        let owner = sim.connect(resetter::INTERFACE).unwrap();
        let interrupts = owner.interrupts(Enable::msix(1..=8)).unwrap();
        assert_eq!(reset(&sim).0, Err(Status::BUSY.into()));
        drop((interrupts, owner));
        assert_eq!(reset(&sim).0, Ok(()));
    });
}

#[test]
fn events_can_reset_and_a_device_that_is_gone_cannot_be() {
    in_a_world(|| {
        let sim = written();
        sim.reset();
        sim.remove(false);
        assert_eq!(sim.log(), ["ResetPrepare: Ok", "ResetDone: Ok", "Removing: DeviceGone"]);
    });
}

#[test]
fn an_enabling_waits_for_a_reset_that_runs() {
    kp_sim::explore(0..40, |world| {
        let sim = written();
        world.scope(|scope| {
            scope.spawn("resets", || {
                let (result, _) = reset(&sim);
                assert!(result == Ok(()) || result == Err(Status::BUSY.into()), "{result:?}");
            });
            scope.spawn("enables", || {
                let owner = sim.connect(resetter::INTERFACE).unwrap();
                owner.connection().int_enable(kind::MSIX, 1, 8, QUIET).unwrap();
                // It has begun: whatever the other one does now is no reset.
                let resets = sim.device(|card: &mut Card| card.resets);
                let _ = owner.connection().int_wait(500_000_000, ANY_VECTOR, 1);
                assert_eq!(sim.device(|card: &mut Card| card.resets), resets, "reset in the middle of an enabling");
            });
        });
        assert!(!sim.device(|card: &mut Card| card.met), "connected in the middle of a reset");
    });
}

#[test]
fn each_allocation_that_fails_leaves_the_device_as_it_was() {
    in_a_world(|| {
        let sim = written();
        let before = sim.fallible_calls();
        reset(&sim).0.unwrap();
        let calls = sim.fallible_calls() - before;
        assert!(calls > 1, "{calls}: a session's, and what is saved");
        for n in 0..calls {
            // Counted from the first of the kernel's.
            let sim = Sim::<Resetter>::builder().device(Card::new()).fail_nth(before + n + 1).build().unwrap();
            sim.device(|card: &mut Card| (card.resets, card.scratch) = (0, 7));
            let Ok(plugin) = sim.connect(resetter::INTERFACE) else { continue };
            let result = resetter::Client(&plugin).reset();
            let (resets, scratch) = sim.device(|card: &mut Card| (card.resets, card.scratch));
            match result {
                Ok(()) => assert_eq!((resets, scratch), (1, 0)),
                Err(error) => assert_eq!((error, resets, scratch), (Status::NO_MEMORY.into(), 0, 7)),
            }
        }
    });
}
