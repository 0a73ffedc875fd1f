//! A plugin for QEMU's educational device as it comes: its engine reaches 28 bits, 256 MiB.
#![no_std]
#![forbid(unsafe_code)]

use edu28_interface::edu28;
use kp_core::*;

registers! {
    /// BAR 0. Source: QEMU's documentation, docs/specs/edu.
    mod regs[0xA0] {
        0x80 SOURCE: u64, RW;
        0x88 TARGET: u64, RW;
        0x90 COUNT: u64, RW;
        0x98 COMMAND: u64, RW { RUN = 0, TO_MEMORY = 1 };
    }
    /// A page that is shared.
    mod page[0x1000] {
        0x000 WORDS: [u64; 512], RW;
    }
}

/// Where the card has its own memory.
const INSIDE: u64 = 0x4_0000;
/// How much of it is used, in bytes: half, as QEMU up to 8 ends at a transfer to the last byte.
const PIECE: u64 = 2048;
/// How long a transfer may take, in ms; it takes 100.
const PATIENCE: u32 = 5000;

/// One device.
pub struct Edu28 {
    bar: Bar<regs::Map>,
    dma: Dma,
    page: OnDevice<Coherent<page::Map>>,
    /// Held while the engine is somebody's.
    engine: Mutex<()>,
}

impl Init for Edu28 {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        let bar = device.map(cx, 0)?;
        let dma = device.dma(cx, DmaLimits::bits(28))?;
        let page = Coherent::new(cx, &dma, 1)?.hand_over();
        dma.enable(cx)?;
        Ok(Edu28 { bar, dma, page, engine: Mutex::new(cx, ())? })
    }
}

impl Edu28 {
    fn run(&self, cx: &mut Passive, to_memory: bool) -> Result<()> {
        let memory = self.page.bus(0)?.raw();
        let (source, target) = if to_memory { (INSIDE, memory) } else { (memory, INSIDE) };
        self.bar.write(regs::SOURCE, source);
        self.bar.write(regs::TARGET, target);
        self.bar.write(regs::COUNT, PIECE);
        let direction = if to_memory { regs::COMMAND::TO_MEMORY.mask() } else { 0 };
        self.bar.write(regs::COMMAND, regs::COMMAND::RUN.mask() | direction);
        cx.poll(PATIENCE, |_| !regs::COMMAND::RUN.is_set(self.bar.read(regs::COMMAND)))
    }
}

impl edu28::Handler<Passive> for Edu28 {
    fn highest(&self, cx: &mut Passive, (): &(), pages: u32) -> Result<u64> {
        let mut all = KVec::new();
        let mut highest = 0;
        for _ in 0..pages {
            let page = Coherent::<page::Map>::new(cx, &self.dma, 1)?.hand_over();
            highest = highest.max(page.bus(0)?.raw() + 0xFFF);
            all.push(cx, page)?;
        }
        // The card was told of none.
        while let Some(page) = all.pop() {
            page.take_back();
        }
        Ok(highest)
    }

    fn go_round(&self, cx: &mut Passive, (): &(), value: u64) -> Result<u64> {
        self.engine.with(cx, |(), cx| {
            let word = self.page.at(0)?.item(page::WORDS, 7)?;
            word.write(value);
            self.run(cx, false)?;
            word.write(!value);
            self.run(cx, true)?;
            Ok(word.read())
        })
    }
}

plugin! { Edu28 { name: "edu28", devices: [0x1234:0x11e8], interface: edu28, callbacks: [] } }
