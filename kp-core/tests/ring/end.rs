//! A ring whose app, session, device or plugin ends.
use super::by_hand::{Raw, factorial, sim, submission};
use kp_abi::{
    Status,
    request::{Request, RingEnter},
    ring::{INLINE, Submission},
};
use kp_sim::explore;
use kp_user::Connection;

#[test]
fn closing_removing_and_killing_end_a_batch_between_two_messages() {
    let mut seen = std::collections::BTreeSet::new();
    for end in ["close", "remove", "kill"] {
        explore(0..200, |world| {
            let sim = sim();
            let mut raw = Raw::new(&sim, 64, 4096);
            for _ in 0..32 {
                raw.push(&Submission { message: 6, flags: INLINE, args_len: 4, inline: [1, 0, 0, 0], ..submission() });
                raw.push(&factorial(3));
            }
            let (raw, mut entered) = (&raw, (0, Status::OK));
            world.scope(|scope| {
                scope.spawn("batch", || entered = raw.enter(64));
                scope.spawn("end", || match end {
                    "close" => raw.app.close().unwrap(),
                    "remove" => sim.remove(true),
                    _ => raw.app.kill(),
                });
            });
            let (submitted, status) = entered;
            let over = match end {
                "close" => Status::CLOSED,
                "remove" => Status::DEVICE_GONE,
                _ => Status::INTERRUPTED,
            };
            assert!(status == over || (status, submitted) == (Status::OK, 64), "{end}: {submitted} {status}");
            let ended = (0..submitted).filter(|&at| raw.completion(at).1 == over).count();
            assert!(ended <= 1, "{end}: {ended} of {submitted} messages were told");
            seen.insert((end, status == over));
        });
    }
    for end in ["close", "remove", "kill"] {
        assert!(seen.contains(&(end, true)), "{end} never came in time");
    }
}

#[test]
fn a_plugin_that_panics_in_a_batch_poisons_and_nothing_runs_after_it() {
    let sim = sim();
    let mut raw = Raw::new(&sim, 4, 4096);
    raw.push(&Submission { message: 8, ..submission() });
    raw.push(&factorial(3));
    let mut enter = RingEnter { to_submit: 2, ..Request::new() };
    enter.submitted = 9;
    let address = raw.app.memory().place(&enter);
    assert_eq!(raw.app.raw(RingEnter::NR, address), Err(Status::POISONED));
    assert_eq!(raw.enter(2), (0, Status::POISONED));
    assert!(sim.is_poisoned());
}
