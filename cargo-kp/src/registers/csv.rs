//! Registers from a table of comma-separated values, with the columns of WinDriver's and more.
use super::raw::{Listed, Raw};
use super::{Access, Field, number, register_name};
use kp_tool::Message;
use std::collections::BTreeMap;

/// Columns that have to be there.
const NEEDED: [&str; 4] = ["Name", "Offset", "Access Mode", "Size"];
/// Columns that may be there.
const MORE: [&str; 7] = ["Resource Name", "Description", "Fields", "Reset", "Write", "Count", "Stride"];

/// The registers of a table, `name` being the file's.
pub fn parse(name: &str, text: &str) -> Result<Vec<Listed>, Message> {
    let wrong = |line: u64, why: String| Message::BadTable { place: format!("{name}:{line}"), why };
    let mut reader = ::csv::ReaderBuilder::new().flexible(true).trim(::csv::Trim::All).from_reader(text.as_bytes());
    let headers = reader.headers().map_err(|error| wrong(1, error.to_string()))?.clone();
    if headers.iter().all(str::is_empty) {
        return Err(wrong(1, format!("nothing is in it: its first line names the columns: {}", NEEDED.join(","))));
    }
    // What a spreadsheet writes where the comma is the decimal point.
    if let [only] = headers.iter().collect::<Vec<_>>()[..]
        && let Some(other) = [';', '\t'].into_iter().find(|&other| only.contains(other))
    {
        return Err(wrong(1, format!("its columns are divided by {other:?}: write commas between them")));
    }
    let columns = columns(name, &headers)?;
    let mut bars: BTreeMap<usize, Listed> = BTreeMap::new();
    for record in reader.records() {
        let record =
            record.map_err(|error| wrong(error.position().map_or(0, ::csv::Position::line), error.to_string()))?;
        let line = record.position().map_or(0, ::csv::Position::line);
        let cell = |column: &str| columns.get(column).and_then(|&at| record.get(at)).unwrap_or("");
        if record.iter().all(str::is_empty) {
            continue;
        }
        let row = |why: String| wrong(line, why);
        let register = register(&cell, line).map_err(row)?;
        let bar = bar(cell("Resource Name")).map_err(row)?;
        let new = || Listed { name: format!("BAR{bar}"), bar: Some(bar), registers: Vec::new() };
        bars.entry(bar).or_insert_with(new).registers.push(register);
    }
    if bars.is_empty() {
        return Err(wrong(1, "no register: write one in each line behind the columns' names".to_owned()));
    }
    Ok(bars.into_values().collect())
}

/// Which column is where, by its name here.
fn columns(file: &str, headers: &::csv::StringRecord) -> Result<BTreeMap<&'static str, usize>, Message> {
    let place = || format!("{file}:1");
    let mut columns = BTreeMap::new();
    for (at, header) in headers.iter().enumerate() {
        let header = header.trim_start_matches('\u{feff}');
        let known = NEEDED.iter().chain(&MORE).find(|known| plain(known) == plain(header));
        let twice = known.filter(|known| columns.insert(**known, at).is_some());
        if let Some(twice) = twice {
            return Err(Message::BadTable { place: place(), why: format!("column `{twice}` is there twice") });
        }
    }
    match NEEDED.iter().find(|needed| !columns.contains_key(*needed)) {
        None => Ok(columns),
        Some(missing) => Err(Message::NoColumn {
            place: place(),
            column: (*missing).to_owned(),
            there: headers.iter().collect::<Vec<_>>().join(", "),
        }),
    }
}

/// A column's name without what people write differently.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
}

/// One line's register.
fn register<'a>(cell: &impl Fn(&str) -> &'a str, line: u64) -> Result<Raw, String> {
    let name = register_name(cell("Name")).ok_or("a register without a name: letters, digits and `_`")?;
    let number = |column: &str| {
        number(cell(column))
            .ok_or_else(|| format!("{column} of {name} is `{}`: write a number, as 0x24 or 36", cell(column)))
    };
    let optional = |column: &str| if cell(column).is_empty() { Ok(None) } else { number(column).map(Some) };
    let access = match plain(cell("Access Mode")).as_str() {
        "r" | "ro" | "read" | "readonly" => Access::ReadOnly,
        "w" | "wo" | "write" | "writeonly" => Access::WriteOnly,
        "rw" | "readwrite" => Access::ReadWrite,
        _ => return Err(format!("Access Mode of {name} is `{}`: R, W or RW", cell("Access Mode"))),
    };
    let one_clears = match plain(cell("Write")).as_str() {
        "" => false,
        "oneclears" | "onetoclear" | "w1c" => true,
        _ => return Err(format!("Write of {name} is `{}`: one-clears, or nothing", cell("Write"))),
    };
    Ok(Raw {
        name: cell("Name").to_owned(),
        bits: number("Size")?,
        fields: fields(cell("Fields"))?,
        doc: cell("Description").to_owned(),
        offset: number("Offset")?,
        reset: optional("Reset")?.unwrap_or(0),
        count: optional("Count")?.unwrap_or(1),
        stride: optional("Stride")?,
        access,
        one_clears,
        line,
    })
}

/// `BUSY=0; MODE=4..7`.
fn fields(text: &str) -> Result<Vec<Field>, String> {
    let parts = text.split(';').map(str::trim).filter(|part| !part.is_empty());
    let field = |part: &str| {
        let (name, bits) = part.split_once('=')?;
        let (low, high) = bits.split_once("..").unwrap_or((bits, bits));
        let bit = |text: &str| u32::try_from(number(text.trim_start_matches('=').trim())?).ok();
        Some(Field { name: register_name(name)?, low: bit(low)?, high: bit(high)? })
    };
    parts.map(|part| field(part).ok_or_else(|| format!("Fields has `{part}`: write `BUSY=0; MODE=4..7`"))).collect()
}

/// The number of a BAR: `BAR0`, `bar 2`, `3`; BAR 0 if nothing is said.
fn bar(text: &str) -> Result<usize, String> {
    let number = plain(text);
    let number = number.strip_prefix("bar").unwrap_or(&number);
    match number.parse() {
        Ok(bar @ 0..=5) => Ok(bar),
        _ if text.is_empty() => Ok(0),
        _ => Err(format!("Resource Name is `{text}`: BAR0 to BAR5")),
    }
}
