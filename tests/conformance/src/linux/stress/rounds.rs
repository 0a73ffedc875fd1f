//! Modules loaded and unloaded over and over.
use super::{KINDS, Watchdog, connect, enable, raise, works};
use crate::{
    Subject, World,
    linux::{Guest, Loaded},
    registry::guest_test,
};
use echo_interface::echo;

/// One round in so many uses what it loads.
const USED: u32 = 5;

/// Loads and unloads both, `rounds` times.
#[guest_test("stress rounds", stage = "tear-down", short = "20", long = "200")]
fn modules_are_loaded_and_unloaded_over_and_over(rounds: u32) {
    for round in 0..rounds {
        let _watchdog = Watchdog::new("a round of loading and unloading");
        let loaded = Loaded::all();
        if round % USED == 0 {
            used(KINDS[(round / USED % 2) as usize]);
        }
        drop(loaded);
    }
    println!("{rounds} rounds, {} of them with sessions and interrupts", rounds.div_ceil(USED));
}

fn used(kinds: u32) {
    let echo = Guest.connect(Subject::Echo);
    assert_eq!(echo::Client(&echo).say(b"hello"), Ok(5));
    let plugin = connect();
    works(&plugin, kinds);
    // It closes, and is unloaded, with an interrupt on its way.
    enable(&plugin, kinds);
    raise(&plugin);
}
