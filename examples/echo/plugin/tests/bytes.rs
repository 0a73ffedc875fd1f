//! One call, byte by byte: what docs/abi.md shows is what goes over the wire.
#![forbid(unsafe_code)]

use echo::{Echo, Style, Trim, echo as messages};
use kp_abi::{Status, request};
use kp_sim::{Access, PAGE, Sim, UserMemory};
use kp_user::Plugin;
use std::{fmt::Write, sync::Arc};

/// Number of the request Call.
const CALL: u32 = 2;
/// Number of the message `repeat`.
const REPEAT: u32 = 3;

/// Bytes of the app's memory, each field with its name.
struct Bytes {
    address: u64,
    fields: Vec<(&'static str, Vec<u8>)>,
}

impl Bytes {
    fn at(address: u64) -> Self {
        Bytes { address, fields: vec![] }
    }

    fn field(mut self, name: &'static str, bytes: &[u8]) -> Self {
        self.fields.push((name, bytes.to_vec()));
        self
    }

    fn word(self, name: &'static str, word: u32) -> Self {
        self.field(name, &word.to_le_bytes())
    }

    fn address_of(self, name: &'static str, address: u64) -> Self {
        self.field(name, &address.to_le_bytes())
    }

    fn put(&self, memory: &UserMemory) {
        let bytes: Vec<u8> = self.fields.iter().flat_map(|(_, bytes)| bytes).copied().collect();
        memory.write(self.address, &bytes).unwrap();
    }

    /// A line for each field: its address, its bytes before, and after if they are others.
    fn lines(&self, memory: &UserMemory, out: &mut String) {
        let mut at = self.address;
        for (name, before) in &self.fields {
            let mut after = before.clone();
            memory.read(at, &mut after).unwrap();
            let after = if after == *before { String::new() } else { hex(&after) };
            let line = format!("{at:08x}  {:<23}  {after:<11}  {name}", hex(before));
            writeln!(out, "{}", line.trim_end()).unwrap();
            at += before.len() as u64;
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// An app's page, and a session whose requests may point into it.
fn session() -> (Sim<Echo>, Arc<kp_sim::App<Echo>>, Plugin, u64) {
    let sim = Sim::<Echo>::new().unwrap();
    let app = Arc::new(sim.open());
    let page = app.memory().map(PAGE, Access::ReadWrite);
    let plugin = Plugin::over(app.clone(), messages::INTERFACE, &[]).unwrap();
    (sim, app, plugin, page)
}

/// What `repeat(Style::Loud, no trim, "hi")` consists of, besides its struct: arguments, data, and room for the reply.
fn arguments(at: Bytes) -> Bytes {
    at.word("style = Loud", Style::Loud as u32).word("trim = none", Trim::empty().bits())
}

#[track_caller]
fn stands_in_the_page(shown: &str) {
    let page = include_str!("../../../../docs/abi.md");
    assert!(page.contains(&format!("```text\n{shown}```\n")), "docs/abi.md does not show this:\n```text\n{shown}```");
}

#[test]
fn the_page_shows_a_call_as_it_is() {
    let (_sim, app, _plugin, page) = session();
    let (args, data, room) = (page + 0x40, page + 0x48, page + 0x4c);
    let parts = [
        Bytes::at(page)
            .word("size = 56", 56)
            .word("flags = 0", 0)
            .word("status: NoReply, then Ok", Status::NO_REPLY.0)
            .word("detail: then the reply's 2 bytes", 0)
            .word("message = 3, repeat", REPEAT)
            .word("args_len = 8", 8)
            .word("in_len = 2", 2)
            .word("out_len = 4", 4)
            .address_of("args_addr", args)
            .address_of("in_addr", data)
            .address_of("out_addr", room),
        arguments(Bytes::at(args)),
        Bytes::at(data).field("data, \"hi\"", b"hi"),
        Bytes::at(room).field("room for the reply, then \"HI\"", &[0; 4]),
    ];
    parts.iter().for_each(|part| part.put(app.memory()));
    assert_eq!(app.raw(CALL, page), Ok(()));
    let mut shown = String::from("address   before                   after        field\n");
    parts.iter().for_each(|part| part.lines(app.memory(), &mut shown));
    stands_in_the_page(&shown);
}

#[test]
fn the_page_shows_the_same_call_in_its_direct_form() {
    let (_sim, app, _plugin, page) = session();
    let (data, room) = (page + 0x28, page + 0x2c);
    let buffer = Bytes::at(page)
        .word("status: then Ok", Status::NO_REPLY.0)
        .word("detail: then the reply's 2 bytes", 0)
        .word("in_len = 2", 2)
        .word("out_len = 4", 4)
        .address_of("in_addr", data)
        .address_of("out_addr", room);
    let parts = [
        arguments(buffer),
        Bytes::at(data).field("data, \"hi\"", b"hi"),
        Bytes::at(room).field("room for the reply, then \"HI\"", &[0; 4]),
    ];
    parts.iter().for_each(|part| part.put(app.memory()));
    assert_eq!(app.raw_direct(REPEAT, page), Ok(Status::OK));
    let mut shown = String::from("address   before                   after        field\n");
    parts.iter().for_each(|part| part.lines(app.memory(), &mut shown));
    stands_in_the_page(&shown);
}

#[test]
fn the_page_names_the_numbers_of_both() {
    let page = include_str!("../../../../docs/abi.md");
    for number in [request::ioctl_number(CALL), request::direct_number(REPEAT)] {
        let call = format!("`ioctl(fd, {number:#010X}, 0x10000000)`").replace("0X", "0x");
        assert!(page.contains(&call), "docs/abi.md does not show {call}");
    }
}
