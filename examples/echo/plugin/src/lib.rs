//! A plugin that drives no hardware: it remembers and repeats.
#![no_std]
#![forbid(unsafe_code)]

pub use echo_interface::{Said, Style, Trim, echo};
use kp_core::*;

/// The plugin.
pub struct Echo;

/// What was said in one session.
pub struct Memory {
    text: KVec<u8>,
    said: Said,
}

/// One open.
pub struct Session(Mutex<Memory>);

/// Number of the error for a nap that is too long.
pub const TOO_LONG: u32 = 1;

impl Init for Echo {
    type Session = Session;
    type Interrupt = ();
    fn init(_: &mut Passive, _: Device) -> Result<Self> {
        Ok(Echo)
    }
}

impl Open for Echo {
    fn open(&self, cx: &mut Passive, _: &Caller, text: &[u8]) -> Result<Session> {
        let mut memory = Memory { text: KVec::new(), said: Said { texts: 0, bytes: 0 } };
        memory.text.extend(cx, text)?;
        Ok(Session(Mutex::new(cx, memory)?))
    }
}

impl echo::Handler<Passive, Session> for Echo {
    fn say(&self, cx: &mut Passive, session: &Session, text: &[u8]) -> Result<u32> {
        let mut new = KVec::new();
        new.extend(cx, text)?;
        session.0.with(cx, |memory, _| {
            memory.text = new;
            memory.said.texts += 1;
            memory.said.bytes += text.len() as u64;
        });
        Ok(text.len() as u32)
    }

    fn hear(&self, cx: &mut Passive, session: &Session, out: &mut Out<'_, '_, u8>) -> Result<()> {
        session.0.with(cx, |memory, _| out.extend(&memory.text))
    }

    fn repeat(
        &self,
        _: &mut Passive,
        _: &Session,
        style: Style,
        trim: Trim,
        mut text: &[u8],
        out: &mut Out<'_, '_, u8>,
    ) -> Result<()> {
        if trim.contains(Trim::START) {
            text = text.trim_ascii_start();
        }
        if trim.contains(Trim::END) {
            text = text.trim_ascii_end();
        }
        match style {
            Style::Plain => out.extend(text),
            Style::Loud => text.iter().try_for_each(|byte| out.push(byte.to_ascii_uppercase())),
            Style::Backwards => text.iter().rev().try_for_each(|&byte| out.push(byte)),
        }
    }

    fn said(&self, cx: &mut Passive, session: &Session) -> Result<Said> {
        Ok(session.0.with(cx, |memory, _| memory.said))
    }

    fn nap(&self, cx: &mut Passive, _: &Session, ms: u32) -> Result<()> {
        if ms > 60_000 {
            return Err(Error::plugin(TOO_LONG));
        }
        cx.sleep_ms(ms)
    }
}

plugin! { Echo { name: "echo", interface: echo, callbacks: [Open] } }
