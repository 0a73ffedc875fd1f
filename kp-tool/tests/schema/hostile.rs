//! Bytes of anybody's: each is a schema or it is not, and nothing else happens.
use super::{bytes, interfaces, random::Random};
use kp_abi::schema_bytes::{FINGERPRINT_AT, HEAD};
use kp_tool::schema::Schema;

fn why(bytes: &[u8]) -> String {
    Schema::decode(bytes).expect_err("it is no schema").to_string()
}

#[test]
fn a_schema_that_is_cut_or_continued_is_none() {
    for interface in interfaces().take(20) {
        let (whole, names) = (bytes(&interface), interface.schema_names_len());
        for len in (0..whole.len()).filter(|len| *len != names) {
            assert!(Schema::decode(&whole[..len]).is_err(), "{len} of {}", whole.len());
        }
        assert!(Schema::decode(&[whole.as_slice(), &[0]].concat()).is_err());
    }
}

#[test]
fn what_the_fingerprint_is_of_cannot_be_changed_in_a_byte() {
    let interface = edu_interface::edu::INTERFACE;
    let (whole, read) = (bytes(interface), Schema::decode(&bytes(interface)).expect("a schema"));
    for at in 0..interface.schema_names_len() {
        for change in [1, 0x20, 0x80, 0xFF] {
            let mut changed = whole.clone();
            changed[at] ^= change;
            let Ok(other) = Schema::decode(&changed) else { continue };
            // The version, what is retired, and the names of types are for people.
            assert_eq!(other.chains, read.chains, "byte {at}");
            assert_ne!(other, read, "byte {at}: there is one form of each");
        }
    }
}

#[test]
fn each_refusal_says_why() {
    let good = echo_interface::echo::SCHEMA;
    let with = |at: usize, bytes: &[u8]| {
        let mut changed = good.to_vec();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        why(&changed)
    };
    assert_eq!(why(&good[..HEAD - 1]), "it ends too early");
    assert_eq!(with(0, b"k"), "it does not begin as one");
    assert_eq!(with(4, &[2]), "it has version 2 of the format, and only 1 is known");
    assert_eq!(with(6, &[1]), "what is reserved is not zero");
    assert_eq!(with(FINGERPRINT_AT, &[!good[FINGERPRINT_AT]]), "its fingerprint is not that of its messages");
    assert_eq!(with(HEAD, &[0xFF, 0xFF]), "it ends too early");
    assert_eq!(with(HEAD, &[0x80, 0x00]), "a number is longer than it can be");
    assert_eq!(with(HEAD + 1, &[0xFF]), "a text is not UTF-8");
    let behind = |parts: &[&[u8]]| why(&[&good[..HEAD], &parts.concat()].concat());
    let large: &[u8] = &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01];
    assert_eq!(behind(&[large, b"name"]), "it ends too early");
    assert_eq!(behind(&[&[1], b"i", &[1], large, &[0; 8]]), "it ends too early");
    assert_eq!(behind(&[&[1], b"i", large]), "the interface's version is too large");
    let message: &[&[u8]] = &[&[1], b"i", &[1, 1], &[0; 8], &[1, 1], b"f"];
    let replies = |rest: &[u8]| behind(&[&message.concat(), &[0, 0], rest, &[0; 8]]);
    assert_eq!(behind(&[&message.concat(), &[2]]), "message 1 has a flag that is not known");
    assert_eq!(replies(&[9]), "there is no type 9");
    assert_eq!(replies(&[[4, 1].repeat(32), vec![1]].concat()), "its types are more than 32 deep");
    // Of a chain that is what its head says, the types are looked at next.
    let mut head = good[..HEAD].to_vec();
    head[FINGERPRINT_AT..FINGERPRINT_AT + 8].fill(0);
    let long = [&[6], large, &[1], b"s", &[0]].concat();
    assert_eq!(why(&[&head, &message.concat(), &[0, 0][..], &long, &[0; 8]].concat()), "message 1: s is too long");
    assert_eq!(replies(&[5; 1_000_000]), "its types are more than 32 deep");
}

/// Noise, and schemas with noise in them: as many as a second has room for.
#[test]
fn no_bytes_make_it_panic() {
    let mut random = Random(0x5EED);
    let seeds: Vec<Vec<u8>> = interfaces().map(|interface| bytes(&interface)).collect();
    let mut taken = 0;
    for round in 0..5_000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(5) {
                0 => bytes[at] = random.below(256) as u8,
                1 => bytes[at] ^= 1 << random.below(8),
                2 => bytes.truncate(at + 1),
                3 => bytes.insert(at, random.below(256) as u8),
                _ => drop(bytes.splice(at..at, [0xFF; 9])),
            }
        }
        if let Ok(schema) = Schema::decode(&bytes) {
            taken += 1;
            assert_eq!(Schema::from_json(&schema.to_json()), Ok(schema.clone()));
            assert!(!schema.to_string().contains('\u{1b}'));
        }
    }
    assert!(taken > 20, "the noise is often where it does no harm: {taken}");
}
