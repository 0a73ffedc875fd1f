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

/// An interface in which everything begins with a digit, or would without its `_`; and which has what the first is called then.
fn digits() -> Schema {
    let word = Type::Uint { size: 4 };
    let value = |name: &str, value| Value { name: name.to_owned(), value };
    let field = |name: &str, offset, ty: &Type| Field { name: name.to_owned(), offset, ty: ty.clone() };
    let rates = vec![value("_1G", 0), value("_10G", 1), value("X10G", 2)];
    let rate = Type::Enum { name: "_2".to_owned(), size: 1, values: rates.clone() };
    let flags = Type::Flags { name: "X2".to_owned(), size: 4, values: vec![value("_1", 1), value("X1", 2)] };
    let fields = vec![field("a", 0, &word), field("_0", 4, &word), field("x0", 8, &word)];
    let pair = Type::Struct { name: "_3D".to_owned(), size: 12, fields };
    let args = vec![field("_0", 0, &rate), field("x0", 1, &flags), field("_00", 5, &pair)];
    let methods = [("_4", pair), ("x4", rate)].into_iter().zip(1..).map(|((name, reply), id)| Method {
        id,
        name: name.to_owned(),
        doc: None,
        retired: false,
        args: args.clone(),
        reply,
    });
    Schema::of("_7", 1, methods.collect()).expect("an interface")
}

/// Interfaces that are called as something is in headers of C's, of POSIX or of Windows, with which they are in one program.
pub fn of_libraries() -> Vec<Schema> {
    let names = ["timer", "time", "mode", "dev", "div", "link", "clock", "pipe", "sync", "sem", "mq", "stat", "log"];
    let nothing = |name| Method { id: 1, name, doc: None, retired: false, args: Vec::new(), reply: Type::Unit };
    let of = |name| Schema::of(name, 1, vec![nothing("reset".to_owned())]).expect("an interface");
    names.map(of).into()
}

/// All of them.
pub fn awkward() -> Vec<Schema> {
    let all = ["kp", "int", "class", "std", "Ding", "a_b_", "r#type"].map(interface);
    all.into_iter().chain([digits()]).collect()
}

#[test]
fn a_digit_that_would_begin_a_name_has_a_letter_before_it_and_none_behind_a_prefix() {
    let has = |language: cargo_kp::bindings::Language, file: usize, parts: &[&str]| {
        let files = language.files(&digits()).expect("the templates fit");
        for part in parts {
            assert!(files[file].text.contains(part), "{part}: {}", files[file].text);
        }
    };
    use cargo_kp::bindings::Language;
    has(
        Language::C,
        0,
        &[
            "#define X7_2_10G UINT8_C(1)",
            "} x7_3d_t;",
            "\tuint32_t x0;\n\tuint32_t x0_;\n",
            "x7_4(x7_t *c, x7_2_t x0, ",
        ],
    );
    has(
        Language::Cpp,
        1,
        &["\t_10G = UINT8_C(1),\n\tX10G = UINT8_C(2),\n", "namespace x7 {", "struct X3d {\n", " x4(X2 x0, X2_ x0_, "],
    );
    has(
        Language::Python,
        0,
        &["    X10G = 1\n    X10G_ = 2\n", "    x0: int\n    x0_: int\n", "def x4(self, x0: X2, x0_: X2_, x00: X3d)"],
    );
}

/// As the page says: by a `_` behind it.
#[test]
fn a_plugin_that_is_called_as_something_of_a_library_has_another_name_in_the_languages_whose_library_it_is() {
    let method =
        Method { id: 1, name: "reset".to_owned(), doc: None, retired: false, args: Vec::new(), reply: Type::Unit };
    for (name, c, cpp, python) in [
        ("timer", "timer_", "timer", "timer"),
        ("link", "link", "link_", "link"),
        ("array", "array", "array", "array_"),
        ("time", "time_", "time_", "time_"),
        ("card", "card", "card", "card"),
    ] {
        let schema = Schema::of(name, 1, vec![method.clone()]).expect("an interface");
        let files = |language: cargo_kp::bindings::Language| language.files(&schema).expect("the templates fit");
        let cpp_files = files(cargo_kp::bindings::Language::Cpp);
        assert!(cpp_files[0].text.contains(&format!("kp_status {c}_open({c}_t *c, ")), "{name}");
        assert!(cpp_files[1].text.contains(&format!("\nnamespace {cpp} {{\n")), "{name}");
        assert_eq!(files(cargo_kp::bindings::Language::Python)[0].path, format!("{python}/__init__.py"));
    }
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
