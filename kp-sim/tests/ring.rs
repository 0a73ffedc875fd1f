//! Batched calls: the same messages, the same answers, one request.
mod part;

use kp_abi::{
    Error, Status,
    ring::{INLINE, Submission},
};
use kp_sim::{Sim, edu::Edu};
use kp_user::Ring;
use part::Part;

fn sim() -> Sim<Part> {
    Sim::with(Edu::new()).expect("the plugin takes its device")
}

/// A submission without anything.
fn submission() -> Submission {
    Submission {
        user_data: 0,
        message: 0,
        flags: 0,
        args_len: 0,
        in_word: 0,
        in_len: 0,
        out_word: 0,
        out_len: 0,
        inline: [0; 4],
    }
}

#[test]
fn one_request_runs_many_messages_in_their_order() {
    let sim = sim();
    let plugin = sim.connect(part::part::INTERFACE).unwrap();
    let mut ring = Ring::set_up(plugin.connection(), 64, 4096).unwrap();
    for n in 0..64 {
        let submission = Submission {
            user_data: n,
            message: 5,
            flags: INLINE,
            args_len: 4,
            out_word: n as u32,
            out_len: 4,
            inline: [n % 10, 0, 0, 0],
            ..submission()
        };
        assert!(ring.queues().push(&submission));
    }
    assert!(!ring.queues().push(&submission()), "there are 64");
    ring.queues().publish();
    assert_eq!(ring.enter(), (64, Ok(())));
    for n in 0..64 {
        assert_eq!(ring.queues().pop(), Some((n, Error::new(Status::OK, 4))));
        let mut reply = [0; 4];
        ring.read(8 * n as usize, &mut reply);
        assert_eq!(u32::from_le_bytes(reply), (1..=n as u32 % 10).product::<u32>());
    }
    assert_eq!(ring.queues().pop(), None);
}
