//! Interfaces whose names mean something else in C, in C++ or in what the bindings have: all of them get names that compile.
use kp_tool::schema::{Field, Method, Schema, Type, Value};

/// Words of the languages, of their headers, and of the bindings.
const WORDS: &[&str] = &[
    "open",
    "close",
    "has",
    "error",
    "wait",
    "wait_many",
    "int_enable",
    "int_counters",
    "on_interrupt",
    "fd",
    "t",
    "device",
    "message",
    "check",
    "state",
    "end",
    "c",
    "args",
    "got",
    "status",
    "reply",
    "room",
    "count",
    "data",
    "len",
    "kp",
    "kpi",
    "std",
    "int",
    "class",
    "register",
    "template",
    "this",
    "bool",
    "true",
    "near",
    "interface",
    "errno",
    "memcpy",
    "linux",
    "r#type",
    "r#match",
    "Größe",
    "_",
    "__",
    "IN",
    "OUT",
    "ERROR",
    "DELETE",
    "NULL",
    "small",
    "said_t",
    "said",
    "Said",
];

/// An interface of this name, with messages, parameters, fields and values of all those words.
fn interface(name: &str) -> Schema {
    let word = |size| Type::Uint { size };
    let named = |name: &str, offset, ty: &Type| Field { name: name.to_owned(), offset, ty: ty.clone() };
    let values: Vec<Value> =
        WORDS.iter().zip(0..).map(|(name, value)| Value { name: (*name).to_owned(), value }).collect();
    let fields: Vec<Field> = WORDS.iter().zip(0..).map(|(name, at)| named(name, at, &word(1))).collect();
    let size = fields.len() as u64;
    let list = Type::Slice { element: Box::new(word(2)) };
    let methods = WORDS.iter().zip(1..).map(|(word, id)| {
        // Types of one name that are not the same, and types that are called as the bindings' own.
        let mode = Type::Enum { name: (*word).to_owned(), size: 1, values: values.clone() };
        let pair = Type::Struct { name: (*word).to_owned(), size, fields: fields.clone() };
        let mut args: Vec<Field> = WORDS.iter().zip(0..).map(|(name, at)| named(name, at, &mode)).collect();
        args.push(named("pair", size, &pair));
        args.push(named("reply", 2 * size, &list));
        let reply = if id % 2 == 0 { list.clone() } else { pair };
        let doc = Some(vec!["*/ /* ??/ \\".to_owned(), String::new(), "ends with \\".to_owned()]);
        Method { id, name: (*word).to_owned(), doc, retired: id % 7 == 0, args, reply }
    });
    Schema::of(name, 1, methods.collect()).expect("an interface")
}

/// All of them.
pub fn awkward() -> Vec<Schema> {
    ["kp", "int", "class", "std", "Ding", "a_b_", "r#type"].map(interface).into()
}

#[test]
fn a_retired_message_has_neither_a_function_nor_a_number() {
    let schema = interface("old");
    let files = cargo_kp::bindings::Language::Cpp.files(&schema).expect("the templates fit");
    let retired = schema.messages.iter().find(|message| message.retired).expect("there is one");
    assert_eq!((retired.id, retired.name.as_str()), (7, "int_enable"));
    let [c, cpp] = &files[..] else { panic!("two files") };
    assert!(
        !c.text.contains("#define OLD_MESSAGE_INT_ENABLE 7u") && !c.text.contains("old_int_enable_("),
        "{}",
        c.path
    );
    assert!(c.text.contains("#define OLD_MESSAGE_WAIT 5u") && c.text.contains("old_wait_("));
    assert!(!cpp.text.contains("int_enable_(") && cpp.text.contains(" wait_("), "{}", cpp.path);
}
