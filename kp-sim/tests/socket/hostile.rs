//! Clients that send anything, and go at any moment.
use crate::{
    client::{Place, Raw, code, nap, plugin, server, wait},
    test_plugin::messages,
};
use kp_abi::{
    request::{Call, IntEnable, IntWait, Open, Query, Request, RequestNr, control_code, kind as irq},
    socket::{Hello, MAGIC, RequestFrame, kind},
    zerocopy::IntoBytes,
};
use kp_sim::{Live, Random};
use std::thread;

/// One connection's life: some right words, some wrong ones, and an end in the middle.
fn annoy(place: &Place, random: &mut Random) {
    let raw = Raw::silent(place);
    if below(random, 8) == 0 {
        let hello = [Hello { magic: MAGIC, kind: below(random, 4) as u32, handle: below(random, 2) as u64 }];
        raw.send(&hello.as_bytes()[..below(random, 17)]);
        return;
    }
    drop(raw);
    let (first, handle) = Raw::open(place);
    first.send_request(code::<Open>(), open().as_bytes(), 80);
    let _ = first.reply();
    let others: Vec<Raw> = (0..below(random, 3))
        .map(|_| Raw::hello(place, [kind::MORE, kind::POLL][below(random, 2)], handle).0)
        .collect();
    for _ in 0..below(random, 6) {
        let raw = others.get(below(random, others.len() + 1)).unwrap_or(&first);
        match below(random, 8) {
            0 => _ = raw.send(&random_bytes(random, 40)),
            1 => raw.send_request(code::<Call>(), &nap(), 64),
            2 => raw.send_request(code::<IntWait>(), wait().as_bytes(), 64),
            3 => raw.send_request(code::<IntEnable>(), enable().as_bytes(), 64),
            4 => {
                let frame = RequestFrame { code: code::<Query>(), in_len: 4096, out_len: 4096, reserved: 0 };
                raw.send(&[frame.as_bytes(), &random_bytes(random, 4095)].concat());
            }
            _ => {
                let nr = RequestNr::ALL[below(random, RequestNr::ALL.len())] as u32;
                let len = below(random, 200);
                let mut input = random_bytes(random, len);
                if let Some(size) = input.first_chunk_mut() {
                    *size = (below(random, 256) as u32).to_le_bytes();
                }
                raw.send_request(control_code(nr).unwrap_or(nr), &input, below(random, 300) as u32);
            }
        }
    }
}

fn open() -> Open {
    let interface = messages::INTERFACE;
    let (message_count, fingerprint) = (interface.methods.len() as u32, interface.fingerprint());
    Open { abi_major: 1, abi_minor: 4, message_count, fingerprint, ..Open::new() }
}

fn enable() -> IntEnable {
    IntEnable { kinds: irq::ANY, min: 1, max: 1, ..IntEnable::new() }
}

fn below(random: &mut Random, limit: usize) -> usize {
    random.below(limit as u64) as usize
}

fn random_bytes(random: &mut Random, len: usize) -> Vec<u8> {
    (0..len).map(|_| below(random, 256) as u8).collect()
}

#[test]
fn clients_that_break_the_rules_and_go_at_any_moment_leave_the_server_well() {
    let (server, place) = server();
    let good = plugin(Raw::open(&place).0);
    thread::scope(|scope| {
        for seed in 0..4 {
            let place = &place;
            scope.spawn(move || {
                let mut random = Random(seed);
                (0..100).for_each(|_| annoy(place, &mut random));
            });
        }
        for n in 0..200 {
            assert_eq!(messages::Client(&good).factorial(n % 10 + 1).map(|_| ()), Ok(()));
        }
    });
    assert_eq!(messages::Client(&good).factorial(5), Ok(120));
    drop(good);
    assert_eq!(server.end(), Live::default());
}

/// More connections than the server takes: those that it has go on.
#[test]
fn connections_above_the_limit_are_refused() {
    let (server, place) = server();
    let good = plugin(Raw::open(&place).0);
    let mut open = Vec::new();
    let refused = loop {
        assert!(open.len() < 300, "none is refused");
        match Raw::hello(&place, kind::OPEN, 0) {
            (raw, Ok(_)) => open.push(raw),
            (_, Err(status)) => break status,
        }
    };
    assert_eq!((open.len(), refused), (255, kp_abi::Status::NO_MEMORY));
    assert_eq!(messages::Client(&good).factorial(5), Ok(120));
    drop(open);
    drop(good);
    assert_eq!(server.end(), Live::default());
}
