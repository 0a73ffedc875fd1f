//! A bus master: QEMU's educational device, whose engine transfers between the card's own memory and the machine's.
#![no_std]
#![forbid(unsafe_code)]

pub use bmd_interface::bmd;
use core::{
    ops::Range,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};
use kp_abi::Buffer;
use kp_core::*;

registers! {
    /// BAR 0. Source: QEMU's documentation, docs/specs/edu.
    pub mod regs[0xA0] {
        /// Bits that raised the interrupt.
        0x24 INTERRUPT_STATUS: u32, RO;
        /// Clears these bits. Needed with MSI too.
        0x64 INTERRUPT_ACKNOWLEDGE: u32, WO;
        /// From where, to where, and how many bytes: bus addresses, or the card's own.
        0x80 SOURCE: u64, RW;
        0x88 TARGET: u64, RW;
        0x90 COUNT: u64, RW;
        /// Starts a transfer; RUN is clear when it is over.
        0x98 COMMAND: u64, RW { RUN = 0, TO_MEMORY = 1, INTERRUPT_WHEN_DONE = 2 };
    }
    /// A page that plugin and card share.
    pub mod page[0x1000] {
        0x000 WORDS: [u64; 512], RW;
    }
}

/// Where the card has its own memory.
const INSIDE: u64 = 0x4_0000;
/// How much of it is used, and the longest transfer, in bytes: half of what there is, as QEMU up to 8 ends at a transfer to the last byte.
const PIECE: u32 = 2048;
const LIMITS: DmaLimits = DmaLimits::bits(32).segments(1).segment(PIECE);
/// How long a transfer may take, in ms; it takes 100.
const PATIENCE: u32 = 5000;

/// One device.
pub struct Bmd {
    bar: Bar<regs::Map>,
    dma: Dma,
    page: OnDevice<Coherent<page::Map>>,
    /// Held while the engine is somebody's.
    engine: Mutex<()>,
    finished: WaitQueue,
    /// An app has enabled the interrupt: transfers end with one.
    interrupts: AtomicBool,
}

impl Init for Bmd {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        let bar = device.map(cx, 0)?;
        let dma = device.dma(cx, LIMITS)?;
        let page = Coherent::new(cx, &dma, 1)?.hand_over();
        dma.enable(cx)?;
        let (engine, finished, interrupts) = (Mutex::new(cx, ())?, WaitQueue::new(cx)?, AtomicBool::new(false));
        Ok(Bmd { bar, dma, page, engine, finished, interrupts })
    }
}

impl Bmd {
    fn is_idle(&self) -> bool {
        !regs::COMMAND::RUN.is_set(self.bar.read(regs::COMMAND))
    }

    /// One transfer, with the engine's lock held. `at`: in the card's own memory.
    fn run<D: Direction>(&self, cx: &mut Passive, memory: BusAddress, at: u64, len: u32) -> Result<()> {
        // The engine may still be at what an earlier caller has given up.
        cx.poll(PATIENCE, |_| self.is_idle())?;
        let ends = (memory.raw(), INSIDE + at);
        let (source, target) = if D::DEVICE_WRITES { (ends.1, ends.0) } else { ends };
        self.bar.write(regs::SOURCE, source);
        self.bar.write(regs::TARGET, target);
        self.bar.write(regs::COUNT, len.into());
        let interrupts = self.interrupts.load(Relaxed);
        let command = regs::COMMAND::TO_MEMORY.set(regs::COMMAND::RUN.mask(), D::DEVICE_WRITES.into());
        self.bar.write(regs::COMMAND, regs::COMMAND::INTERRUPT_WHEN_DONE.set(command, interrupts.into()));
        if interrupts {
            // The register is asked, not a flag of the interrupt's: a late one of an earlier transfer would set that.
            self.finished.wait_until(cx, PATIENCE, |_| self.is_idle() || !self.interrupts.load(Relaxed))?;
        }
        cx.poll(PATIENCE, |_| self.is_idle())
    }

    /// One transfer after the other, until `range` is through, with the engine's lock held.
    fn transfer<D: Direction>(&self, cx: &mut Passive, pages: &Pages, range: Range<usize>) -> Result<u64> {
        let mut transfer = Transfer::<D>::new(&self.dma, pages, range);
        let mut inside = 0;
        while let Some(part) = transfer.next(cx)? {
            for Segment { at, len } in part.segments() {
                // Too late, or the app has died: `part` is dropped, and its memory kept until the card has stopped.
                self.run::<D>(cx, at, inside, len)?;
                inside = (inside + u64::from(len)) % u64::from(PIECE);
            }
            part.take_back(cx);
        }
        Ok(transfer.done() as u64)
    }

    /// A part of an app's buffer.
    fn part_of<D: Direction>(&self, cx: &mut Passive, buffer: Buffer, at: u64, len: u64) -> Result<u64> {
        let pages = cx.buffer(buffer)?;
        let range = pages.range(at, len)?;
        self.engine.with(cx, |(), cx| self.transfer::<D>(cx, &pages, range))
    }
}

impl bmd::Handler<Passive> for Bmd {
    fn write(&self, cx: &mut Passive, _: &(), from: Buffer, at: u64, len: u64) -> Result<u64> {
        self.part_of::<ToDevice>(cx, from, at, len)
    }

    fn read(&self, cx: &mut Passive, _: &(), into: Buffer, at: u64, len: u64) -> Result<u64> {
        self.part_of::<FromDevice>(cx, into, at, len)
    }

    fn loop_back(&self, cx: &mut Passive, _: &(), from: Buffer, into: Buffer, len: u64) -> Result<u64> {
        let (from, into) = (cx.buffer(from)?, cx.buffer(into)?);
        let all = from.range(0, len).and(into.range(0, len))?;
        self.engine.with(cx, |(), cx| {
            for at in all.clone().step_by(PIECE as usize) {
                let piece = at..all.end.min(at + PIECE as usize);
                self.transfer::<ToDevice>(cx, &from, piece.clone())?;
                self.transfer::<FromDevice>(cx, &into, piece)?;
            }
            Ok(len)
        })
    }

    fn poke(&self, _: &mut Passive, _: &(), word: u32, value: u64) -> Result<()> {
        self.page.at(0)?.item(page::WORDS, word as usize)?.write(value);
        Ok(())
    }

    fn peek(&self, _: &mut Passive, _: &(), word: u32) -> Result<u64> {
        Ok(self.page.at(0)?.item(page::WORDS, word as usize)?.read())
    }

    fn send_page(&self, cx: &mut Passive, _: &()) -> Result<()> {
        self.engine.with(cx, |(), cx| self.run::<ToDevice>(cx, self.page.bus(0)?, 0, PIECE))
    }

    fn fetch_page(&self, cx: &mut Passive, _: &()) -> Result<()> {
        self.engine.with(cx, |(), cx| self.run::<FromDevice>(cx, self.page.bus(0)?, 0, PIECE))
    }
}

impl IntEnable for Bmd {
    fn int_enable(&self, _: &mut Passive, _: Enabling<'_, Self>) -> Result<()> {
        self.bar.write(regs::INTERRUPT_ACKNOWLEDGE, !0); // what an earlier owner left
        Ok(())
    }

    fn int_arm(&self, _: &mut Passive, _: &(), _: Granted) -> Result<()> {
        self.interrupts.store(true, Relaxed);
        Ok(())
    }

    fn int_disarm(&self, cx: &mut Passive, _: &()) {
        self.interrupts.store(false, Relaxed);
        self.finished.wake(cx); // who waits for one asks the register from now on
        self.bar.write(regs::INTERRUPT_ACKNOWLEDGE, !0);
    }
}

impl IntAtIrql for Bmd {
    fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
        let bits = self.bar.read(regs::INTERRUPT_STATUS);
        if bits == 0 {
            return Verdict::NOT_MINE;
        }
        self.bar.write(regs::INTERRUPT_ACKNOWLEDGE, bits);
        Verdict::DEFER
    }
}

impl IntAtDpc for Bmd {
    fn int_at_dpc(&self, cx: &mut Dispatch, _: &(), _: Source, _: u32) -> u32 {
        self.finished.wake(cx);
        0 // it is the plugin that waits, no app
    }
}

plugin! { Bmd { name: "bmd", devices: [0x1234:0x11e8], interface: bmd, callbacks: [IntEnable, IntAtIrql, IntAtDpc] } }
