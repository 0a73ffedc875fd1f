//! What the echo plugin promises, in the simulator.
#![forbid(unsafe_code)]

use echo::{Echo, Style, TOO_LONG, Trim, echo as messages};
use kp_core::{Error, Status};
use kp_sim::Sim;
use std::sync::Arc;

#[test]
fn each_session_hears_what_was_said_in_it() {
    let sim = Sim::<Echo>::new().unwrap();
    let (a, b) = (sim.connect(messages::INTERFACE).unwrap(), sim.connect(messages::INTERFACE).unwrap());
    let (a, b) = (messages::Client(&a), messages::Client(&b));
    assert_eq!(a.say(b"hello"), Ok(5));
    assert_eq!(a.hear(&mut [0; 16]), Ok(&b"hello"[..]));
    assert_eq!(b.hear(&mut [0; 16]), Ok(&b""[..]));
    assert_eq!(a.hear(&mut [0; 4]), Err(Error::new(Status::OUTPUT_LENGTH, 5)));
}

#[test]
fn the_open_data_is_what_a_session_hears_first() {
    let sim = Sim::<Echo>::new().unwrap();
    let plugin = kp_user::Plugin::over(Arc::new(sim.open()), messages::INTERFACE, b"first").unwrap();
    assert_eq!(messages::Client(&plugin).hear(&mut [0; 16]), Ok(&b"first"[..]));
}

#[test]
fn a_style_and_a_trim_change_what_is_repeated() {
    let sim = Sim::<Echo>::new().unwrap();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    let client = messages::Client(&plugin);
    let mut room = [0; 16];
    assert_eq!(client.repeat(Style::Loud, Trim::START, b"  a b ", &mut room), Ok(&b"A B "[..]));
    assert_eq!(client.repeat(Style::Backwards, Trim::END, b"  ab ", &mut room), Ok(&b"ba  "[..]));
    assert_eq!(client.repeat(Style::Plain, Trim::empty(), b" ab ", &mut room), Ok(&b" ab "[..]));
}

#[test]
fn a_nap_that_is_too_long_is_the_plugins_own_error() {
    let sim = Sim::<Echo>::new().unwrap();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    assert_eq!(messages::Client(&plugin).nap(60_001), Err(Error::plugin(TOO_LONG)));
}
