//! The part on bmd: the card reads and writes an app's memory by itself.
use crate::{
    no_mmap::NoMmap,
    transcript::{Transcript, answer, outcome},
    world::{Subject, World},
};
use bmd_interface::bmd;
use kp_abi::{
    Buffer as Number,
    request::{BufferRegister, Request, access, kind},
    ring::{INLINE, Submission},
    zerocopy::FromZeros,
};
use kp_user::{Access, Buffer, Connection, Enable, Plugin, Ring};
use std::sync::Arc;

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
    batch(&plugin, t);
    ring_on_a_buffer(&plugin, &world.connect(Subject::Bmd), t);
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

/// The client's batch, on a ring as this host has them.
fn batch(plugin: &Plugin, t: &mut Transcript) {
    let card = bmd::Client(plugin);
    let mut batch = card.batch().unwrap_or_else(|error| panic!("a batch: {error}"));
    let queued = (batch.poke(7, 49), batch.peek(7), batch.peek(512));
    let (poked, word, none) =
        (queued.0.expect("there is room"), queued.1.expect("there is room"), queued.2.expect("there is room"));
    let replies = batch.run();
    t.step("write a word, in a batch", outcome(&replies.get(poked)), "Ok");
    t.step("the word", answer(replies.get(word)), "Ok 49");
    t.step("a word that is not there", outcome(&replies.get(none)), "BadValue");
}

/// A ring that is made of a buffer, which every host has for a plugin with buffers, in a session without a ring.
fn ring_on_a_buffer(with_ring: &Plugin, plugin: &Plugin, t: &mut Transcript) {
    let on_a_buffer = |plugin: &Plugin| {
        let connection: Arc<dyn Connection> = Arc::new(NoMmap(plugin.connection().clone()));
        Ring::set_up(&connection, 4, 4096)
    };
    t.step("a second ring", outcome(&on_a_buffer(with_ring)), "RingExists");
    let mut ring = on_a_buffer(plugin).unwrap_or_else(|error| panic!("a ring: {error}"));
    let mut queues = ring.queues();
    for (at, word) in (0..).zip([7, 512, 7]) {
        let submission = Submission {
            user_data: at,
            message: PEEK,
            flags: INLINE,
            args_len: 4,
            out_word: at as u32,
            out_len: 8,
            inline: [word, 0, 0, 0],
            ..Submission::new_zeroed()
        };
        assert!(queues.push(&submission), "there is room for 4");
    }
    queues.publish();
    drop(queues);
    let (taken, entered) = ring.enter();
    t.step("read words, on a ring that is a buffer", format!("{} of {taken}", outcome(&entered)), "Ok of 3");
    let mut queues = ring.queues();
    let answers = std::iter::from_fn(|| queues.pop()).map(|(at, error)| format!("{at} {}", error.status));
    let answers = answers.collect::<Vec<_>>().join(", ");
    drop(queues);
    t.step("the answers", answers, "0 Ok, 1 BadValue, 2 Ok");
    let mut last = [0; 8];
    ring.read(16, &mut last);
    t.step("the last word", u64::from_le_bytes(last), "49");
}

/// The number of `peek`.
const PEEK: u32 = 5;

fn released(plugin: &Plugin, into: Buffer, t: &mut Transcript) {
    let number = into.number();
    drop(into);
    t.step("a buffer that was released", outcome(&bmd::Client(plugin).read(number, 0, 16)), "NoBuffer");
}
