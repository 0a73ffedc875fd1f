//! What an app does with the bmd plugin: the card reads and writes the app's memory by itself.
#![forbid(unsafe_code)]

use bmd_interface::bmd;
use kp_user::{Access, Buffer, Enable, Plugin};
use std::{error::Error, io::Write};

/// How much goes to the card and back, in bytes.
const LEN: usize = 64 << 10;

/// Tells the story of one card.
pub fn run(plugin: &Plugin, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let card = bmd::Client(plugin);
    let (from, into) = (plugin.buffer(LEN, Access::Read)?, plugin.buffer(LEN, Access::Write)?);
    let sent: Vec<u8> = (0..LEN).map(|at| (at * 7 + at / 256) as u8).collect();
    from.write(0, &sent);
    let interrupts = plugin.interrupts(Enable::any())?;
    let done = card.loop_back(from.number(), into.number(), LEN as u64)?;
    let received = interrupts.disable()?.received;
    writeln!(
        out,
        "transfers  {} KiB to the card and back, by {received} interrupts: {}",
        done / 1024,
        compare(&into, &sent)
    )?;
    card.poke(3, 0x0123_4567_89ab_cdef)?;
    card.send_page()?;
    card.poke(3, 0)?;
    card.fetch_page()?;
    writeln!(out, "page       {:#018x} to the card and back, without an interrupt", card.peek(3)?)?;
    Ok(())
}

/// What came back, beside what was sent.
fn compare(buffer: &Buffer, sent: &[u8]) -> String {
    let mut got = vec![0; sent.len()];
    buffer.read(0, &mut got);
    match got.iter().zip(sent).position(|(got, sent)| got != sent) {
        None => "each byte as it was".into(),
        Some(at) => format!("byte {at} is {:#04x}, and was {:#04x}", got[at], sent[at]),
    }
}
