//! An interface as bytes: made by the compiler, of any size, and each byte where docs/schema.md has it.
#![allow(missing_docs, reason = "what a test declares")]
use kp_abi::{Field, Interface, Method, Type};

kp_abi::interface! {
    /// A small one.
    pub mod small, version 3 {
        /// Says it.
        ///
        ///  Twice.
        fn say(mode: Mode, text: &[u8]) -> u32 = 1;
        #[retired]
        fn old() = 2;
    }
}

kp_abi::wire! {
    pub enum Mode: u16 {
        Soft = 0,
        Loud = 300,
    }
}

#[test]
fn each_byte_is_where_the_page_has_it() {
    let chain = |n| small::INTERFACE.chain(n).to_le_bytes().to_vec();
    let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    let parts: Vec<Vec<u8>> = vec![
        b"KPSC\x01\0\0\0".to_vec(),
        chain(2),
        text("small"),
        vec![3, 2],
        chain(0),
        vec![1],
        text("say"),
        vec![0, 2],
        text("mode"),
        vec![0, 7, 2],
        text("Mode"),
        vec![2],
        text("Soft"),
        vec![0],
        text("Loud"),
        vec![0xAC, 0x02],
        text("text"),
        vec![2, 5, 2, 1],
        vec![2, 4],
        chain(1),
        vec![2],
        text("old"),
        vec![1, 0, 0],
        chain(2),
    ];
    let names = parts.concat();
    assert_eq!(small::INTERFACE.schema_names_len(), names.len());
    let mut bytes = vec![0xEE; names.len()];
    small::INTERFACE.write_schema(&mut bytes);
    assert_eq!(bytes, names);
    let docs = [vec![3], text("Says it."), text(""), text(" Twice."), vec![0]].concat();
    assert_eq!(small::SCHEMA, [names, docs].concat());
}

/// So many messages of an interface, with structs, slices and documentation.
const fn messages<const N: usize>() -> [Method; N] {
    const ARGS: &[Field] = &[
        Field { name: "first", offset: 0, ty: &Type::Uint(4) },
        Field { name: "second", offset: 4, ty: &Type::Struct { name: "Pair", size: 8, fields: PAIR } },
        Field { name: "style", offset: 12, ty: &Type::Enum { name: "Style", size: 1, variants: VALUES } },
        Field { name: "trim", offset: 13, ty: &Type::Flags { name: "Trim", size: 4, bits: VALUES } },
        Field { name: "data", offset: 17, ty: &Type::Slice(&Type::Uint(1)) },
    ];
    const PAIR: &[Field] =
        &[Field { name: "a", offset: 0, ty: &Type::Uint(4) }, Field { name: "b", offset: 4, ty: &Type::Uint(4) }];
    const VALUES: &[(&str, u64)] = &[("ONE", 1), ("TWO", 2)];
    let doc = &[" A message of many, which does something that needs a sentence.", " And another line of it."];
    let name = "a_message_of_many";
    let mut methods = [Method { id: 0, name, doc, args: ARGS, reply: &Type::Uint(4), retired: false }; N];
    let mut i = 0;
    while i < N {
        methods[i].id = i as u32 + 1;
        i += 1;
    }
    methods
}

const MANY: &Interface = &Interface { name: "many", version: 1, methods: &messages::<1000>() };

/// The compiler refuses a constant that takes it too long: what it is asked for grows with the messages, and no faster.
#[test]
fn the_compiler_makes_the_schema_of_a_thousand_messages() {
    static BYTES: [u8; MANY.schema_len()] = MANY.schema();
    static NAMES: [u8; MANY.schema_names_len()] = MANY.schema();
    static IS_ITS: bool = MANY.__has_schema(&BYTES, &NAMES);
    assert!(IS_ITS);
    assert!(BYTES.starts_with(&NAMES) && BYTES.len() > NAMES.len() + 50_000, "{} {}", BYTES.len(), NAMES.len());
    let mut changed = BYTES;
    changed[NAMES.len() - 1] ^= 1;
    assert!(!MANY.__has_schema(&changed, &NAMES) && !MANY.__has_schema(&BYTES, &NAMES[1..]));
}

fn nested(depth: usize) -> &'static Type {
    let mut ty = &Type::Bool;
    for _ in 1..depth {
        ty = Box::leak(Box::new(Type::Array(ty, 1)));
    }
    ty
}

fn replies(reply: &'static Type) -> Interface {
    let method = Method { id: 1, name: "deep", doc: &[], args: &[], reply, retired: false };
    Interface { name: "deep", version: 1, methods: vec![method].leak() }
}

#[test]
fn types_are_32_deep_at_most() {
    assert!(replies(nested(32)).schema_len() > 64);
    let deeper = std::panic::catch_unwind(|| replies(nested(33)).schema_len());
    assert!(deeper.is_err(), "a message's types are more than 32 deep");
}

#[test]
#[should_panic(expected = "with documentation or without")]
fn no_other_length_is_taken() {
    small::INTERFACE.write_schema(&mut vec![0; small::SCHEMA.len() - 1]);
}
