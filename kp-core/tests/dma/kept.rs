//! What is dropped while the device has it is kept until the device has stopped.
use crate::mover::{Mover, STORE, page, regs, run};
use kp_core::*;
use kp_sim::{Sim, device::DeviceModel};
use std::sync::{
    Mutex as StdMutex,
    atomic::{AtomicU32, Ordering::Relaxed},
};

type Page = OnDevice<Coherent<page::Map>>;

kp_abi::interface! {
    mod holder, version 1 {
        /// New pages, which the device gets.
        fn take(count: u32) = 1;
        /// Drops one, as the device has it.
        fn lose() = 2;
        /// Takes one back.
        fn give_back() = 3;
        fn halt() = 4;
        fn was_reset() = 5;
        fn enable() = 6;
        /// Has the device write into the page that was given first.
        fn store() = 7;
        fn panic() = 8;
        /// Drops a byte of 16 pages, as the device has it.
        fn lose_byte(at: u32) = 9;
    }
}

struct Holder {
    bar: Bar<regs::Map>,
    dma: Dma,
    /// None before the first byte of them is dropped.
    many: Mutex<Option<Pages>>,
    pages: Mutex<KVec<Page>>,
}

impl Init for Holder {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        let dma = device.dma(cx, DmaLimits::bits(32))?;
        let many = Mutex::new(cx, None)?;
        Ok(Holder { bar: device.map(cx, 0)?, dma, many, pages: Mutex::new(cx, KVec::new())? })
    }
}

impl holder::Handler<Passive> for Holder {
    fn take(&self, cx: &mut Passive, (): &(), count: u32) -> Result<()> {
        self.pages.with(cx, |pages, cx| {
            for _ in 0..count {
                let page = Coherent::new(cx, &self.dma, 1)?.hand_over();
                pages.push(cx, page)?;
            }
            Ok(())
        })
    }
    fn lose(&self, cx: &mut Passive, (): &()) -> Result<()> {
        self.pages.with(cx, |pages, _| pages.pop().map(drop).ok_or(Status::BUSY.into()))
    }
    fn give_back(&self, cx: &mut Passive, (): &()) -> Result<()> {
        self.pages.with(cx, |pages, _| pages.pop().map(|page| drop(page.take_back())).ok_or(Status::BUSY.into()))
    }
    fn halt(&self, cx: &mut Passive, (): &()) -> Result<()> {
        self.dma.halt(cx)
    }
    fn was_reset(&self, cx: &mut Passive, (): &()) -> Result<()> {
        self.dma.device_was_reset(cx);
        Ok(())
    }
    fn enable(&self, cx: &mut Passive, (): &()) -> Result<()> {
        self.dma.enable(cx)
    }
    fn panic(&self, _: &mut Passive, (): &()) -> Result<()> {
        panic!("planted")
    }
    fn lose_byte(&self, cx: &mut Passive, (): &(), at: u32) -> Result<()> {
        self.many.with(cx, |many, cx| {
            let pages = match many.take() {
                Some(pages) => pages,
                None => Pages::new(cx, 16 * 4096)?,
            };
            let at = at as usize;
            drop(Mapping::<FromDevice>::new(cx, &self.dma, many.insert(pages), at..at + 1)?.hand_over(cx));
            Ok(())
        })
    }
    fn store(&self, cx: &mut Passive, (): &()) -> Result<()> {
        self.pages.with(cx, |pages, cx| run(cx, &self.bar, STORE, pages.first().ok_or(Status::BUSY)?.bus(0)?, 16, 0))
    }
}

plugin! { Holder { name: "holder", devices: [0x1234:0x5678], interface: holder, callbacks: [] } }

#[test]
fn what_is_dropped_on_the_device_is_kept_until_it_stops() {
    let sim = Sim::<Holder>::with(Mover::default()).unwrap();
    let plugin = sim.connect(holder::INTERFACE).unwrap();
    let client = holder::Client(&plugin);
    client.enable().unwrap();
    client.take(5).unwrap();
    client.give_back().unwrap();
    assert_eq!(sim.live().dma, 4, "taken back is freed");
    client.lose().unwrap();
    client.lose().unwrap();
    assert_eq!(sim.live().dma, 4, "dropped is kept");
    client.halt().unwrap();
    assert!(!sim.device(|card: &mut Mover| card.is_master));
    assert_eq!(sim.live().dma, 2, "and freed when the device has stopped");
    client.lose().unwrap();
    assert_eq!(sim.live().dma, 2);
    client.was_reset().unwrap();
    assert_eq!(sim.live().dma, 1);
    drop(plugin);
    sim.unload().unwrap();
}

#[test]
fn a_device_that_transfers_late_finds_what_was_dropped() {
    let sim = Sim::<Holder>::with(Mover::hanging()).unwrap();
    let plugin = sim.connect(holder::INTERFACE).unwrap();
    let client = holder::Client(&plugin);
    client.enable().unwrap();
    client.take(1).unwrap();
    assert_eq!(client.store(), Err(Status::TIMEOUT.into()));
    client.lose().unwrap();
    // It would fail the test if the memory were gone.
    sim.device(|card: &mut Mover| card.hangs = false);
    sim.advance(1_000_000);
    drop(plugin);
    sim.unload().unwrap();
}

#[test]
fn query_says_what_is_kept() {
    let sim = Sim::<Holder>::with(Mover::default()).unwrap();
    let plugin = sim.connect(holder::INTERFACE).unwrap();
    let client = holder::Client(&plugin);
    let kept = || plugin.query().map(|query| (query.dma & kp_abi::request::dma::HAS, query.quarantined)).unwrap();
    client.take(3).unwrap();
    assert_eq!(kept(), (kp_abi::request::dma::HAS, 0));
    client.lose().unwrap();
    client.lose().unwrap();
    assert_eq!(kept().1, 8192);
    client.give_back().unwrap();
    assert_eq!(kept().1, 8192, "what is taken back is not kept");
    client.was_reset().unwrap();
    assert_eq!(kept(), (kp_abi::request::dma::HAS, 0));
    sim.remove(true);
    assert_eq!(kept(), (0, 0));
}

/// A mapping keeps all of its pages, be it of one byte: else what an app pins, and leaves to a device that does not end, would be counted as next to
/// nothing. But each page is kept once.
#[test]
fn what_is_kept_is_counted_as_it_is_pinned() {
    let sim = Sim::<Holder>::with(Mover::default()).unwrap();
    let plugin = sim.connect(holder::INTERFACE).unwrap();
    let client = holder::Client(&plugin);
    let kept = || plugin.query().unwrap().quarantined;
    for _ in 0..2 {
        for at in [0, 1, 5 * 4096 + 7] {
            client.lose_byte(at).unwrap();
            assert_eq!(kept(), 16 * 4096);
        }
        client.take(1).unwrap();
        client.lose().unwrap();
        assert_eq!(kept(), 17 * 4096);
        client.was_reset().unwrap();
        assert_eq!(kept(), 0);
    }
    client.halt().unwrap();
    client.lose_byte(3).unwrap();
    sim.remove(true);
    drop(plugin);
    assert_eq!(sim.live().dma, 0);
    sim.unload().unwrap();
}

/// Nobody answers for a plugin that has panicked, and its device goes on.
#[test]
fn the_removal_of_a_poisoned_plugin_stops_its_device() {
    let sim = Sim::<Holder>::with(Mover::hanging()).unwrap();
    let plugin = sim.connect(holder::INTERFACE).unwrap();
    let client = holder::Client(&plugin);
    client.enable().unwrap();
    client.take(2).unwrap();
    assert_eq!(client.store(), Err(Status::TIMEOUT.into()));
    client.lose().unwrap();
    assert_eq!(client.panic(), Err(Status::POISONED.into()));
    assert!(sim.device(|card: &mut Mover| card.is_master));
    sim.remove(true);
    assert!(!sim.device(|card: &mut Mover| card.is_master), "the removal stops it");
    drop(plugin);
    // The test has seen it: what a panicked call has had is lost.
    std::mem::forget(sim);
}

#[test]
fn a_removal_stops_the_device_and_frees_what_was_kept() {
    for present in [true, false] {
        let sim = Sim::<Holder>::with(Mover::hanging()).unwrap();
        let plugin = sim.connect(holder::INTERFACE).unwrap();
        let client = holder::Client(&plugin);
        client.enable().unwrap();
        client.take(3).unwrap();
        client.lose().unwrap();
        assert_eq!(client.store(), Err(Status::TIMEOUT.into()));
        sim.remove(present);
        assert_eq!(sim.live().dma, 0);
        assert_eq!(
            sim.device(|card: &mut Mover| card.is_master),
            !present,
            "it is stopped, if there is something to ask"
        );
        drop(plugin);
        sim.unload().unwrap();
    }
}

mod keeper {
    use super::*;
    /// What plugin code keeps outside of its value.
    pub static KEPT: StdMutex<Option<(Dma, Page)>> = StdMutex::new(None);

    pub struct Keeper;
    impl Init for Keeper {
        type Session = ();
        type Interrupt = ();
        fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
            let dma = device.dma(cx, DmaLimits::bits(32))?;
            let page = Coherent::new(cx, &dma, 1)?.hand_over();
            *KEPT.lock().unwrap() = Some((dma, page));
            Ok(Keeper)
        }
    }
    plugin! { Keeper { name: "keeper", devices: [0x1234:0x5678], callbacks: [] } }
}

#[test]
fn what_outlives_the_device_is_lost_and_said_so() {
    let sim = Sim::<keeper::Keeper>::with(Mover::default()).unwrap();
    sim.remove(true);
    assert_eq!(sim.log(), ["memory for transfers is leaked: 1"]);
    let (dma, page) = keeper::KEPT.lock().unwrap().take().unwrap();
    assert_eq!(sim.enter(|cx| dma.enable(cx)), Err(Status::DEVICE_GONE.into()));
    assert_eq!(sim.enter(|cx| Coherent::<page::Map>::new(cx, &dma, 1).map(drop)), Err(Status::DEVICE_GONE.into()));
    assert!(!dma.is_isolated());
    page.at(0).unwrap().write(page::WORD, 1); // its memory stays
    sim.enter(|_| drop((dma, page)));
    assert_eq!(sim.live().dma, 1);
    // The test has seen it: nobody else is to.
    std::mem::forget(sim);
}

/// The device is asked as a model whether it may transfer.
#[test]
fn messages_keep_a_device_from_being_halted() {
    struct Messages(Mover);
    impl DeviceModel for Messages {
        fn identity(&self) -> kp_sim::device::Identity {
            self.0.identity()
        }
        fn vectors(&self, kind: IrqKind) -> u16 {
            (kind == IrqKind::Msi).into()
        }
        fn bus_master(&mut self, on: bool) {
            self.0.bus_master(on);
        }
    }
    struct Listener(Dma, AtomicU32);
    impl Init for Listener {
        type Session = ();
        type Interrupt = ();
        fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
            device.dma(cx, DmaLimits::bits(32)).map(|dma| Listener(dma, AtomicU32::new(0)))
        }
    }
    impl IntEnable for Listener {
        fn int_enable(&self, cx: &mut Passive, _: Enabling<'_, Self>) -> Result<()> {
            // There are messages, and they are not connected yet.
            self.1.store(self.0.halt(cx).err().map_or(0, |error| error.status.0), Relaxed);
            Ok(())
        }
    }
    impl IntAtIrql for Listener {
        fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
            Verdict::NOT_MINE
        }
    }
    kp_abi::interface! {
        mod listener, version 1 {
            fn halt() = 1;
            fn enable() = 2;
            fn told_in_int_enable() -> u32 = 3;
        }
    }
    impl listener::Handler<Passive> for Listener {
        fn enable(&self, cx: &mut Passive, (): &()) -> Result<()> {
            self.0.enable(cx)
        }
        fn halt(&self, cx: &mut Passive, (): &()) -> Result<()> {
            self.0.halt(cx)
        }
        fn told_in_int_enable(&self, _: &mut Passive, (): &()) -> Result<u32> {
            Ok(self.1.load(Relaxed))
        }
    }
    plugin! { Listener { name: "listener", devices: [0x1234:0x5678], interface: listener, callbacks: [IntEnable, IntAtIrql] } }
    let sim = Sim::<Listener>::with(Messages(Mover::default())).unwrap();
    let plugin = sim.connect(listener::INTERFACE).unwrap();
    let client = listener::Client(&plugin);
    let is_master = || sim.device(|card: &mut Messages| card.0.is_master);
    for enabled in [false, true] {
        if enabled {
            client.enable().unwrap();
        }
        let interrupts = plugin.interrupts(kp_user::Enable::any()).unwrap();
        assert_eq!(client.told_in_int_enable(), Ok(Status::BUSY.0), "an enabling that is under way");
        assert_eq!(client.halt(), Err(Status::BUSY.into()));
        assert!(is_master());
        drop(interrupts);
        assert_eq!(is_master(), enabled, "what is refused has changed nothing");
        assert_eq!(client.halt(), Ok(()));
        assert!(!is_master());
    }
}

crate::mover::plugin_of! { glutton: (), |cx, device| {
    const PAGES: usize = (64 << 20) / 4096;
    let dma = device.dma(cx, DmaLimits::bits(64))?;
    let pages = Pages::new(cx, 4096)?;
    for _ in 0..4 {
        drop(Coherent::<page::Map>::new(cx, &dma, PAGES)?.hand_over());
    }
    drop(Coherent::<page::Map>::new(cx, &dma, 1)?.hand_over()); // 256 MiB are not too much
    let refused = Err(Status::NO_MEMORY.into());
    assert_eq!(Coherent::<page::Map>::new(cx, &dma, 1).map(drop), refused);
    assert_eq!(Mapping::<ToDevice>::new(cx, &dma, &pages, 0..1).map(drop), refused);
    dma.device_was_reset(cx);
    Mapping::<ToDevice>::new(cx, &dma, &pages, 0..1)?;
} }

#[test]
fn a_device_for_which_too_much_is_kept_gets_no_more() {
    let sim = Sim::<glutton::Story>::with(Mover::default()).unwrap();
    assert_eq!(sim.live().dma, 0);
}

crate::mover::plugin_of! { one_byte: (), |cx, device| {
    let dma = device.dma(cx, DmaLimits::bits(64))?;
    let (large, other) = (Pages::new(cx, (256 << 20) + 4096)?, Pages::new(cx, 4096)?);
    drop(Mapping::<FromDevice>::new(cx, &dma, &large, 5..6)?.hand_over(cx));
    let refused = Err(Status::NO_MEMORY.into());
    assert_eq!(Coherent::<page::Map>::new(cx, &dma, 1).map(drop), refused);
    assert_eq!(Mapping::<ToDevice>::new(cx, &dma, &other, 0..1).map(drop), refused);
    for range in [0..1, 4000..9000] {
        Mapping::<Both>::new(cx, &dma, &large, range)?; // they are kept, whatever comes of this
    }
    dma.device_was_reset(cx);
    Mapping::<ToDevice>::new(cx, &dma, &other, 0..1)?;
} }

#[test]
fn too_much_is_kept_by_one_byte_and_may_be_mapped_on() {
    let sim = Sim::<one_byte::Story>::with(Mover::default()).unwrap();
    assert_eq!(sim.live().dma, 0);
}

/// One of everything.
type All = (
    Coherent<page::Map>,
    OnDevice<Coherent<page::Map>>,
    Mapping<Both>,
    OnDevice<Mapping<Both>>,
    Pages,
    Area,
    Transfer<ToDevice>,
    Dma,
);

fn all(cx: &mut Passive, dma: &Dma) -> Result<All> {
    let pages = Pages::new(cx, 8192)?;
    Ok((
        Coherent::new(cx, dma, 1)?,
        Coherent::new(cx, dma, 1)?.hand_over(),
        Mapping::new(cx, dma, &pages, 0..8192)?,
        Mapping::new(cx, dma, &pages, 10..20)?.hand_over(cx),
        pages.clone(),
        pages.area(cx)?,
        Transfer::new(dma, &pages, 0..8192),
        dma.clone(),
    ))
}

crate::mover::plugin_of! { anywhere: (), |cx, device| {
    let dma = device.dma(cx, DmaLimits::bits(32))?;
    let of_isr = all(cx, &dma)?;
    let of_isr = SpinLock::<_, Irql>::new(cx, Some(of_isr))?;
    let of_dpc = all(cx, &dma)?;
    let of_dpc = SpinLock::<_, Dispatch>::new(cx, Some(of_dpc))?;
    drop(all(cx, &dma)?);
    of_dpc.with(cx, |all, _| drop(all.take()));
    of_isr.with(cx, |all, _| drop(all.take()));
} }

#[test]
fn everything_may_be_dropped_at_any_level() {
    let sim = Sim::<anywhere::Story>::with(Mover::default()).unwrap();
    assert!(sim.deferred_frees() >= 4, "the port frees later what was dropped at Irql");
    // Of each level what the device has had, and the pages of that mapping.
    assert_eq!(sim.live().dma, 3 * 3);
    sim.unload().unwrap();
}
