//! A plugin that uses all that there is for a device's own transfers.
#![no_std]
use kp_abi::Buffer;
use kp_core::{
    Area, Bar, BusAddress, Coherent, Device, Direction, Dispatch, Dma, DmaLimits, FromDevice, Init, IntAtDpc,
    IntAtIrql, Irql, KVec, Mapping, OnDevice, Pages, Passive, Result, Segment, Source, SpinLock, Status, ToDevice,
    Transfer, Verdict, WaitQueue, log, plugin, registers,
};

registers! {
    mod regs[0x20] {
        0x00 ADDRESS: u64, RW;
        0x08 LEN: u32, RW;
        0x0C COMMAND: u32, RW;
        0x10 STATUS: u32, RO;
        0x14 ACKNOWLEDGE: u32, WO;
    }
    mod descriptor[0x10] {
        0x00 ADDRESS: u64, RW;
        0x08 CONTROL: u32, RW { OWNED = 0, LEN = 16..=31 };
    }
}

kp_abi::interface! {
    /// The plugin's messages.
    pub mod card, version 1 {
        /// From an app's buffer to the card.
        fn send(buffer: Buffer, at: u64, len: u64) -> u64 = 1;
        /// From the card to an app's buffer.
        fn receive(buffer: Buffer, at: u64, len: u64) -> u64 = 2;
        /// The first word of a buffer.
        fn first(buffer: Buffer) -> u32 = 3;
        fn stop() = 4;
    }
}

const LIMITS: DmaLimits = DmaLimits::bits(32).segment(1 << 16).segments(16).boundary(1 << 32);

/// One card.
pub struct Card {
    bar: Bar<regs::Map>,
    dma: Dma,
    ring: OnDevice<Coherent<descriptor::Map>>,
    area: Area,
    scratch: SpinLock<Option<OnDevice<Mapping<ToDevice>>>, Dispatch>,
    done: WaitQueue,
}

impl Init for Card {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        let dma = device.dma(cx, LIMITS)?;
        let ring = Coherent::new(cx, &dma, 16)?;
        ring.at(0)?.write(descriptor::CONTROL, 0);
        let ring = ring.hand_over();
        let bar: Bar<regs::Map> = device.map(cx, 0)?;
        bar.write(regs::ADDRESS, ring.bus(0)?.raw());
        dma.enable(cx)?;
        let pages = Pages::new(cx, 8192)?;
        let area = pages.area(cx)?;
        area.store(0, 1u32)?;
        area.at::<descriptor::Map>(16)?.write(descriptor::ADDRESS, 0);
        let scratch = Mapping::new(cx, &dma, &pages, 0..pages.len())?.hand_over(cx);
        log!("isolated: {}", dma.is_isolated());
        let scratch = SpinLock::new(cx, Some(scratch))?;
        Ok(Self { bar, dma, ring, area, scratch, done: WaitQueue::new(cx)? })
    }
}

impl Card {
    fn program(&self, Segment { at, len }: Segment) {
        let address: BusAddress = at;
        self.bar.write(regs::ADDRESS, address.raw());
        self.bar.write(regs::LEN, len);
        self.bar.write(regs::COMMAND, 1);
    }

    fn transfer<D: Direction>(&self, cx: &mut Passive, buffer: Buffer, at: u64, len: u64) -> Result<u64> {
        let pages = cx.buffer(buffer)?;
        let mut transfer = Transfer::<D>::new(&self.dma, &pages, pages.range(at, len)?);
        while let Some(part) = transfer.next(cx)? {
            for segment in part.segments() {
                self.program(segment);
                self.done.wait_until(cx, 100, |_| self.bar.read(regs::COMMAND) == 0)?;
            }
            part.take_back(cx);
        }
        Ok(transfer.done() as u64)
    }
}

impl card::Handler<Passive> for Card {
    fn send(&self, cx: &mut Passive, (): &(), buffer: Buffer, at: u64, len: u64) -> Result<u64> {
        self.transfer::<ToDevice>(cx, buffer, at, len)
    }
    fn receive(&self, cx: &mut Passive, (): &(), buffer: Buffer, at: u64, len: u64) -> Result<u64> {
        self.transfer::<FromDevice>(cx, buffer, at, len)
    }
    fn first(&self, cx: &mut Passive, (): &(), buffer: Buffer) -> Result<u32> {
        let pages = cx.buffer(buffer)?;
        let (area, mut words) = (pages.area(cx)?, KVec::new());
        words.push(cx, area.load::<u32>(0)?)?;
        let owned = descriptor::CONTROL::OWNED.is_set(self.ring.at(0)?.read(descriptor::CONTROL));
        if owned || !self.area.pages().is_writable() {
            return Err(Status::BUSY.into());
        }
        words.first().copied().ok_or(Status::NO_BUFFER.into())
    }
    fn stop(&self, cx: &mut Passive, (): &()) -> Result<()> {
        self.dma.halt(cx)?;
        self.dma.device_was_reset(cx);
        Ok(())
    }
}

impl IntAtIrql for Card {
    fn int_at_irql(&self, _: &mut Irql, (): &(), _: Source) -> Verdict {
        if self.bar.read(regs::STATUS) == 0 {
            return Verdict::NOT_MINE;
        }
        self.bar.write(regs::ACKNOWLEDGE, 1);
        Verdict::DEFER
    }
}
impl IntAtDpc for Card {
    fn int_at_dpc(&self, cx: &mut Dispatch, (): &(), _: Source, count: u32) -> u32 {
        self.scratch.with(cx, |scratch, cx| {
            if let Some(part) = scratch.take() {
                *scratch = Some(part.take_back(cx).hand_over(cx));
            }
        });
        self.done.wake(cx);
        count
    }
}

plugin! { Card { name: "card", devices: [0x1234:0x5678], interface: card, callbacks: [IntAtIrql, IntAtDpc] } }
