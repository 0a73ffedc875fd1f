//! The INFs that `cargo kp build` writes, held to Microsoft's list "INF Validation Errors and Warnings", which InfVerif checks by:
//! each of its codes is a rule in `rules`, with what finds it in `checks`, or cannot meet what is written here, for the reason in `NOT_OURS`.
//!
//! InfVerif itself is a part of the WDK and was not run.
mod checks;
mod parse;
mod rules;

use cargo_kp::build::{Arch, Inf as Written, Info, MatchId, Product, select};
use parse::Inf;
use rules::{CODES, NOT_OURS, RULES};
use std::path::Path;

/// A package: name, authors, description, version, devices, vectors.
type Package<'a> = (&'a str, &'a [&'a str], &'a str, &'a str, &'a [MatchId], u32);

const EDU: MatchId = MatchId::Pci { vendor: 0x1234, device: 0x11e8, subsystem: None };

fn written(product: &Product, devices: &[MatchId], max_vectors: u32, arch: Arch) -> Vec<u8> {
    let info = Info { name: product.name.clone(), devices: devices.to_vec(), max_vectors };
    Written { product, info: &info, arch }.bytes()
}

/// Packages that an author may well have, and some that nobody would.
fn packages() -> Vec<(String, Vec<u8>)> {
    let many: Vec<MatchId> =
        (0..500).map(|device| MatchId::Pci { vendor: 0x8086, device, subsystem: Some((0x10f0, device)) }).collect();
    let classes = [
        MatchId::PciClass { class: 0x01_0800, exact: false },
        MatchId::PciClass { class: 0x01_0802, exact: true },
        MatchId::PciClass { class: 0x01_08FF, exact: false }, // the first again, as Windows writes it
        MatchId::Pci { vendor: 0x8086, device: 0xa, subsystem: None },
        MatchId::Pci { vendor: 0x8086, device: 0xa, subsystem: Some((0x10f0, 7)) },
    ];
    let long = "x".repeat(248);
    let words = "A long word after another. ".repeat(40);
    let odd: [Package<'_>; 9] = [
        ("edu", &["Ada Lovelace <ada@example.org>"], "The edu plugin.", "1.2.3-beta", &[EDU], 8),
        ("echo", &[], "", "0.1.0", &[], 0),
        (&long, &["Grace"], &words, "1.0.0", &[EDU], 1),
        (&long, &["Grace"], &words, "1.0.0", &[], 0),
        ("quotes", &["\"Q\" \"\" Inc. <q@example.org>"], "\"all\" of it \"quoted\"", "1.0.0", &[EDU], 32),
        ("percent", &["100% Rust, Inc."], "50 %, %Disk% and %1%; done\\", "1.0.0", &[EDU], 2),
        (
            "foreign",
            &["Ärger & Söhne", "Łukasz"],
            "[Version]; Ж = \u{1F980}, «x»\nin two lines",
            "65534.65534.65534",
            &[],
            0,
        ),
        ("many", &["Not Microsoft"], "Many devices.", "0.0.1", &many, 32),
        ("classes", &[" Micro Soft "], "Whole classes.", "2.0.0", &classes, 4),
    ];
    let mut all = Vec::new();
    for (name, authors, description, version, devices, vectors) in odd {
        let authors: Vec<String> = authors.iter().map(|&author| author.to_owned()).collect();
        let product = Product::new(&format!("kp-{name}"), &authors, description, version, 20_455).unwrap();
        for arch in Arch::ALL {
            all.push((format!("{name}, {arch:?}"), written(&product, devices, vectors, arch)));
        }
    }
    // The examples, as they are.
    for (name, devices) in [("edu", &[EDU][..]), ("echo", &[])] {
        let package = select(Some(name), &Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap();
        all.push((format!("the example {name}"), written(&Product::of(&package).unwrap(), devices, 8, Arch::X64)));
    }
    all
}

/// What rules find in a file, with their codes.
fn found(bytes: &[u8]) -> Vec<String> {
    let inf = Inf::read(bytes);
    let found = RULES.iter().flat_map(|rule| (rule.finds)(&inf).into_iter().map(|what| (rule.codes, what)));
    found.map(|(codes, what)| format!("{codes:?} {what}")).collect()
}

#[test]
fn no_rule_finds_anything_in_an_inf_that_is_written_here() {
    for (name, bytes) in packages() {
        assert_eq!(found(&bytes), [""; 0], "{name}:\n{}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn texts_reach_windows_as_their_author_wrote_them() {
    let all = packages();
    let shown = |name: &str, key: &str| {
        let (_, bytes) = all.iter().find(|(there, _)| there == name).unwrap();
        let inf = Inf::read(bytes);
        inf.shown(&format!("%{key}%"))
    };
    assert_eq!(shown("quotes, X64", "Provider"), "\"Q\" \"\" Inc.");
    assert_eq!(shown("quotes, X64", "Description"), "\"all\" of it \"quoted\"");
    assert_eq!(shown("percent, X64", "Provider"), "100% Rust, Inc.");
    assert_eq!(shown("percent, X64", "Description"), "50 %, %Disk% and %1%; done\\");
    assert_eq!(shown("foreign, Arm64", "Provider"), "Ärger & Söhne");
    assert_eq!(shown("foreign, Arm64", "Description"), "[Version]; Ж = \u{1F980}, «x» in two lines");
}

#[test]
fn each_rule_finds_the_inf_that_was_made_to_break_it() {
    let all = packages();
    let text = |name: &str| String::from_utf8(all.iter().find(|(there, _)| there == name).unwrap().1.clone()).unwrap();
    let (edu, echo) = (text("edu, X64"), text("echo, X64"));
    for rule in RULES {
        assert!(!rule.broken.is_empty(), "{:?} is fed nothing", rule.codes);
        for (from, to) in rule.broken {
            let good = if edu.contains(from) { &edu } else { &echo };
            assert!(good.contains(from), "{:?}: no {from:?} in either INF", rule.codes);
            let bad = good.replace(from, to);
            let found = (rule.finds)(&Inf::read(bad.as_bytes()));
            assert!(!found.is_empty(), "{:?} finds nothing wrong with {to:?} for {from:?}", rule.codes);
        }
    }
}

#[test]
fn every_code_of_the_list_is_a_rule_or_has_a_reason_why_it_cannot_come() {
    for code in CODES {
        let rules = RULES.iter().filter(|rule| rule.codes.contains(code)).count();
        let reasons = NOT_OURS.iter().filter(|(codes, _)| codes.contains(code)).count();
        assert_eq!(rules + reasons, 1, "code {code}: {rules} rules, {reasons} reasons");
    }
    let known = |code: &u16| CODES.contains(code);
    assert!(RULES.iter().all(|rule| rule.codes.iter().all(known)));
    assert!(NOT_OURS.iter().all(|(codes, _)| known(codes.start()) && known(codes.end())));
}
