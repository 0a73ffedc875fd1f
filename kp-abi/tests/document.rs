//! `docs/abi.md` says what the code says. Each table of numbers is made here from the code and must stand in the page word
//! for word; if one does not, the rows that are missing are printed, ready to be pasted.
use kp_abi::request::{self, RequestInfo, RequestNr};
use kp_abi::{Counters, Status, ring};
use std::fmt::Write;

const PAGE: &str = include_str!("../../docs/abi.md");
const REQUESTS: &str = include_str!("../src/request.rs");
const TABLE: &str = include_str!("../src/request/table.rs");
const RING: &str = include_str!("../src/ring/mod.rs");
const LIMITS: &str = include_str!("../src/limits.rs");

/// Asserts that the page has this table, with no other row in it.
fn check(name: &str, head: &str, rows: &[String]) {
    assert!(!rows.is_empty(), "{name}: no rows, so the test reads the code wrongly");
    let missing: Vec<_> = rows.iter().filter(|row| !PAGE.lines().any(|line| line == *row)).cloned().collect();
    assert!(missing.is_empty(), "{name}: docs/abi.md lacks these rows:\n{}\n", missing.join("\n"));
    let mut table = String::from(head);
    table.push('\n');
    table.extend(head.chars().filter(|c| *c == '|').map(|_| "|---").collect::<String>().strip_suffix("---"));
    for row in rows {
        write!(table, "\n{row}").expect("a string takes it");
    }
    assert!(
        PAGE.contains(&format!("\n{table}\n\n")),
        "{name}: in docs/abi.md this table has other rows, too:\n{table}\n"
    );
}

/// Something declared in a source file, with its documentation.
struct Declared<'s> {
    doc: String,
    /// The declaration, without `pub` and what ends the line.
    text: &'s str,
}

/// Rustdoc as a cell of a table: no links, and no bars.
fn cell(doc: &str) -> String {
    let mut text = String::new();
    let mut rest = doc;
    while let Some((before, link)) = rest.split_once("](") {
        text.push_str(before);
        rest = link.split_once(')').expect("a link ends").1;
    }
    text.push_str(rest);
    text.replace("[`", "`").replace("`]", "`").replace('|', r"\|")
}

/// The declarations in `source` from the line that starts with `from` to the next one that starts with `to`.
fn declarations<'s>(source: &'s str, from: &str, to: &str) -> Vec<Declared<'s>> {
    let mut lines = source.lines().map(str::trim).skip_while(|line| !line.starts_with(from));
    assert!(lines.next().is_some(), "`{from}` is in the source");
    let mut declared = Vec::new();
    let mut doc = String::new();
    for text in lines.take_while(|line| !line.starts_with(to)) {
        match text.strip_prefix("/// ") {
            Some(line) => doc.push_str(&cell(line)),
            None => {
                let text = text.trim_start_matches("pub ").trim_end_matches([',', ';']);
                declared.push(Declared { doc: std::mem::take(&mut doc), text });
            }
        }
    }
    declared
}

/// A row of a table of fields.
fn field_row(at: usize, field: &str, ty: &str, doc: &str, since: &str) -> String {
    let (direction, meaning) = match doc.split_once(": ") {
        Some(("In", meaning)) if meaning.contains("; out: ") => ("in, out", meaning),
        Some(("In", meaning)) => ("in", meaning),
        Some(("Out", meaning)) => ("out", meaning),
        _ if doc == "Zero." => ("–", "zero"),
        _ => ("in", doc),
    };
    format!("| {at} | `{field}` | {ty} | {direction} | {} | {since} |", meaning.trim_end_matches('.'))
}

const FIELD_HEAD: &str = "| offset | field | type | | meaning | since |";

/// The tables of one request's fields, and its heading.
fn check_request(info: &RequestInfo) {
    let mut rows = Vec::new();
    let mut seen = Vec::new();
    let body = TABLE.split_once(&format!("    {} = {},", info.name, info.nr)).expect("its place in the table").1;
    if !info.fields.is_empty() {
        for (i, (size, since)) in info.versions.iter().enumerate() {
            let from = format!("{}{size} bytes since {since} {{", if i == 0 { "" } else { "grown to " });
            for Declared { doc, text } in declarations(body, &from, "}") {
                let (field, ty) = text.split_once(": ").expect("offset field: type");
                let (at, field) = field.split_once(' ').expect("offset field");
                let at = at.parse().expect("an offset");
                seen.push((at, field));
                rows.push(field_row(at, field, ty, &doc, since));
            }
        }
        check(info.name, FIELD_HEAD, &rows);
    }
    assert_eq!(seen, info.fields, "the source was read as the compiler reads it");
    let heading = format!("### {} = {}, {} bytes\n", info.name, info.nr, info.first_size);
    assert!(PAGE.contains(&heading), "docs/abi.md lacks this heading:\n{heading}");
}

#[test]
fn the_page_has_every_field() {
    RequestNr::ALL.iter().for_each(|request| check_request(request.info()));
}

#[test]
fn the_page_has_the_head_the_counters_and_the_parts_of_a_direct_call() {
    for (name, size, since) in [
        ("Head", size_of::<request::Head>(), "1.0"),
        ("Counters", size_of::<Counters>(), "1.0"),
        ("Answer", size_of::<request::Answer>(), "1.1"),
        ("Segments", size_of::<request::Segments>(), "1.1"),
    ] {
        let mut at = 0;
        let mut rows = Vec::new();
        for Declared { doc, text } in declarations(REQUESTS, &format!("pub struct {name} {{"), "}") {
            let (field, ty) = text.split_once(": ").expect("field: type");
            rows.push(match name {
                "Counters" => format!("| {at} | `{field}` | {ty} | {} | {since} |", doc.trim_end_matches('.')),
                _ => field_row(at, field, ty, &doc, since),
            });
            at += if ty == "u64" { 8 } else { 4 };
        }
        assert_eq!(at, size, "the source of {name} was read as the compiler reads it");
        let head = if name == "Counters" { "| offset | field | type | meaning | since |" } else { FIELD_HEAD };
        check(name, head, &rows);
    }
}

#[test]
fn the_page_has_every_layout_of_the_ring() {
    let layouts = [
        ("UserPage", ring::UserPage::FIELDS),
        ("KernelPage", ring::KernelPage::FIELDS),
        ("Submission", ring::Submission::FIELDS),
        ("Completion", ring::Completion::FIELDS),
    ];
    for (name, fields) in layouts {
        let mut seen = Vec::new();
        let mut rows = Vec::new();
        for Declared { doc, text } in declarations(RING, &format!("{name}, "), "}") {
            let (field, ty) = text.split_once(": ").expect("offset field: type");
            let (at, field) = field.split_once(' ').expect("offset field");
            let at = at.parse().expect("an offset");
            seen.push((at, field));
            if !field.starts_with("gap") {
                let ty = ty.replace("crate::", "");
                let (doc, since) = doc.split_once(" Since ").unwrap_or((&doc, "1.1."));
                let [doc, since] = [doc, since].map(|text| text.trim_end_matches('.'));
                rows.push(format!("| {at} | `{field}` | {ty} | {doc} | {since} |"));
            }
        }
        assert_eq!(seen, fields, "the source was read as the compiler reads it");
        check(name, "| offset | field | type | meaning | since |", &rows);
    }
}

#[test]
fn the_page_has_every_status() {
    let rows: Vec<_> = Status::TABLE
        .iter()
        .map(|row| {
            let number = if row.status.0 < 1 << 16 { row.status.0.to_string() } else { format!("{:#X}", row.status.0) };
            format!("| {number} | {} | {} | {:08X} | {} |", row.name, row.errno, row.ntstatus, cell(row.meaning))
        })
        .collect();
    check("statuses", "| number | name | errno | NTSTATUS | meaning |", &rows);
}

/// Rows of the constants in `source` from a line to another.
fn constants(source: &str, from: &str, to: &str) -> Vec<String> {
    declarations(source, from, to)
        .iter()
        .filter_map(|Declared { doc, text }| {
            let (name, rest) = text.strip_prefix("const ")?.split_once(": ")?;
            let value = cell(rest.split_once(" = ")?.1).replace("65_536", "65536");
            Some(format!("| `{name}` | {value} | {} |", doc.trim_end_matches('.')))
        })
        .collect()
}

#[test]
fn the_page_has_every_limit_and_constant() {
    let head = "| name | value | meaning |";
    check("limits", head, &constants(LIMITS, "//! The bounds", "end of the file"));
    check("transport", head, &constants(REQUESTS, "use zerocopy", "/// Linux's ioctl number"));
    check(
        "direct calls",
        head,
        &constants(REQUESTS, "/// Linux's ioctl number of request", "/// Linux's ioctl number of message"),
    );
    check("special values", head, &constants(REQUESTS, "const_assert_eq!(size_of::<Head>", "/// Kinds of interrupt"));
    check("kinds", head, &constants(REQUESTS, "pub mod kind", "}"));
    check("features", head, &constants(REQUESTS, "pub mod feature", "}"));
    check("ring", head, &constants(RING, "pub mod queue", "macro_rules"));
    check("states", head, &constants(REQUESTS, "pub mod state", "}"));
}

#[test]
fn the_page_has_every_number() {
    let rows: Vec<String> = RequestNr::ALL
        .iter()
        .map(|request| {
            let RequestInfo { name, nr, .. } = *request.info();
            let (size, ioctl, function) = (request.info().first_size, request::ioctl_number(nr), 0x800 + nr);
            format!("| {nr} | {name} | {size} | {ioctl:#010X} | {function:#X} |")
        })
        .collect();
    check("numbers", "| nr | request | first size | Linux ioctl | Windows function |", &rows);
}
