//! The C glue and the Rust side of the Linux port declare the same calls.
//!
//! C's compiler checks the glue's definitions against `kp_calls.h`; the linker asks for names alone. So the header is compared here with
//! what Rust declares, both ways: names, arguments, types.
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Rust's types, and what C calls the same. An entry with a name is for arguments of that name alone.
const TYPES: [(&str, &str); 29] = [
    ("device: usize", "struct kp_device *"),
    ("device: *mut c_void", "struct kp_device *"),
    ("vma: *mut c_void", "struct vm_area_struct *"),
    ("pages: *mut c_void", "struct kp_pages *"),
    ("mapping: *mut c_void", "struct kp_dma_mapping *"),
    ("*mut u64", "u64 *"),
    ("()", "void"),
    ("bool", "bool"),
    ("u32", "u32"),
    ("AtomicU32", "u32"),
    ("u64", "u64"),
    ("i32", "int"),
    ("usize", "unsigned long"),
    ("isize", "long"),
    ("*mut u8", "void *"),
    ("*mut c_void", "void *"),
    ("*mut *mut c_void", "void **"),
    ("*const u8", "const void *"),
    ("*const c_void", "const void *"),
    ("*const ()", "const void *"),
    ("*mut u32", "u32 *"),
    ("*const u32", "const u32 *"),
    ("*mut usize", "unsigned long *"),
    ("*const AtomicUsize", "const unsigned long *"),
    ("&[[u64; 3]; 6]", "const u64 *"),
    ("BoundPtr", "struct kp_bound_device *"),
    ("SessionPtr", "struct kp_session *"),
    ("&mut MaybeUninit<BoundPtr>", "struct kp_bound_device **"),
    ("&mut MaybeUninit<SessionPtr>", "struct kp_session **"),
];

/// What each name is declared as, as C writes it: `void *kp_c_alloc(unsigned long size, unsigned long align)`.
type Calls = BTreeMap<String, String>;

fn port() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../kp-linux")
}

/// The files of a folder of the port whose names end so, with their text.
fn files(folder: &str, ending: &str) -> BTreeMap<String, String> {
    let entries = fs::read_dir(port().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(&path).unwrap()))
        .collect()
}

fn header() -> String {
    fs::read_to_string(port().join("kbuild/kp_calls.h")).unwrap()
}

/// All of the port's Rust, in one text.
fn rust() -> String {
    files("src", ".rs").into_values().collect()
}

/// C's type and name as one text: no space stands behind a `*`.
fn declared(c_type: &str, name: &str) -> String {
    if c_type.ends_with('*') { format!("{c_type}{name}") } else { format!("{c_type} {name}") }
}

/// The type of a Rust argument, or of an answer, whose name is empty.
fn as_c(name: &str, rust_type: &str) -> &'static str {
    let named = format!("{name}: {rust_type}");
    let found = TYPES.iter().find(|entry| entry.0 == named).or_else(|| TYPES.iter().find(|entry| entry.0 == rust_type));
    found.unwrap_or_else(|| panic!("TYPES has no {rust_type:?}")).1
}

/// `name(argument: type, …) -> type`, as C writes it.
fn rust_function(text: &str) -> (String, String) {
    let (name, rest) = text.split_once('(').unwrap();
    let (arguments, answer) = rest.rsplit_once(") -> ").unwrap_or_else(|| (rest.strip_suffix(')').unwrap(), "()"));
    let arguments = arguments.trim().trim_end_matches(',').split(", ").filter(|argument| !argument.is_empty());
    let arguments: Vec<String> = arguments
        .map(|argument| argument.trim().split_once(": ").unwrap())
        .map(|(name, rust_type)| declared(as_c(name, rust_type), name))
        .collect();
    let arguments = if arguments.is_empty() { "void".to_owned() } else { arguments.join(", ") };
    (name.to_owned(), format!("{}({arguments})", declared(as_c("", answer), name)))
}

/// Rust's text without comments, in one line.
fn code(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

/// What Rust declares: `c.rs`' functions, `glue!`'s entry points, and exported statics.
fn rust_calls(text: &str) -> Calls {
    let code = code(text).replace("( ", "(").replace(", )", ")");
    let mut calls = Calls::new();
    for (at, _) in code.match_indices("fn kp_") {
        let function = &code[at + "fn ".len()..];
        // The size of an array has a semicolon too.
        let end = function.match_indices([';', '=']).find(|(end, _)| {
            let head = &function[..*end];
            head.matches('(').count() == head.matches(')').count()
        });
        let function = function[..end.unwrap().0].trim();
        calls.extend([rust_function(function)]);
    }
    for (at, exported) in code.match_indices("export_name = \"kp_") {
        let name = code[at + exported.len() - "kp_".len()..].split('"').next().unwrap();
        let (_, rest) = code[at..].split_once(": ").unwrap();
        let rust_type = rest.split(" =").next().unwrap();
        calls.insert(name.to_owned(), format!("extern {}", declared(as_c("", rust_type), name)));
    }
    calls
}

/// What the header declares.
fn c_calls(header: &str) -> Calls {
    let mut code = String::new();
    let mut rest = header;
    while let Some((before, after)) = rest.split_once("/*") {
        code.push_str(before);
        rest = after.split_once("*/").unwrap().1;
    }
    code.push_str(rest);
    let code: Vec<&str> = code.lines().filter(|line| !line.starts_with('#')).collect();
    // A size_t is an unsigned long wherever there are 64 bits, and what points to text points to bytes.
    let code = code.join(" ").replace("size_t ", "unsigned long ").replace("const char *", "const void *");
    let mut calls = Calls::new();
    for declaration in code.split(';').map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")) {
        let head = declaration.split('(').next().unwrap();
        let name = head.rsplit([' ', '*']).next().unwrap();
        if declaration.contains('(') || declaration.starts_with("extern ") {
            calls.insert(name.to_owned(), declaration.clone());
        } else {
            assert!(declaration.is_empty() || declaration.starts_with("struct "), "no call: {declaration}");
        }
    }
    calls
}

/// What one has and the other has not, or has otherwise.
fn differences(header: &str, rust: &str) -> Vec<String> {
    let (c, rust) = (c_calls(header), rust_calls(rust));
    let missing = |name: &str| format!("nothing of {name}");
    let mut found = Vec::new();
    for name in c.keys().chain(rust.keys().filter(|name| !c.contains_key(*name))) {
        let [ours, theirs] = [&c, &rust].map(|calls| calls.get(name).cloned().unwrap_or_else(|| missing(name)));
        if ours != theirs {
            found.push(format!("kp_calls.h has {ours}, Rust has {theirs}"));
        }
    }
    found
}

#[test]
fn c_and_rust_declare_the_same_calls() {
    assert_eq!(differences(&header(), &rust()), Vec::<String>::new());
    let calls = c_calls(&header());
    assert!(calls.len() > 60, "only {} calls were found", calls.len());
}

#[test]
fn a_call_that_one_side_changes_is_named() {
    let (header, rust) = (header(), rust());
    let replaced = |text: &str, from: &str, to: &str| {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text.replace(from, to)
    };
    for (from, to, says) in [
        // A type, an answer, a pointer's constness, and two arguments in the other order.
        (
            "void kp_c_stall(u32 us);",
            "void kp_c_stall(u64 us);",
            "kp_c_stall(u64 us), Rust has void kp_c_stall(u32 us)",
        ),
        ("u64 kp_c_now(void);", "u32 kp_c_now(void);", "u32 kp_c_now(void), Rust has u64 kp_c_now(void)"),
        (
            "bool kp_rs_isr(const void *cookie",
            "bool kp_rs_isr(void *cookie",
            "Rust has bool kp_rs_isr(const void *cookie",
        ),
        (
            "kp_c_alloc(size_t size, size_t align)",
            "kp_c_alloc(size_t align, size_t size)",
            "size, unsigned long align)",
        ),
        ("extern u32 kp_rs_poisoned;", "extern bool kp_rs_poisoned;", "Rust has extern u32 kp_rs_poisoned"),
        // A pointer where the other side has a number as long.
        ("kp_c_unmap(unsigned long base)", "kp_c_unmap(void *base)", "Rust has void kp_c_unmap(unsigned long base)"),
        // A call that only Rust has, and one that only C has.
        ("void kp_c_sleep(u64 ns);", "", "nothing of kp_c_sleep, Rust has void kp_c_sleep(u64 ns)"),
        ("void kp_c_sleep(u64 ns);", "void kp_c_sleep(u64 ns);\nvoid kp_c_nap(void);", "Rust has nothing of kp_c_nap"),
        ("void kp_rs_drop(", "void kp_rs_dropped(", "kp_calls.h has nothing of kp_rs_drop"),
    ] {
        let found = differences(&replaced(&header, from, to), &rust);
        assert!(found.iter().any(|line| line.contains(says)), "{from} -> {to}: {found:?}");
    }
    for (from, to, says) in [
        ("pub safe fn kp_c_stall(us: u32);", "pub safe fn kp_c_stall(us: u64);", "Rust has void kp_c_stall(u64 us)"),
        ("fn kp_rs_drop(bound: BoundPtr) = drop_device;", "", "Rust has nothing of kp_rs_drop"),
    ] {
        let found = differences(&header, &replaced(&rust, from, to));
        assert!(found.iter().any(|line| line.contains(says)), "{from} -> {to}: {found:?}");
    }
}

#[test]
fn each_call_is_defined_in_the_file_that_the_header_names_and_used_by_the_other_side() {
    let (sources, rust) = (files("kbuild", ".c"), code(&rust()));
    let words = |text: &str, word: &str| {
        text.split(|letter: char| letter != '_' && !letter.is_alphanumeric()).filter(|found| *found == word).count()
    };
    let mut file = "";
    for line in header().lines() {
        if let Some(name) = line.strip_prefix("/* ").and_then(|line| line.strip_suffix(".c */")) {
            file = sources.get_key_value(&format!("{name}.c")).unwrap_or_else(|| panic!("there is no {name}.c")).0;
        }
        let Some(prototype) = line.strip_suffix(';').filter(|line| line.contains('(')) else { continue };
        let head = prototype.split('(').next().unwrap();
        let name = head.rsplit([' ', '*']).next().unwrap();
        if name.starts_with("kp_c_") {
            assert!(sources[file].contains(&format!("\n{head}(")), "{file} doesn't define {name}");
            assert!(words(&rust, name) > 1, "Rust doesn't call {name}");
        } else {
            assert!(sources.values().any(|text| words(text, name) > 0), "the C glue doesn't call {name}");
        }
    }
    for (file, text) in &sources {
        for line in text.lines().filter(|line| line.ends_with(");") && !line.starts_with(char::is_whitespace)) {
            assert!(!line.contains("kp_c_") && !line.contains("kp_rs_"), "{file} declares for itself: {line}");
        }
    }
}
