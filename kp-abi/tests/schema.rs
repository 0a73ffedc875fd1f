//! The schema says what was declared, and the fingerprint is a number forever: the same with any compiler, alias or
//! spelling, and another one after any change that an app could notice.
#![deny(missing_docs)]
use kp_abi::{Field, Interface, Type, Wire};

/// Declares an interface `i` of its own, perhaps with types, in a module.
macro_rules! declare {
    ($(mod $name:ident $([ $($types:tt)* ])? { $($messages:tt)* })*) => {
        $(mod $name {
            $($($types)*)?
            kp_abi::interface! {
                /// An interface.
                pub mod i, version 1 { $($messages)* }
            }
            pub const INTERFACE: &kp_abi::Interface = i::INTERFACE;
        })*
    };
}

declare! {
    mod plain { fn f(n: u32) -> u32 = 1; }
    mod alias [ pub type Len = u32; ] { fn f(n: Len) -> Len = 1; }
    mod spelling { fn f( n : core::primitive :: u32, ) -> u32 = 1; }
    mod documented { /** Does it. */ fn f(n: u32) -> u32 = 1; }
    mod retired { #[retired] fn f(n: u32) -> u32 = 1; }
    mod longer { fn f(n: u32) -> u32 = 1; fn g(d: &[u8]) -> [u16] = 2; }
    mod empty {}

    mod other_type [ pub type Len = i32; ] { fn f(n: Len) -> Len = 1; }
    mod other_message { fn g(n: u32) -> u32 = 1; }
    mod other_parameter { fn f(m: u32) -> u32 = 1; }
    mod other_reply { fn f(n: u32) = 1; }
    mod more_parameters { fn f(n: u32, m: u32) -> u32 = 1; }
    mod array { fn f(n: [u8; 4]) -> u32 = 1; }
    mod flag { fn f(on: bool, n: i64) = 1; }
    mod slice { fn f(n: &[u32]) -> u32 = 1; }

    mod pair [ kp_abi::wire! { pub struct Pair { pub a: u32, pub b: u32 } } ] { fn f(p: Pair) = 1; }
    mod renamed [ kp_abi::wire! { pub struct Duo { pub a: u32, pub b: u32 } } ] { fn f(p: Duo) = 1; }
    mod swapped [ kp_abi::wire! { pub struct Pair { pub b: u32, pub a: u32 } } ] { fn f(p: Pair) = 1; }

    mod mode [ kp_abi::wire! { pub enum Mode: u8 { Off = 0, On = 1 } } ] { fn f(m: Mode) = 1; }
    mod more_mode [ kp_abi::wire! { pub enum Mode: u8 { Off = 0, On = 1, Auto = 2 } } ] { fn f(m: Mode) = 1; }
    mod bits [ kp_abi::wire! { pub flags Bits: u8 { A = 1 } } ] { fn f(m: Bits) = 1; }
    mod more_bits [ kp_abi::wire! { pub flags Bits: u8 { A = 1, B = 2 } } ] { fn f(m: Bits) = 1; }
}

#[test]
fn spelling_documents_and_retirement_do_not_change_the_fingerprint() {
    let plain = plain::INTERFACE.fingerprint();
    for same in [alias::INTERFACE, spelling::INTERFACE, documented::INTERFACE, retired::INTERFACE] {
        assert_eq!(same.fingerprint(), plain, "{same:#?}");
    }
    assert_eq!(renamed::INTERFACE.fingerprint(), pair::INTERFACE.fingerprint(), "a type's name is not on the wire");
    let newer = Interface { version: 2, ..*plain::INTERFACE };
    assert_eq!(newer.fingerprint(), plain, "the version is for people");
}

#[test]
fn whatever_an_app_could_notice_changes_the_fingerprint() {
    let all = [
        plain::INTERFACE,
        longer::INTERFACE,
        empty::INTERFACE,
        other_type::INTERFACE,
        other_message::INTERFACE,
        other_parameter::INTERFACE,
        other_reply::INTERFACE,
        more_parameters::INTERFACE,
        array::INTERFACE,
        flag::INTERFACE,
        slice::INTERFACE,
        pair::INTERFACE,
        swapped::INTERFACE,
        mode::INTERFACE,
        more_mode::INTERFACE,
        bits::INTERFACE,
        more_bits::INTERFACE,
        &Interface { name: "j", ..*plain::INTERFACE },
    ];
    for (at, one) in all.iter().enumerate() {
        for other in &all[..at] {
            assert_ne!(one.fingerprint(), other.fingerprint(), "{one:#?}\n{other:#?}");
        }
    }
}

#[test]
fn interfaces_fit_if_their_chains_agree_at_the_smaller_count() {
    let (old, new) = (plain::INTERFACE, longer::INTERFACE);
    assert_eq!(new.chain(1), old.fingerprint());
    assert_eq!(new.chain(0), empty::INTERFACE.fingerprint());
    assert_eq!(new.chain(2), new.fingerprint());
    assert_eq!(new.chain(99), new.fingerprint(), "a count above the interface's means all of it");
    assert_eq!(new.accepts(1, old.fingerprint()), Some(true), "an old app, a new driver");
    assert_eq!(new.accepts(1, other_type::INTERFACE.fingerprint()), Some(false), "message 1 was edited");
    assert_eq!(old.accepts(2, new.fingerprint()), None, "a new app decides itself");
}

/// If this fails, the canonical form was changed: old apps and drivers would no longer find together, so change it back. The
/// numbers were computed apart from this crate, from the description in `docs/abi.md`, which has the same ones.
#[test]
fn fingerprints_are_pinned() {
    let page = include_str!("../../docs/abi.md");
    for (messages, interface, pinned) in [
        ("(none)", empty::INTERFACE, 0x529a_55dc_8ff5_7957_u64),
        ("fn f(n: u32) -> u32 = 1;", plain::INTERFACE, 0x1a7d_b0e5_09cc_8d7a),
        ("fn f(n: u32) -> u32 = 1; fn g(d: &[u8]) -> [u16] = 2;", longer::INTERFACE, 0x062e_f25b_9704_3536),
        ("fn f(n: i32) -> i32 = 1;", other_type::INTERFACE, 0xd0d8_4e03_99ad_b5ba),
        ("fn f(n: [u8; 4]) -> u32 = 1;", array::INTERFACE, 0x1239_485d_4a23_a93f),
        ("fn f(on: bool, n: i64) = 1;", flag::INTERFACE, 0x0100_6a13_ac08_273f),
        ("fn f(p: Pair) = 1; struct Pair { a: u32, b: u32 }", pair::INTERFACE, 0x0740_c4e4_12e4_5ad1),
        ("fn f(m: Mode) = 1; enum Mode: u8 { Off = 0, On = 1 }", mode::INTERFACE, 0x82d3_667b_2803_82c3),
        ("fn f(m: Bits) = 1; flags Bits: u8 { A = 1 }", bits::INTERFACE, 0x6071_73d7_4ac3_429c),
    ] {
        let fingerprint = interface.fingerprint();
        assert_eq!(fingerprint, pinned, "{fingerprint:#018x} of {interface:#?}");
        let row = format!("| `{messages}` | `{pinned:016x}` |\n");
        assert!(page.contains(&row), "docs/abi.md lacks this row:\n{row}");
    }
}

#[test]
fn the_schema_says_what_was_declared() {
    let [f, g] = longer::INTERFACE.methods else { panic!("two messages") };
    assert_eq!((f.id, f.name, f.retired), (1, "f", false));
    assert_eq!(f.args, [Field { name: "n", offset: 0, ty: &Type::Uint(4) }]);
    assert_eq!(*f.reply, Type::Uint(4));
    assert_eq!(g.args, [Field { name: "d", offset: 0, ty: &Type::Slice(&Type::Uint(1)) }]);
    assert_eq!(*g.reply, Type::Slice(&Type::Uint(2)));
    assert_eq!(*other_reply::INTERFACE.methods[0].reply, Type::Unit);
    assert_eq!(more_parameters::INTERFACE.methods[0].args[1].offset, 4);
    assert_eq!(documented::INTERFACE.methods[0].doc, [" Does it. "]);
    assert!(retired::INTERFACE.methods[0].retired);
    assert_eq!(longer::INTERFACE.method(2), Some(g));
    assert_eq!((longer::INTERFACE.method(0), longer::INTERFACE.method(3)), (None, None));
    let fields =
        &[Field { name: "a", offset: 0, ty: &Type::Uint(4) }, Field { name: "b", offset: 4, ty: &Type::Uint(4) }];
    assert_eq!(*pair::INTERFACE.methods[0].args[0].ty, Type::Struct { name: "Pair", size: 8, fields });
}

/// A struct declared without `wire!`.
#[derive(Clone, Copy, zerocopy::TryFromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)]
#[repr(C)]
struct Plain {
    a: u32,
    b: [u16; 2],
    bits: bits::Bits,
    rest: [u8; 3],
}
kp_abi::describe! { Plain { a, b, bits, rest } }

#[test]
fn a_described_struct_is_as_good_as_a_declared_one() {
    let Type::Struct { name: "Plain", size: 12, fields } = Plain::SCHEMA else { panic!("{:?}", Plain::SCHEMA) };
    assert_eq!(fields[1], Field { name: "b", offset: 4, ty: &Type::Array(&Type::Uint(2), 2) });
    let plain = |bits| zerocopy::try_transmute!([0u32, 0, bits]);
    let (good, bad): (Result<Plain, _>, Result<Plain, _>) = (plain(1u32), plain(2u32));
    assert!(good.is_ok_and(|value| value.valid()));
    assert!(bad.is_ok_and(|value| !value.valid()), "an unknown flag is found inside");
}
