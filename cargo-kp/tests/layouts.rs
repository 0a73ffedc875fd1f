//! The Windows port's list of struct layouts says what mingw-w64's headers say.
//!
//! A C compiler for Windows puts the headers' numbers into an object file, and they are read from there: nothing is run. Where that
//! compiler is missing: `apt-get install gcc-mingw-w64-x86-64`.
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// Where the headers are wrong, with their number and why.
const WRONG_IN_HEADERS: [(&str, u64); 1] = [
    // Windows aligns it to 16 bytes (DECLSPEC_ALIGN(MEMORY_ALLOCATION_ALIGNMENT) in its own wdm.h); mingw-w64 doesn't.
    ("sizeof(DEVICE_OBJECT)", 328),
];

/// Each number of the list: a C expression, and what the port takes it for.
fn entries(list: &str) -> Vec<(String, u64)> {
    let body = list.split_once("\nlayouts! {\n").expect("the list has a beginning").1;
    let mut found = Vec::new();
    let mut theirs = "";
    for line in body.lines().map(str::trim) {
        let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("not a number: {line}"));
        if let Some(head) = line.strip_suffix(" {") {
            let name = head.split_once(" = ").unwrap_or_else(|| panic!("not a struct: {line}")).1;
            let (name, size) = name.split_once(", size ").map_or((name, None), |(name, size)| (name, Some(size)));
            theirs = name;
            found.extend(size.map(|size| (format!("sizeof({theirs})"), number(size))));
        } else if let Some(field) = line.strip_suffix(';') {
            let (path, offset) = field
                .split_once(" = ")
                .and_then(|(_, entry)| entry.split_once(" at "))
                .unwrap_or_else(|| panic!("not a field: {line}"));
            found.push((format!("offsetof({theirs}, {path})"), number(offset)));
        } else {
            assert!(line.is_empty() || line == "}", "neither struct nor field: {line}");
        }
    }
    found
}

/// What the headers say of each expression.
fn in_headers(expressions: &[&str]) -> Vec<u64> {
    let mut source = "#include <ntifs.h>\nconst unsigned long long numbers[] = {\n".to_owned();
    for expression in expressions {
        writeln!(source, "    {expression},").unwrap();
    }
    source.push_str("};\n");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (input, output) = (dir.join("layouts.c"), dir.join("layouts.o"));
    std::fs::write(&input, source).unwrap();
    let mut gcc = Command::new("x86_64-w64-mingw32-gcc");
    gcc.args(["-c", "-D_WIN32_WINNT=0x0A00", "-isystem", "/usr/x86_64-w64-mingw32/include/ddk", "-o"]);
    let status = gcc.arg(&output).arg(&input).status().expect("apt-get install gcc-mingw-w64-x86-64");
    assert!(status.success(), "the headers lack a name of the list: see above");

    let bytes = std::fs::read(output).unwrap();
    let file = object::File::parse(bytes.as_slice()).unwrap();
    let symbol = file.symbol_by_name("numbers").unwrap();
    let section = file.section_by_index(symbol.section_index().unwrap()).unwrap();
    let data = &section.data().unwrap()[symbol.address() as usize..];
    let number = |index: usize| u64::from_le_bytes(data[8 * index..8 * index + 8].try_into().unwrap());
    (0..expressions.len()).map(number).collect()
}

#[test]
#[ignore = "needs mingw-w64's compiler; run by `cargo kp test`"]
fn every_size_and_offset_is_that_of_mingws_headers() {
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kp-windows/src/nt/layouts.rs");
    let entries = entries(&std::fs::read_to_string(list).unwrap());
    assert!(entries.len() > 20, "only {} entries were read", entries.len());
    let expressions: Vec<&str> = entries.iter().map(|(expression, _)| expression.as_str()).collect();
    let mut wrong = Vec::new();
    for ((expression, ours), theirs) in entries.iter().zip(in_headers(&expressions)) {
        let known = WRONG_IN_HEADERS.iter().any(|&(name, number)| name == expression && number == theirs);
        if *ours != theirs && !known {
            wrong.push(format!("{expression}: {ours} in kp-windows, {theirs} in the headers"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
