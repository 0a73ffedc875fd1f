//! The part on bmd: the card reads and writes an app's memory by itself.
use crate::{
    transcript::{Transcript, answer, outcome},
    world::{Subject, World},
};
use bmd_interface::bmd;
use kp_abi::{
    Buffer as Number,
    request::{BufferRegister, Request, access, kind},
};
use kp_user::{Access, Buffer, Enable, Plugin};

/// How much goes to the card and back, in bytes.
const LEN: usize = 64 << 10;

/// Runs it.
pub fn run(world: &mut dyn World, t: &mut Transcript) {
    t.part("transfers");
    world.load(Subject::Bmd);
    world.assign(kind::MSI);
    let plugin = world.connect(Subject::Bmd);
    let query = plugin.query().expect("QUERY works always");
    t.step("buffers at most", query.max_buffers, "64");
    t.step("the device transfers", query.dma & kp_abi::request::dma::HAS != 0, "true");
    refused(&plugin, t);
    let (from, into) = (buffer(&plugin, LEN, Access::Read), buffer(&plugin, LEN, Access::Write));
    from.write(0, &sent());
    t.step("buffers", format!("{} and {}", from.number().0, into.number().0), "0 and 1");
    by_interrupts(&plugin, &from, &into, t);
    polled(&plugin, &from, &into, t);
    page(&plugin, t);
    bad_ranges(&plugin, &from, &into, t);
    released(&plugin, into, t);
    t.part("unload with a buffer");
    t.step("unload while open: module", world.unload(Subject::Bmd), "stays");
    drop(plugin);
    drop(from);
    t.step("unload after the last close: module", world.unload(Subject::Bmd), "gone");
}

fn buffer(plugin: &Plugin, len: usize, access: Access) -> Buffer {
    plugin.buffer(len, access).unwrap_or_else(|error| panic!("a buffer of {len} bytes: {error}"))
}

/// What goes to the card: bytes that tell their place.
fn sent() -> Vec<u8> {
    (0..LEN).map(|at| (at * 7 + at / 256) as u8).collect()
}

/// Does `buffer` have, from `at` on, what was sent from `from` on?
fn compare(buffer: &Buffer, at: usize, from: usize, len: usize) -> String {
    let mut got = vec![0; LEN];
    buffer.read(0, &mut got);
    let (got, sent) = (&got[at..at + len], &sent()[from..from + len]);
    match got.iter().zip(sent).position(|(got, sent)| got != sent) {
        None => "equal".into(),
        Some(at) => format!("byte {at} is {:#04x}, and was {:#04x}", got[at], sent[at]),
    }
}

/// What no driver registers.
fn refused(plugin: &Plugin, t: &mut Transcript) {
    let connection = plugin.connection();
    let (address, memory) = connection.new_memory(8192).expect("there is memory");
    let good = BufferRegister { addr: address, len: 8192, buffer: 63, access: access::WRITE, ..Request::new() };
    let refused = [
        ("register at an odd address", BufferRegister { addr: address + 8, len: 4096, ..good }, "BadField"),
        ("register a part of a page", BufferRegister { len: 4095, ..good }, "BadField"),
        ("register nothing", BufferRegister { len: 0, ..good }, "BadField"),
        ("register the 65th", BufferRegister { buffer: 64, ..good }, "BadField"),
        ("register for nothing", BufferRegister { access: 0, ..good }, "BadField"),
        ("register more than 1 GiB", BufferRegister { len: (1 << 30) + 4096, ..good }, "PayloadTooLarge"),
        ("register the 64th", good, "Ok"),
        ("register it again", good, "BufferInUse"),
    ];
    for (what, request, want) in refused {
        t.step(what, outcome(&connection.buffer_register(&request)), want);
    }
    t.step("release it", outcome(&connection.buffer_release(63)), "Ok");
    t.step("release it again", outcome(&connection.buffer_release(63)), "NoBuffer");
    drop(memory);
}

/// 64 KiB to the card and back.
fn by_interrupts(plugin: &Plugin, from: &Buffer, into: &Buffer, t: &mut Transcript) {
    let interrupts = plugin.interrupts(Enable::any()).unwrap_or_else(|error| panic!("enable: {error}"));
    let done = bmd::Client(plugin).loop_back(from.number(), into.number(), LEN as u64);
    t.step("64 KiB to the card and back, by interrupts", answer(done), "Ok 65536");
    t.step("what came back", compare(into, 0, 0, LEN), "equal");
    let counters = interrupts.disable().map(|counters| format!("received {}", counters.received));
    t.step("the interrupts", answer(counters), "Ok received 64");
}

/// Less than a page, across one, without an interrupt.
fn polled(plugin: &Plugin, from: &Buffer, into: &Buffer, t: &mut Transcript) {
    let card = bmd::Client(plugin);
    t.step("1000 bytes across a page to the card", answer(card.write(from.number(), 3600, 1000)), "Ok 1000");
    t.step("and back to another place", answer(card.read(into.number(), 8000, 1000)), "Ok 1000");
    t.step("what came back", compare(into, 8000, 3600, 1000), "equal");
    t.step("what was there before", compare(into, 0, 0, 8000), "equal");
    t.step("and behind", compare(into, 9000, 9000, LEN - 9000), "equal");
}

/// The page that plugin and card share.
fn page(plugin: &Plugin, t: &mut Transcript) {
    let card = bmd::Client(plugin);
    t.step("write a word", outcome(&card.poke(255, 0x0123_4567_89ab_cdef)), "Ok");
    t.step("the card reads the page", outcome(&card.send_page()), "Ok");
    t.step("write it anew", outcome(&card.poke(255, 0)), "Ok");
    t.step("the card writes the page", outcome(&card.fetch_page()), "Ok");
    t.step("the word", answer(card.peek(255).map(|word| format!("{word:#x}"))), "Ok 0x123456789abcdef");
    t.step("a word that is not there", outcome(&card.peek(512)), "BadValue");
}

fn bad_ranges(plugin: &Plugin, from: &Buffer, into: &Buffer, t: &mut Transcript) {
    let card = bmd::Client(plugin);
    let (from, into) = (from.number(), into.number());
    t.step("write a buffer for reading", outcome(&card.read(from, 0, 16)), "ReadOnly");
    t.step("beyond a buffer's end", outcome(&card.read(into, LEN as u64 - 8, 16)), "BadValue");
    t.step("no bytes", outcome(&card.write(from, 0, 0)), "BadValue");
    t.step("more than there are numbers", outcome(&card.write(from, u64::MAX, 2)), "BadValue");
    t.step("a buffer that is not there", outcome(&card.write(Number(7), 0, 16)), "NoBuffer");
    t.step("the highest number", outcome(&card.write(Number(u32::MAX), 0, 16)), "NoBuffer");
}

fn released(plugin: &Plugin, into: Buffer, t: &mut Transcript) {
    let number = into.number();
    drop(into);
    t.step("a buffer that was released", outcome(&bmd::Client(plugin).read(number, 0, 16)), "NoBuffer");
}
