//! Memory that device and processor share.
use crate::mover::{LOAD, Mover, STORE, page, plugin_of, regs, run};
use kp_core::*;
use kp_sim::{Sim, every_failure};

const LIMITS: DmaLimits = DmaLimits::bits(32);

fn status<T>(result: Result<T>) -> Status {
    result.map_or_else(|error| error.status, |_| Status::OK)
}

plugin_of! { both_ways: (), |cx, device| {
    let bar: Bar<regs::Map> = device.map(cx, 0)?;
    let dma = device.dma(cx, LIMITS)?;
    let pages = Coherent::<page::Map>::new(cx, &dma, 3)?;
    assert_eq!(pages.at(2)?.read(page::LONG), 0, "zeroed");
    pages.at(2)?.write(page::LONG, 0x0807_0605_0403_0201);
    let pages = pages.hand_over();
    dma.enable(cx)?;
    run(cx, &bar, LOAD, pages.bus(2)?, 4096, 0)?;
    run(cx, &bar, STORE, pages.bus(1)?, 4096, 0)?;
    assert_eq!(pages.at(1)?.read(page::LONG), 0x0807_0605_0403_0201);
    assert_eq!(pages.at(0)?.read(page::LONG), 0);
    let refused = [status(pages.at(3).map(|_| ())), status(pages.bus(3)), status(pages.bus(usize::MAX))];
    assert_eq!(refused, [Status::BAD_VALUE; 3]);
    let pages = pages.take_back();
    assert_eq!(pages.count(), 3);
} }

#[test]
fn what_one_writes_the_other_sees() {
    let sim = Sim::<both_ways::Story>::with(Mover::default()).unwrap();
    assert_eq!(sim.live().dma, 0, "taken back, and dropped with init");
    sim.unload().unwrap();
}

plugin_of! { limits: (), |cx, device| {
    let dma = device.dma(cx, DmaLimits::bits(24))?;
    for _ in 0..64 {
        let page = Coherent::<page::Map>::new(cx, &dma, 4)?.hand_over();
        let at = page.bus(0)?.raw();
        assert!(at + 4 * 4096 <= 1 << 24, "{at:#x} has more than 24 bits");
        assert!(at.is_multiple_of(4096));
        page.take_back();
    }
    assert_eq!(status(device.dma(cx, LIMITS)), Status::BUSY, "what it reaches is said once");
    assert_eq!(status(Coherent::<page::Map>::new(cx, &dma, 0)), Status::BAD_VALUE);
    assert_eq!(status(Coherent::<page::Map>::new(cx, &dma, usize::MAX)), Status::NO_MEMORY);
    assert_eq!(status(Coherent::<page::Map>::new(cx, &dma, usize::MAX / 4096)), Status::NO_MEMORY);
} }

#[test]
fn memory_is_where_the_device_reaches_it() {
    Sim::<limits::Story>::with(Mover::default()).unwrap();
}

plugin_of! { none: (), |cx, device| {
    assert_eq!(status(device.dma(cx, LIMITS)), Status::WRONG_DEVICE);
} }

#[test]
fn a_plugin_without_hardware_has_no_transfers() {
    struct Soft;
    impl Init for Soft {
        type Session = ();
        type Interrupt = ();
        fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
            assert_eq!(status(device.dma(cx, LIMITS)), Status::WRONG_DEVICE);
            Ok(Soft)
        }
    }
    plugin! { Soft { name: "soft", callbacks: [] } }
    Sim::<Soft>::new().unwrap();
}

plugin_of! { unmastered: (), |cx, device| {
    let bar: Bar<regs::Map> = device.map(cx, 0)?;
    let dma = device.dma(cx, LIMITS)?;
    let page = Coherent::<page::Map>::new(cx, &dma, 1)?.hand_over();
    run(cx, &bar, STORE, page.bus(0)?, 16, 0)?;
    assert_eq!(page.at(0)?.read(page::WORD), 0, "it may not transfer yet");
    dma.enable(cx)?;
    dma.halt(cx)?;
    run(cx, &bar, STORE, page.bus(0)?, 16, 0)?;
    assert_eq!(page.at(0)?.read(page::WORD), 0, "nor any more");
} }

#[test]
fn a_device_transfers_from_enable_to_halt() {
    let mut card = Mover::default();
    card.memory.fill(7);
    Sim::<unmastered::Story>::with(card).unwrap();
}

plugin_of! { fallible: (Dma, OnDevice<Coherent<page::Map>>), |cx, device| {
    let bar: Bar<regs::Map> = device.map(cx, 0)?;
    let dma = device.dma(cx, LIMITS)?;
    let page = Coherent::new(cx, &dma, 1)?.hand_over();
    dma.enable(cx)?;
    run(cx, &bar, STORE, page.bus(0)?, 16, 0)?;
    (dma, page)
} }

#[test]
fn every_failure_is_told_and_leaves_nothing() {
    let told = every_failure(|| Sim::<fallible::Story>::builder().device(Mover::default()), |_| Ok::<_, Error>(()));
    let told: Vec<_> = told.into_iter().map(|error| error.unwrap().status).collect();
    assert!(told.contains(&Status::NO_DMA) && told.contains(&Status::NO_MEMORY), "{told:?}");
}

/// What the simulator says of a card that transfers where it must not.
fn verdict(f: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let payload = std::panic::catch_unwind(f).unwrap_err();
    payload.downcast_ref::<String>().cloned().unwrap_or_default()
}

plugin_of! { stray: (), |cx, device| {
    let bar: Bar<regs::Map> = device.map(cx, 0)?;
    let dma = device.dma(cx, LIMITS)?;
    let page = Coherent::<page::Map>::new(cx, &dma, 1)?.hand_over();
    dma.enable(cx)?;
    let at = page.bus(0)?;
    page.take_back();
    run(cx, &bar, LOAD, at, 16, 0)?;
} }

#[test]
fn an_access_to_what_is_gone_fails_the_test() {
    let said = verdict(|| drop(Sim::<stray::Story>::with(Mover::default())));
    assert!(said.starts_with("the device read 16 bytes that are not mapped at bus address 0x"), "{said}");
    assert!(said.contains("which was unmapped at"), "{said}");
}

plugin_of! { forgetful: (), |cx, device| {
    let bar: Bar<regs::Map> = device.map(cx, 0)?;
    let dma = device.dma(cx, LIMITS)?;
    let page = Coherent::<page::Map>::new(cx, &dma, 1)?.hand_over();
    run(cx, &bar, LOAD, page.bus(0)?, 16, 0)?;
} }

#[test]
fn a_card_that_transfers_before_it_may_fails_the_test() {
    let said = verdict(|| drop(Sim::<forgetful::Story>::with(Mover::heedless())));
    assert!(
        said.starts_with("the device read 16 bytes while bus mastering is off (`Dma::enable`), at bus address 0x"),
        "{said}"
    );
}
