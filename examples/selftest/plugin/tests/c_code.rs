//! What the C code promises, on the simulator's model of the card: the same source that the kernels get.
#![forbid(unsafe_code)]

use kp_sim::{Sim, edu::Edu as Model};
use kp_user::{Enable, Plugin};
use selftest::{Outcome, Selftest, selftest as messages};

fn connect(model: Model) -> (Sim<Selftest>, Plugin) {
    let sim = Sim::<Selftest>::with(model).unwrap();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    (sim, plugin)
}

#[test]
fn a_card_that_does_as_it_should_passes_every_step() {
    let (_sim, plugin) = connect(Model::new().factorial_takes(5, 1));
    let outcome = messages::Client(&plugin).run().unwrap();
    assert_eq!(outcome, Outcome { end: 0, steps: 6, expected: WORDS[5], found: WORDS[5], crc: crc_of(&WORDS) });
}

/// What a whole card answers.
const WORDS: [u32; 6] = [!0, 0, 0xAA55_F00F, 1, 120, 479_001_600];

/// The same checksum, computed another way.
fn crc_of(words: &[u32]) -> u32 {
    let bytes = words.iter().flat_map(|word| word.to_le_bytes());
    !bytes.fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xEDB8_8320 })
    })
}

#[test]
fn a_card_that_never_finishes_is_late_and_the_call_ends() {
    let (_sim, plugin) = connect(Model::new().factorial_takes(u32::MAX, u64::MAX));
    let outcome = messages::Client(&plugin).run().unwrap();
    assert_eq!((outcome.end, outcome.steps, outcome.crc), (2, 3, crc_of(&WORDS[..3])));
}

#[test]
fn the_interrupt_handler_wakes_for_the_causes_that_c_names_and_for_no_others() {
    for (bits, deferred) in [(0x0001, 0), (0x0100, 1), (0x8001, 1), (0x1_0000, 0)] {
        let (_sim, plugin) = connect(Model::new());
        let interrupts = plugin.interrupts(Enable::msi()).unwrap();
        messages::Client(&plugin).raise(bits).unwrap();
        let counters = interrupts.disable().unwrap();
        assert_eq!((counters.received, counters.deferred), (1, deferred), "{bits:#x}");
    }
}
