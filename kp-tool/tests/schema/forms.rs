//! Bytes and JSON say the same, and what the interface says.
use super::{bytes, interfaces};
use kp_abi::{Field, Interface, Type};
use kp_tool::schema::{self, Schema};

/// A type of an interface, as a schema has it.
fn ty(of: &Type) -> schema::Type {
    let values = |values: &[(&str, u64)]| {
        values.iter().map(|(name, value)| schema::Value { name: (*name).into(), value: *value }).collect()
    };
    match *of {
        Type::Unit => schema::Type::Unit,
        Type::Bool => schema::Type::Bool,
        Type::Uint(size) => schema::Type::Uint { size: size.into() },
        Type::Int(size) => schema::Type::Int { size: size.into() },
        Type::Array(element, length) => schema::Type::Array { element: Box::new(ty(element)), length: length as u64 },
        Type::Slice(element) => schema::Type::Slice { element: Box::new(ty(element)) },
        Type::Struct { name, size, fields: its } => {
            schema::Type::Struct { name: name.into(), size: size as u64, fields: fields(its) }
        }
        Type::Enum { name, size, variants } => {
            schema::Type::Enum { name: name.into(), size: size as u64, values: values(variants) }
        }
        Type::Flags { name, size, bits } => {
            schema::Type::Flags { name: name.into(), size: size as u64, values: values(bits) }
        }
    }
}

fn fields(fields: &[Field]) -> Vec<schema::Field> {
    let field =
        |field: &Field| schema::Field { name: field.name.into(), offset: field.offset as u64, ty: ty(field.ty) };
    fields.iter().map(field).collect()
}

/// An interface as a schema, with the documentation or without.
fn schema(interface: &Interface, docs: bool) -> Schema {
    let line = |line: &&str| line.strip_prefix(' ').unwrap_or(line).to_owned();
    let messages = interface.methods.iter().map(|method| schema::Method {
        id: method.id,
        name: method.name.into(),
        doc: docs.then(|| method.doc.iter().map(line).collect()),
        retired: method.retired,
        args: fields(method.args),
        reply: ty(method.reply),
    });
    Schema {
        name: interface.name.into(),
        version: interface.version,
        chains: (0..=interface.methods.len()).map(|n| interface.chain(n)).collect(),
        messages: messages.collect(),
    }
}

#[test]
fn what_is_read_is_the_interface_by_bytes_and_by_json() {
    for interface in interfaces() {
        let due = schema(&interface, true);
        let read = Schema::decode(&bytes(&interface)).expect("a schema");
        assert_eq!(read, due);
        assert_eq!(read.fingerprint(), interface.fingerprint());
        assert_eq!(Schema::from_json(&read.to_json()).expect("a schema"), due);
        let mut names = vec![0; interface.schema_names_len()];
        interface.write_schema(&mut names);
        let read = Schema::decode(&names).expect("a schema");
        assert_eq!(read, schema(&interface, false), "without the documentation");
        assert_eq!(Schema::from_json(&read.to_json()).expect("a schema"), read);
    }
}

#[test]
fn json_that_is_no_schema_is_refused_and_what_is_more_is_passed_over() {
    let echo = Schema::decode(echo_interface::echo::SCHEMA).expect("a schema");
    let json = echo.to_json();
    let with = |from: &str, to: &str| {
        assert!(json.contains(from), "{from} is in it");
        Schema::from_json(&json.replacen(from, to, 1)).map_err(|bad| bad.to_string())
    };
    assert_eq!(with("\"name\"", "\"later\": [{}], \"name\""), Ok(echo.clone()));
    let fingerprint = format!("{:016x}", echo.fingerprint());
    for (from, to, why) in [
        ("kp-schema/1", "kp-schema/2", "its format is \"kp-schema/2\", and only \"kp-schema/1\" is known"),
        (&*fingerprint, "0000000000000000", "its fingerprint is not that of its messages"),
        (&*fingerprint, "+000000000000000", "\"+000000000000000\" is no fingerprint"),
        ("\"say\"", "\"cry\"", "its chain is not that of its messages"),
        ("\"say\"", "\"s\\u001bay\"", "message 1: \"s\\u{1b}ay\" is no name"),
        ("\"id\": 2", "\"id\": 3", "message 3 is not number 2"),
    ] {
        assert_eq!(with(from, to), Err(why.to_owned()));
    }
    assert!(Schema::from_json("[").is_err() && Schema::from_json("{}").is_err());
    assert!(Schema::from_json(&"{\"messages\":[".repeat(100_000)).is_err(), "however deep");
}

#[test]
fn people_read_the_messages_and_the_types_that_they_name() {
    let said = Schema::decode(echo_interface::echo::SCHEMA).expect("a schema").to_string();
    let due = format!(
        "\
echo, version 1, 5 messages, fingerprint {:016x}

   1  say(text: &[u8]) -> u32
",
        echo_interface::echo::INTERFACE.fingerprint()
    );
    assert!(said.starts_with(&due), "{said}");
    for part in [
        "\n   3  repeat(style: Style, trim: Trim, text: &[u8]) -> [u8]\n      ",
        "\n   4  said() -> Said\n",
        "\ntypes\n\n  enum Style: u32\n",
        "\n      Loud = 1\n",
        "\n  flags Trim: u32\n      START = 0x1\n",
        "\n  struct Said, 16 bytes\n      texts: u64\n",
    ] {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
}
