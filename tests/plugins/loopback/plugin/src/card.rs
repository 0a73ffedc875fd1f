//! The card's registers and rings.
//!
//! Source: Intel's manual of the 82574 (registers, legacy descriptors). Of loop-back QEMU's model has more than that card: RCTL's bits, which an
//! 82540 has.
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use kp_core::*;

registers! {
    /// BAR 0.
    pub mod regs[0x20000] {
        0x0000 CTRL: u32, RW { FULL_DUPLEX = 0, LINK_UP = 6, RESET = 26 };
        /// Why it interrupts; ones clear.
        0x00C0 ICR: u32, RW;
        /// Which of these interrupt: ones set, and ones clear.
        0x00D0 IMS: u32, RW { SENT = 0, RECEIVED = 7 };
        0x00D8 IMC: u32, WO;
        0x0100 RCTL: u32, RW {
            ENABLE = 1, ALL_UNICAST = 3, ALL_MULTICAST = 4, LONG_FRAMES = 5, LOOP_BACK = 6..=7, BROADCAST = 15, SIZE = 16..=17, SIZE_TIMES_16 = 25,
            NO_CHECKSUM = 26,
        };
        0x0400 TCTL: u32, RW { ENABLE = 1 };
        /// The ring of what is received: where, how long in bytes, and what is between its head and its tail is the card's.
        0x2800 RX_LOW: u32, RW;
        0x2804 RX_HIGH: u32, RW;
        0x2808 RX_LEN: u32, RW;
        0x2810 RX_HEAD: u32, RW;
        0x2818 RX_TAIL: u32, RW;
        /// The ring of what is sent.
        0x3800 TX_LOW: u32, RW;
        0x3804 TX_HIGH: u32, RW;
        0x3808 TX_LEN: u32, RW;
        0x3810 TX_HEAD: u32, RW;
        0x3818 TX_TAIL: u32, RW;
    }
    /// A legacy descriptor. The card writes that of a frame that it has received anew, its address too.
    pub mod descriptor[16] {
        0x0 ADDRESS: u64, RW;
        0x8 LENGTH: u32, RW { BYTES = 0..=15, END = 24, CHECKSUM = 25, REPORT = 27 };
        0xC STATUS: u32, RW { DONE = 0, END = 1, ERRORS = 8..=15 };
    }
}

/// How many descriptors a ring has.
pub const RING: usize = 256;
/// How many frames are under way at most: what crosses a page takes two descriptors, and a full ring would look like an empty one.
pub const IN_FLIGHT: usize = (RING - 1) / 2;

/// The rings, and where in them the next descriptor goes.
pub struct Engine {
    rx: OnDevice<Coherent<descriptor::Map>>,
    tx: OnDevice<Coherent<descriptor::Map>>,
    rx_tail: usize,
    tx_tail: usize,
    /// The card may still have what an earlier caller has given up: it has to be reset first.
    is_stale: bool,
}

/// The card.
pub struct Card {
    bar: Bar<regs::Map>,
    pub dma: Dma,
    /// Held while the rings are somebody's.
    pub engine: Mutex<Engine>,
    pub moved: WaitQueue,
    /// An app has enabled the interrupt.
    interrupts: AtomicBool,
}

impl Card {
    pub fn new(cx: &mut Passive, device: &mut Device, limits: DmaLimits) -> Result<Self> {
        let bar = device.map(cx, 0)?;
        let dma = device.dma(cx, limits)?;
        let (rx, tx) = (Coherent::new(cx, &dma, RING)?.hand_over(), Coherent::new(cx, &dma, RING)?.hand_over());
        let engine = Engine { rx, tx, rx_tail: 0, tx_tail: 0, is_stale: true };
        let (engine, moved) = (Mutex::new(cx, engine)?, WaitQueue::new(cx)?);
        let card = Card { bar, dma, engine, moved, interrupts: AtomicBool::new(false) };
        card.dma.enable(cx)?;
        Ok(card)
    }

    /// The card has finished, or is to be taken as lost: what it was given stays with it until it is reset.
    pub fn give_up(&self, engine: &mut Engine) {
        engine.is_stale = true;
    }

    /// Resets the card, if it has to be: it knows no address then, and what was kept for it is freed.
    pub fn ready(&self, cx: &mut Passive, engine: &mut Engine) -> Result<()> {
        if !engine.is_stale {
            return Ok(());
        }
        self.bar.write(regs::IMC, !0);
        self.bar.write(regs::CTRL, regs::CTRL::RESET.mask());
        cx.sleep_us(10)?; // no register may be read for one microsecond
        cx.poll(1000, |_| !regs::CTRL::RESET.is_set(self.bar.read(regs::CTRL)))?;
        self.dma.device_was_reset(cx);
        self.set_up(engine)
    }

    fn set_up(&self, engine: &mut Engine) -> Result<()> {
        let (bar, rx, tx) = (&self.bar, engine.rx.bus(0)?, engine.tx.bus(0)?);
        let len = (RING * 16) as u32;
        bar.write(regs::IMC, !0);
        bar.write(regs::CTRL, regs::CTRL::LINK_UP.mask() | regs::CTRL::FULL_DUPLEX.mask());
        bar.write(regs::RX_LOW, rx.low());
        bar.write(regs::RX_HIGH, rx.high());
        bar.write(regs::RX_LEN, len);
        bar.write(regs::RX_HEAD, 0);
        bar.write(regs::RX_TAIL, 0);
        bar.write(regs::TX_LOW, tx.low());
        bar.write(regs::TX_HIGH, tx.high());
        bar.write(regs::TX_LEN, len);
        bar.write(regs::TX_HEAD, 0);
        bar.write(regs::TX_TAIL, 0);
        // Blocks of 256 bytes times 16, and any address is ours.
        let receive = regs::RCTL::ENABLE.mask()
            | regs::RCTL::ALL_UNICAST.mask()
            | regs::RCTL::ALL_MULTICAST.mask()
            | regs::RCTL::BROADCAST.mask()
            | regs::RCTL::LONG_FRAMES.mask()
            | regs::RCTL::LOOP_BACK.set(0, 1)
            | regs::RCTL::SIZE.mask()
            | regs::RCTL::SIZE_TIMES_16.mask()
            | regs::RCTL::NO_CHECKSUM.mask();
        bar.write(regs::RCTL, receive);
        bar.write(regs::TCTL, regs::TCTL::ENABLE.mask());
        (engine.rx_tail, engine.tx_tail, engine.is_stale) = (0, 0, false);
        if self.interrupts.load(Relaxed) {
            self.unmask();
        }
        Ok(())
    }

    fn unmask(&self) {
        self.bar.write(regs::IMS, causes());
    }

    /// Gives the card a block to receive into, which it learns of with [`send`](Self::send) or [`publish`](Self::publish). Its descriptor.
    pub fn receive(&self, engine: &mut Engine, block: BusAddress) -> Result<usize> {
        let place = engine.rx_tail;
        let descriptor = engine.rx.at(place)?;
        descriptor.write(descriptor::ADDRESS, block.raw());
        descriptor.write(descriptor::LENGTH, 0);
        descriptor.write(descriptor::STATUS, 0);
        engine.rx_tail = (place + 1) % RING;
        Ok(place)
    }

    /// One piece of a frame, at a bus address; `is_last`: of this frame. Its descriptor.
    pub fn send(&self, engine: &mut Engine, at: u64, len: u32, is_last: bool) -> Result<usize> {
        let place = engine.tx_tail;
        let descriptor = engine.tx.at(place)?;
        let mut length = descriptor::LENGTH::BYTES.set(0, len) | descriptor::LENGTH::REPORT.mask();
        if is_last {
            length |= descriptor::LENGTH::END.mask() | descriptor::LENGTH::CHECKSUM.mask();
        }
        descriptor.write(descriptor::ADDRESS, at);
        descriptor.write(descriptor::STATUS, 0);
        descriptor.write(descriptor::LENGTH, length);
        engine.tx_tail = (place + 1) % RING;
        Ok(place)
    }

    /// Tells the card of all new descriptors: first where it may write.
    pub fn publish(&self, engine: &Engine) {
        self.bar.write(regs::RX_TAIL, engine.rx_tail as u32);
        self.bar.write(regs::TX_TAIL, engine.tx_tail as u32);
    }

    /// Waits until the card has done with these descriptors, of which each is its ring's last.
    pub fn wait(&self, cx: &mut Passive, engine: &Engine, rx: usize, tx: Option<usize>, ms: u32) -> Result<()> {
        let (rx, tx) = (engine.rx.at(rx)?, tx.map(|tx| engine.tx.at(tx)).transpose()?);
        let is_done = || {
            descriptor::STATUS::DONE.is_set(rx.read(descriptor::STATUS))
                && tx.is_none_or(|tx| descriptor::STATUS::DONE.is_set(tx.read(descriptor::STATUS)))
        };
        if self.interrupts.load(Relaxed) {
            self.moved.wait_until(cx, ms, |_| is_done() || !self.interrupts.load(Relaxed))?;
        }
        cx.poll(ms, |_| is_done())
    }

    /// How long the frame is that came by this descriptor. PluginError: it did not come whole.
    pub fn received(&self, engine: &Engine, rx: usize) -> Result<u32> {
        let descriptor = engine.rx.at(rx)?;
        let status = descriptor.read(descriptor::STATUS);
        let is_whole = descriptor::STATUS::DONE.is_set(status)
            && descriptor::STATUS::END.is_set(status)
            && !descriptor::STATUS::ERRORS.is_set(status);
        if !is_whole {
            return Err(Error::plugin(status));
        }
        Ok(descriptor::LENGTH::BYTES.of(descriptor.read(descriptor::LENGTH)))
    }

    /// From now on it interrupts.
    pub fn arm(&self) {
        self.interrupts.store(true, Relaxed);
        self.unmask();
    }

    /// From now on it does not, and who waits for that asks the rings.
    pub fn disarm(&self, cx: &mut Passive) {
        self.interrupts.store(false, Relaxed);
        self.bar.write(regs::IMC, !0);
        self.moved.wake(cx);
    }

    /// Has it interrupted? It does so no more for what it said until now.
    #[inline]
    pub fn acknowledge(&self) -> bool {
        let bits = self.bar.read(regs::ICR);
        self.bar.write(regs::ICR, bits);
        bits & causes() != 0
    }
}

/// What it is to interrupt for.
fn causes() -> u32 {
    regs::IMS::SENT.mask() | regs::IMS::RECEIVED.mask()
}
