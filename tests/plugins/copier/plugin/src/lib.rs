//! A plugin that copies by the engine of the device edu: memory that both share, pages of the kernel's own, apps' buffers.
#![no_std]
#![forbid(unsafe_code)]
use copier_interface::copier;
use kp_abi::Buffer;
use kp_core::*;

registers! {
    mod regs[0xA0] {
        0x80 SOURCE: u64, RW;
        0x88 DESTINATION: u64, RW;
        0x90 COUNT: u64, RW;
        0x98 COMMAND: u64, RW;
    }
    mod page[0x1000] {
        0x00 WORD: u32, RW;
    }
}

/// The card's own memory, and how much of it is used: QEMU 7.2 counts a transfer that reaches its end as one that leaves it.
const INSIDE: u64 = 0x4_0000;
const MOST: u32 = 2048;

const TO_CARD: u64 = 1;
const FROM_CARD: u64 = 3;

/// The card, and what is kept.
pub struct Copier {
    bar: Bar<regs::Map>,
    dma: Dma,
    /// Held by who uses the engine.
    engine: Mutex<()>,
    kept: Mutex<Option<Pages>>,
}

impl Init for Copier {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        let dma = device.dma(cx, DmaLimits::bits(28).segment(MOST).segments(1))?;
        dma.enable(cx)?;
        let (engine, kept) = (Mutex::new(cx, ())?, Mutex::new(cx, None)?);
        Ok(Copier { bar: device.map(cx, 0)?, dma, engine, kept })
    }
}

impl Copier {
    /// One transfer, which takes its time.
    fn run(&self, cx: &mut Passive, command: u64, at: BusAddress, len: u32) -> Result<()> {
        let (from, to) = if command == TO_CARD { (at.raw(), INSIDE) } else { (INSIDE, at.raw()) };
        self.bar.write(regs::SOURCE, from);
        self.bar.write(regs::DESTINATION, to);
        self.bar.write(regs::COUNT, len.into());
        self.bar.write(regs::COMMAND, command);
        cx.poll(1000, |_| self.bar.read(regs::COMMAND) & 1 == 0)
    }

    /// From some pages to others, in parts: how many.
    fn copy(&self, cx: &mut Passive, from: &Pages, into: &Pages, len: u32) -> Result<u32> {
        let range = from.range(0, len.into())?;
        into.range(0, len.into())?;
        self.engine.with(cx, |(), cx| {
            let mut read = Transfer::<ToDevice>::new(&self.dma, from, range.clone());
            let mut parts = 0;
            while let Some(part) = read.next(cx)? {
                let at = read.done();
                let piece = part.segments().next().ok_or(Status::BAD_VALUE)?;
                self.run(cx, TO_CARD, piece.at, piece.len)?;
                let done = at..at + piece.len as usize;
                part.take_back(cx);
                let into = Mapping::<FromDevice>::new(cx, &self.dma, into, done)?.hand_over(cx);
                self.run(cx, FROM_CARD, into.bus_at(0)?, piece.len)?;
                into.take_back(cx);
                parts += 1;
            }
            Ok(parts)
        })
    }
}

impl copier::Handler<Passive> for Copier {
    fn shared(&self, cx: &mut Passive, (): &(), word: u32) -> Result<u32> {
        let (from, to) = (Coherent::<page::Map>::new(cx, &self.dma, 1)?, Coherent::<page::Map>::new(cx, &self.dma, 2)?);
        from.at(0)?.write(page::WORD, word);
        let (from, to) = (from.hand_over(), to.hand_over());
        self.engine.with(cx, |(), cx| {
            self.run(cx, TO_CARD, from.bus(0)?, 4)?;
            self.run(cx, FROM_CARD, to.bus(1)?, 4)
        })?;
        from.take_back();
        let to = to.take_back();
        Ok(to.at(1)?.read(page::WORD))
    }
    fn pages(&self, cx: &mut Passive, (): &(), len: u32) -> Result<u32> {
        let (from, into) = (Pages::new(cx, len as usize)?, Pages::new(cx, len as usize)?);
        let (here, there) = (from.area(cx)?, into.area(cx)?);
        (0..len as usize).try_for_each(|at| here.store::<u8>(at, at as u8 ^ 0x5C))?;
        self.copy(cx, &from, &into, len)?;
        let mut arrived = 0;
        for at in 0..len as usize {
            arrived += u32::from(there.load::<u8>(at)? == at as u8 ^ 0x5C);
        }
        Ok(arrived)
    }
    fn copy(&self, cx: &mut Passive, (): &(), from: Buffer, into: Buffer, len: u32) -> Result<u32> {
        let (from, into) = (cx.buffer(from)?, cx.buffer(into)?);
        self.copy(cx, &from, &into, len)
    }
    fn keep(&self, cx: &mut Passive, (): &(), buffer: Buffer) -> Result<()> {
        let pages = cx.buffer(buffer)?;
        self.kept.with(cx, |kept, _| *kept = Some(pages));
        Ok(())
    }
    fn lose(&self, cx: &mut Passive, (): &(), buffer: Buffer) -> Result<()> {
        let pages = cx.buffer(buffer)?;
        let mapping = Mapping::<Both>::new(cx, &self.dma, &pages, 0..MOST as usize)?;
        drop(mapping.hand_over(cx));
        Ok(())
    }
    fn forget(&self, cx: &mut Passive, (): &()) -> Result<()> {
        let kept = self.kept.with(cx, |kept, _| kept.take());
        kept.map(drop).ok_or(Status::NO_BUFFER.into())
    }
    fn halt(&self, cx: &mut Passive, (): &()) -> Result<()> {
        self.dma.halt(cx)?;
        self.dma.enable(cx)
    }
}

plugin! { Copier { name: "copier", devices: [0x1234:0x11e8], interface: copier, callbacks: [] } }
