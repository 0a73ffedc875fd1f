//! A plugin for QEMU's e1000e, whose frames come back to it: bulk transfers by rings of descriptors, between buffers of an app that are mapped once.
#![no_std]
#![forbid(unsafe_code)]

mod card;

use card::{Card, Engine, IN_FLIGHT};
use kp_abi::Buffer;
use kp_core::*;
use loopback_interface::{BLOCK, LONGEST, SHORTEST, loopback};

/// The card could reach 64 bits; that it does not makes buffers above 4 GiB bounce. It takes pieces of any length: QEMU's model maps a piece at once,
/// and drops the frame if that is not contiguous for its host, as behind an IOMMU. So no piece crosses a page.
const LIMITS: DmaLimits = DmaLimits::bits(32).segment(BLOCK).boundary(BLOCK as u64);
/// How long frames may take, in ms.
const PATIENCE: u32 = 10_000;

registers! {
    /// A page, to ask for shared memory of any length.
    mod page[0x1000] {
        0x000 WORDS: [u64; 512], RW;
    }
}

/// One card.
pub struct LoopBack(Card);

/// One app's: what it has attached.
pub struct Session(Mutex<Option<Attached>>);

struct Attached {
    pages: Pages,
    from: Mapping<ToDevice>,
    /// Mapped for both, so that bytes which the card does not write stay as the app has them, also if the card sees a copy.
    into: Mapping<Both>,
}

/// The same while the card has it.
struct OnCard {
    from: OnDevice<Mapping<ToDevice>>,
    into: OnDevice<Mapping<Both>>,
}

/// Frames that are to go round.
struct Job {
    from_at: usize,
    into_at: usize,
    len: usize,
    frames: usize,
}

impl Init for LoopBack {
    type Session = Session;
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        let card = Card::new(cx, &mut device, LIMITS)?;
        card.engine.with(cx, |engine, cx| card.ready(cx, engine))?;
        Ok(LoopBack(card))
    }
}

impl Open for LoopBack {
    fn open(&self, cx: &mut Passive, _: &Caller, _: &[u8]) -> Result<Session> {
        Ok(Session(Mutex::new(cx, None)?))
    }
}

impl LoopBack {
    /// Lends the card to `f`, with what the session has attached. If that fails, it stays with the card: what the card was given it may still write
    /// to, and what it has is dropped, which keeps it until the card was reset.
    fn with_card<R>(
        &self,
        cx: &mut Passive,
        session: &Session,
        f: impl FnOnce(&mut Passive, &mut Engine, &Pages, &OnCard) -> Result<R>,
    ) -> Result<R> {
        session.0.with(cx, |attached, cx| {
            self.0.engine.with(cx, |engine, cx| {
                self.0.ready(cx, engine)?;
                let Attached { pages, from, into } = attached.take().ok_or(Status::BAD_VALUE)?;
                let on_card = OnCard { from: from.hand_over(cx), into: into.hand_over(cx) };
                let done = f(cx, engine, &pages, &on_card).inspect_err(|_| self.0.give_up(engine))?;
                *attached =
                    Some(Attached { pages, from: on_card.from.take_back(cx), into: on_card.into.take_back(cx) });
                Ok(done)
            })
        })
    }

    /// A part of the frames, all under way at once.
    fn round(&self, cx: &mut Passive, engine: &mut Engine, on_card: &OnCard, job: &Job) -> Result<()> {
        let (mut first, mut last) = (None, (0, 0));
        for i in 0..job.frames {
            let block = on_card.into.bus_at(job.into_at + i * BLOCK as usize)?;
            last.0 = self.0.receive(engine, block)?;
            first.get_or_insert(last.0);
            let (mut at, end) = (job.from_at + i * job.len, job.from_at + (i + 1) * job.len);
            while at < end {
                let piece = (end - at).min(BLOCK as usize - at % BLOCK as usize);
                let is_last = at + piece == end;
                last.1 = self.0.send(engine, on_card.from.bus_at(at)?.raw(), piece as u32, is_last)?;
                at += piece;
            }
        }
        self.0.publish(engine);
        self.0.wait(cx, engine, last.0, Some(last.1), PATIENCE)?;
        let first = first.unwrap_or_default();
        for i in 0..job.frames {
            if self.0.received(engine, (first + i) % card::RING)? != job.len as u32 {
                return Err(Error::plugin(0));
            }
        }
        Ok(())
    }
}

impl loopback::Handler<Passive, Session> for LoopBack {
    fn attach(&self, cx: &mut Passive, session: &Session, from: Buffer, into: Buffer) -> Result<()> {
        let (from, into) = (cx.buffer(from)?, cx.buffer(into)?);
        session.0.with(cx, |attached, cx| {
            *attached = None;
            let dma = &self.0.dma;
            let pages = from.clone();
            let (from, into) =
                (Mapping::new(cx, dma, &from, 0..from.len())?, Mapping::new(cx, dma, &into, 0..into.len())?);
            *attached = Some(Attached { pages, from, into });
            Ok(())
        })
    }

    fn detach(&self, cx: &mut Passive, session: &Session) -> Result<()> {
        session.0.with(cx, |attached, _| *attached = None);
        Ok(())
    }

    fn transfer(
        &self,
        cx: &mut Passive,
        session: &Session,
        from_at: u64,
        into_at: u64,
        len: u32,
        frames: u32,
    ) -> Result<u32> {
        if !(SHORTEST..=LONGEST).contains(&len) || !into_at.is_multiple_of(u64::from(BLOCK)) {
            return Err(Status::BAD_VALUE.into());
        }
        // Asked before the card has anything, so that a mistake of the app's costs it nothing.
        let fits = |at: u64, of: usize, each: u32| {
            at.checked_add(u64::from(each) * u64::from(frames)).is_some_and(|end| frames > 0 && end <= of as u64)
        };
        let is_inside = session.0.with(cx, |attached, _| {
            attached.as_ref().is_some_and(|at| fits(from_at, at.from.len(), len) && fits(into_at, at.into.len(), BLOCK))
        });
        if !is_inside {
            return Err(Status::BAD_VALUE.into());
        }
        self.with_card(cx, session, |cx, engine, _, on_card| {
            let len = len as usize;
            for done in (0..frames as usize).step_by(IN_FLIGHT) {
                let (from_at, into_at) = (from_at as usize + done * len, into_at as usize + done * BLOCK as usize);
                let job = Job { from_at, into_at, len, frames: IN_FLIGHT.min(frames as usize - done) };
                self.round(cx, engine, on_card, &job)?;
            }
            Ok(frames)
        })
    }

    fn wait_for_nothing(&self, cx: &mut Passive, session: &Session, ms: u32) -> Result<()> {
        self.with_card(cx, session, |cx, engine, _, on_card| {
            let rx = self.0.receive(engine, on_card.into.bus_at(0)?)?;
            self.0.publish(engine);
            self.0.wait(cx, engine, rx, None, ms)
        })
    }

    fn change_late(&self, cx: &mut Passive, session: &Session, len: u32) -> Result<()> {
        if !(SHORTEST..=LONGEST).contains(&len) {
            return Err(Status::BAD_VALUE.into());
        }
        let len = len as usize;
        self.with_card(cx, session, |cx, engine, pages, on_card| {
            let (area, last) = (pages.area(cx)?, len - 1);
            area.store::<u8>(last, !area.load::<u8>(last)?)?;
            self.round(cx, engine, on_card, &Job { from_at: 0, into_at: 0, len, frames: 1 })
        })
    }

    fn is_isolated(&self, _: &mut Passive, _: &Session) -> Result<u32> {
        Ok(self.0.dma.is_isolated().into())
    }

    fn share(&self, cx: &mut Passive, _: &Session, bytes: u64) -> Result<()> {
        let pages = usize::try_from(bytes / 0x1000).map_err(|_| Status::NO_MEMORY)?;
        let shared = Coherent::<page::Map>::new(cx, &self.0.dma, pages)?;
        // The first and the last word are there.
        for (at, word) in [(0, 0), (pages - 1, 511)] {
            let word = shared.at(at)?.item(page::WORDS, word)?;
            word.write(bytes);
            if word.read() != bytes {
                return Err(Error::plugin(1));
            }
        }
        Ok(())
    }

    fn reset(&self, cx: &mut Passive, _: &Session) -> Result<()> {
        self.0.engine.with(cx, |engine, cx| {
            self.0.give_up(engine);
            self.0.ready(cx, engine)
        })
    }

    fn stray(&self, cx: &mut Passive, _: &Session, at: u64) -> Result<()> {
        self.0.engine.with(cx, |engine, cx| {
            self.0.ready(cx, engine)?;
            self.0.give_up(engine);
            self.0.send(engine, at, SHORTEST, true)?;
            self.0.publish(engine);
            cx.sleep_ms(50)
        })
    }
}

impl IntEnable for LoopBack {
    fn int_enable(&self, _: &mut Passive, enabling: Enabling<'_, Self>) -> Result<()> {
        // QEMU 7.2 stops at an assertion of its own if MSI-X of this card is switched off within 128 us of a message.
        if enabling.kind == IrqKind::MsiX {
            return Err(Status::NO_INTERRUPT.into());
        }
        self.0.acknowledge(); // what an earlier owner left
        Ok(())
    }

    fn int_arm(&self, _: &mut Passive, _: &(), _: Granted) -> Result<()> {
        self.0.arm();
        Ok(())
    }

    fn int_disarm(&self, cx: &mut Passive, _: &()) {
        self.0.disarm(cx);
    }
}

impl IntAtIrql for LoopBack {
    fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
        if self.0.acknowledge() { Verdict::DEFER } else { Verdict::NOT_MINE }
    }
}

impl IntAtDpc for LoopBack {
    fn int_at_dpc(&self, cx: &mut Dispatch, _: &(), _: Source, _: u32) -> u32 {
        self.0.moved.wake(cx);
        0 // it is the plugin that waits, no app
    }
}

plugin! {
    LoopBack {
        name: "loopback",
        devices: [0x8086:0x10d3],
        vectors: 1..=1,
        interface: loopback,
        callbacks: [Open, IntEnable, IntAtIrql, IntAtDpc],
    }
}
