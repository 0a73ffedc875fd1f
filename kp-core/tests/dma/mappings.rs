//! Pages that are shown to a device.
use crate::mover::{LOAD, Mover, STORE, plugin_of, regs, run};
use kp_core::*;
use kp_sim::{Sim, every_failure};

fn status<T>(result: Result<T>) -> Status {
    result.map_or_else(|error| error.status, |_| Status::OK)
}

/// A byte that tells its place.
fn byte(at: usize) -> u8 {
    (at * 7 + at / 256) as u8
}

plugin_of! { both_ways: (), |cx, device| {
    let bar: Bar<regs::Map> = device.map(cx, 0)?;
    let dma = device.dma(cx, DmaLimits::bits(32))?;
    dma.enable(cx)?;
    let pages = Pages::new(cx, 3 * 4096)?;
    let area = pages.area(cx)?;
    for at in 0..area.pages().len() {
        area.store(at, byte(at))?;
    }
    let mapping = Mapping::<ToDevice>::new(cx, &dma, &pages, 100..9000)?;
    assert_eq!(mapping.len(), 8900);
    let mapping = mapping.hand_over(cx);
    let mut inside = 0;
    for Segment { at, len } in mapping.segments() {
        assert_eq!(mapping.bus_at(inside as usize)?, at);
        run(cx, &bar, LOAD, at, len, inside)?;
        inside += len;
    }
    assert_eq!(inside, 8900);
    assert_eq!(status(mapping.bus_at(8900)), Status::BAD_VALUE);
    mapping.take_back(cx);
    area.write(0, &[0; 3 * 4096])?;
    let mapping = Mapping::<FromDevice>::new(cx, &dma, &pages, 100..9000)?.hand_over(cx);
    let mut inside = 0;
    for Segment { at, len } in mapping.segments() {
        run(cx, &bar, STORE, at, len, inside)?;
        inside += len;
    }
    let mut read = [0; 1];
    area.read(100, &mut read)?;
    assert_eq!(read, [0], "not seen before it is taken back");
    mapping.take_back(cx);
    for at in 0..3 * 4096 {
        let expected = if (100..9000).contains(&at) { byte(at) } else { 0 };
        assert_eq!(area.load::<u8>(at)?, expected, "byte {at}");
    }
} }

#[test]
fn what_is_handed_over_the_device_sees_and_what_is_taken_back_the_plugin_sees() {
    let sim = Sim::<both_ways::Story>::with(Mover::default()).unwrap();
    assert_eq!(sim.live().dma, 0);
}

plugin_of! { again: (), |cx, device| {
    let bar: Bar<regs::Map> = device.map(cx, 0)?;
    let dma = device.dma(cx, DmaLimits::bits(32))?;
    dma.enable(cx)?;
    let pages = Pages::new(cx, 4096)?;
    let area = pages.area(cx)?;
    let mut mapping = Mapping::<Both>::new(cx, &dma, &pages, 0..4096)?;
    for round in 1..=3_u64 {
        area.store(0, round)?;
        let with_device = mapping.hand_over(cx);
        run(cx, &bar, LOAD, with_device.bus_at(0)?, 8, 0)?;
        run(cx, &bar, STORE, with_device.bus_at(8)?, 8, 0)?;
        mapping = with_device.take_back(cx);
        assert_eq!(area.load::<u64>(8)?, round, "as it was handed over, and as it was taken back");
    }
} }

#[test]
fn a_mapping_is_handed_over_again_and_again() {
    Sim::<again::Story>::with(Mover::default()).unwrap();
}

plugin_of! { refused: (), |cx, device| {
    let dma = device.dma(cx, DmaLimits::bits(32).segments(2))?;
    let pages = Pages::new(cx, 4 * 4096)?;
    let map = |cx: &mut Passive, range| status(Mapping::<Both>::new(cx, &dma, &pages, range));
    assert_eq!(map(cx, 5..5), Status::BAD_VALUE);
    assert_eq!(map(cx, 0..4 * 4096 + 1), Status::BAD_VALUE);
    assert_eq!(map(cx, usize::MAX..usize::MAX), Status::BAD_VALUE);
    #[expect(clippy::reversed_empty_ranges, reason = "as an app could make one")]
    let reversed = 9..5;
    assert_eq!(map(cx, reversed), Status::BAD_VALUE);
    assert_eq!(map(cx, 0..2 * 4096), Status::OK);
    assert_eq!(map(cx, 0..2 * 4096 + 1), Status::NO_MEMORY, "pages lie apart here: three pieces");
    assert_eq!(status(Pages::new(cx, 0)), Status::BAD_VALUE);
    assert_eq!(status(Pages::new(cx, usize::MAX)), Status::NO_MEMORY);
    assert_eq!(status(pages.range(0, 0)), Status::BAD_VALUE);
    assert_eq!(status(pages.range(u64::MAX, 2)), Status::BAD_VALUE);
    assert_eq!(status(pages.range(0, 4 * 4096 + 1)), Status::BAD_VALUE);
    assert_eq!(pages.range(4096, 4096 * 3), Ok(4096..4 * 4096));
} }

#[test]
fn a_bad_range_and_too_many_pieces_are_refused() {
    Sim::<refused::Story>::with(Mover::default()).unwrap();
}

plugin_of! { in_parts: (), |cx, device| {
    let bar: Bar<regs::Map> = device.map(cx, 0)?;
    let dma = device.dma(cx, DmaLimits::bits(32).segment(1024).segments(3))?;
    dma.enable(cx)?;
    let pages = Pages::new(cx, 5 * 4096)?;
    let area = pages.area(cx)?;
    (0..area.pages().len()).try_for_each(|at| area.store(at, byte(at)))?;
    let mut transfer = Transfer::<ToDevice>::new(&dma, &pages, 1000..17_001);
    let mut inside = 0;
    while let Some(part) = transfer.next(cx)? {
        let pieces = part.segments();
        assert!(pieces.clone().count() <= 3);
        for Segment { at, len } in pieces {
            assert!(len <= 1024);
            run(cx, &bar, LOAD, at, len, inside)?;
            inside += len;
        }
        part.take_back(cx);
    }
    assert_eq!((transfer.done(), inside), (16_001, 16_001));
    assert!(transfer.next(cx)?.is_none());
} }

#[test]
fn a_long_transfer_goes_part_by_part_within_the_limits() {
    let sim = Sim::<in_parts::Story>::with(Mover::default()).unwrap();
    sim.device(|card: &mut Mover| {
        assert!(card.memory[..16_001].iter().enumerate().all(|(at, is)| *is == byte(at + 1000)));
    });
}

plugin_of! { bounced: (), |cx, device| {
    let dma = device.dma(cx, DmaLimits::bits(32))?;
    let pages = Pages::new(cx, 9 * 4096)?;
    let mut transfer = Transfer::<FromDevice>::new(&dma, &pages, 0..9 * 4096);
    let mut parts = KVec::new();
    while let Some(part) = transfer.next(cx)? {
        parts.push(cx, part.len())?;
        part.take_back(cx);
    }
    assert_eq!(parts.iter().sum::<usize>(), 9 * 4096);
    assert!(parts.iter().all(|len| *len <= 2 * 4096), "{:?}", &parts[..]);
} }

#[test]
fn a_machine_that_shows_few_pages_at_once_takes_more_parts() {
    Sim::<bounced::Story>::builder().device(Mover::default()).bounce(2).build().unwrap();
}

plugin_of! { fallible: (), |cx, device| {
    let bar: Bar<regs::Map> = device.map(cx, 0)?;
    let dma = device.dma(cx, DmaLimits::bits(32))?;
    dma.enable(cx)?;
    let pages = Pages::new(cx, 2 * 4096)?;
    pages.area(cx)?.store(0, 1_u8)?;
    let mapping = Mapping::<Both>::new(cx, &dma, &pages, 0..2 * 4096)?;
    drop(pages); // the mapping has them
    let mapping = mapping.hand_over(cx);
    run(cx, &bar, LOAD, mapping.bus_at(0)?, 16, 0)?;
} }

#[test]
fn every_failure_is_told_and_leaves_nothing() {
    let told = every_failure(|| Sim::<fallible::Story>::builder().device(Mover::default()), |_| Ok::<_, Error>(()));
    assert!(told.len() > 8, "{told:?}");
    assert!(told.iter().all(|error| error.is_some()), "{told:?}");
}

plugin_of! { against: (), |cx, device| {
    let bar: Bar<regs::Map> = device.map(cx, 0)?;
    let dma = device.dma(cx, DmaLimits::bits(32))?;
    dma.enable(cx)?;
    let pages = Pages::new(cx, 4096)?;
    let mapping = Mapping::<ToDevice>::new(cx, &dma, &pages, 0..4096)?.hand_over(cx);
    run(cx, &bar, STORE, mapping.bus_at(0)?, 16, 0)?;
} }

#[test]
fn an_access_against_the_direction_fails_the_test() {
    let said = std::panic::catch_unwind(|| drop(Sim::<against::Story>::with(Mover::default()))).unwrap_err();
    let said = said.downcast_ref::<String>().unwrap();
    assert!(said.starts_with("the device wrote 16 bytes, which it may only read, at bus address"), "{said}");
}

plugin_of! { scattered: usize, |cx, device| {
    let dma = device.dma(cx, DmaLimits::bits(32).segment(1 << 20).segments(1))?;
    let pages = Pages::new(cx, 64 * 4096)?;
    let mut transfer = Transfer::<ToDevice>::new(&dma, &pages, 0..pages.len());
    let mut parts = 0;
    while let Some(part) = transfer.next(cx)? {
        assert_eq!(part.len(), 4096, "pages lie apart here");
        parts += 1;
        part.take_back(cx);
    }
    parts
} }

#[test]
fn scattered_pages_are_not_mapped_again_and_again() {
    let sim = Sim::<scattered::Story>::with(Mover::default()).unwrap();
    // 64 parts, of which the first finds out how few pages fit.
    assert!(sim.mapped_pages() <= 3 * 64, "{} pages were mapped", sim.mapped_pages());
}
