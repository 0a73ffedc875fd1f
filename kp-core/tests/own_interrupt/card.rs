//! A card with messages, transfers and a function level reset, and a plugin that has its interrupt for itself.
use kp_abi::interface;
use kp_core::{pci::capability, *};
use kp_sim::{
    ConfigSpace,
    device::{DeviceModel, Identity, Memory},
};
use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, AtomicU32, Ordering::*},
};

/// Where the card's capability PCI Express is.
const EXPRESS: u8 = 0x80;

registers! {
    pub mod regs[0x1000] {
        0x10 ORDERS: u32, RO { REFUSE_ENABLE = 0, REFUSE_ARM = 1, RESET_INSIDE = 2, STUCK = 3, EARLY_WORK = 4, NOT_MINE = 5, DONE = 6 };
        0x60 SEND: u32, WO;
    }
}

/// The card.
pub struct Card {
    space: ConfigSpace,
    /// How many messages it has.
    pub vectors: u16,
    /// What the plugin reads as ORDERS: what it is to do wrong.
    pub orders: u32,
    messages: VecDeque<u16>,
    /// Vectors that are listened to.
    count: u16,
    pub resets: u32,
    /// It answers nothing any more after its next reset.
    pub dies: bool,
    is_dead: bool,
}

impl Card {
    pub fn new() -> Self {
        let mut express = [0; 0x3A];
        express[0] = 0x02; // version 2, an endpoint
        express[0x04 - 2 + 3] = 0x10; // Device Capabilities: it can be reset
        let space = ConfigSpace::new()
            .with(0, &[0x34, 0x12, 0xE8, 0x11])
            .capability(EXPRESS, capability::PCI_EXPRESS, &express)
            .capability(0x40, capability::MSI_X, &[7, 0]);
        let messages = VecDeque::new();
        Self { space, vectors: 4, orders: 0, messages, count: 0, resets: 0, dies: false, is_dead: false }
    }

    /// One whose plugin is to do this wrong from the start.
    pub fn told(orders: u32) -> Self {
        Self { orders, ..Self::new() }
    }

    /// Sends a message, as for an event of its own.
    pub fn send(&mut self, vector: u16) {
        if vector < self.count {
            self.messages.push_back(vector);
        }
    }
}

impl DeviceModel for Card {
    fn identity(&self) -> Identity {
        Identity { vendor: 0x1234, device: 0x11e8 }
    }
    fn read(&mut self, _: usize, offset: u64, _: u8, _: &mut dyn Memory) -> u64 {
        if offset == 0x10 { self.orders.into() } else { 0 }
    }
    fn write(&mut self, _: usize, offset: u64, _: u8, value: u64, _: &mut dyn Memory) {
        if offset == 0x60 {
            self.send(value as u16);
        }
    }
    fn config_read(&mut self, offset: u16, width: u8) -> Option<u32> {
        Some(if self.is_dead { u32::MAX } else { self.space.read(offset, width) })
    }
    fn config_write(&mut self, offset: u16, width: u8, value: u32) -> bool {
        self.space.write(offset, width, value);
        if self.space.take_reset() {
            self.resets += 1;
            self.is_dead = self.dies;
        }
        true
    }
    fn vectors(&self, kind: IrqKind) -> u16 {
        match kind {
            IrqKind::MsiX => self.vectors,
            IrqKind::Msi | IrqKind::Line => 1,
        }
    }
    fn select(&mut self, _: Option<IrqKind>, count: u16) {
        self.count = count;
        self.messages.clear();
    }
    fn take_message(&mut self) -> Option<u16> {
        self.messages.pop_front()
    }
}

interface! {
    pub mod messages, version 1 {
        /// Has the card send a message.
        fn send(vector: u32) = 1;
        /// Interrupts that the plugin has heard of.
        fn heard() -> u32 = 2;
        /// Waits until it has heard of so many.
        fn wait_for(heard: u32) = 3;
        /// Resets the card.
        fn reset() = 4;
        /// Ends its transfers.
        fn halt() = 5;
        /// Drops memory that the card has.
        fn lose() = 6;
        /// Has work reset the card.
        fn reset_in_work() = 7;
        /// Sleeps.
        fn nap(ms: u32) = 8;
        /// Panics.
        fn panic() = 9;
    }
}

registers! { mod page[0x1000] { 0 WORD: [u64; 512], RW; } }

/// The plugin.
pub struct Own {
    bar: Bar<regs::Map>,
    config: Config,
    dma: Dma,
    item: WorkItem,
    heard: AtomicU32,
    queue: WaitQueue,
    is_asleep: AtomicBool,
    /// Work is to reset the card.
    work_resets: AtomicBool,
}

/// Says when it is dropped.
pub struct Enabled;

impl Drop for Own {
    fn drop(&mut self) {
        log!("dropped");
    }
}

impl Init for Own {
    type Session = ();
    type Interrupt = Enabled;
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        let (item, bar) = (device.work_item(cx, 0)?, device.map(cx, 0)?);
        if regs::ORDERS::EARLY_WORK.is_set(bar.read(regs::ORDERS)) {
            item.queue(cx);
        }
        Ok(Own {
            bar,
            config: device.config()?,
            dma: device.dma(cx, DmaLimits::bits(32))?,
            item,
            heard: AtomicU32::new(0),
            queue: WaitQueue::new(cx)?,
            is_asleep: AtomicBool::new(false),
            work_resets: AtomicBool::new(false),
        })
    }
}

/// How a call went, for the log.
fn said(result: Result<()>) -> &'static str {
    result.map_or_else(|error| error.status.name(), |()| "Ok")
}

impl Own {
    /// What each callback does besides: it is to be refused.
    fn inside(&self, cx: &mut Passive, callback: &str) {
        log!("{callback}");
        if regs::ORDERS::RESET_INSIDE.is_set(self.orders()) {
            log!("{callback}: reset {}, halt {}", said(self.config.reset(cx)), said(self.dma.halt(cx)));
        }
    }

    /// None of a card that is not there.
    fn orders(&self) -> u32 {
        let orders = self.bar.read(regs::ORDERS);
        if orders == !0 { 0 } else { orders }
    }
}

impl IntEnable for Own {
    fn int_enable(&self, cx: &mut Passive, enabling: Enabling<'_, Self>) -> Result<Enabled> {
        assert!(enabling.session.is_none() && enabling.data.is_empty());
        self.inside(cx, "int_enable");
        cx.sleep_us(10)?;
        if regs::ORDERS::REFUSE_ENABLE.is_set(self.orders()) { Err(Error::plugin(7)) } else { Ok(Enabled) }
    }
    fn int_arm(&self, cx: &mut Passive, _: &Enabled, granted: Granted) -> Result<()> {
        self.inside(cx, "int_arm");
        log!("{:?}, {}", granted.kind, granted.count);
        if regs::ORDERS::REFUSE_ARM.is_set(self.orders()) { Err(Error::plugin(8)) } else { Ok(()) }
    }
    fn int_disarm(&self, cx: &mut Passive, _: &Enabled) {
        self.inside(cx, "int_disarm");
    }
    fn int_disable(&self, cx: &mut Passive, _: Enabled) {
        self.inside(cx, "int_disable");
    }
}

impl IntAtIrql for Own {
    fn int_at_irql(&self, _: &mut Irql, _: &Enabled, _: Source) -> Verdict {
        assert!(!self.is_asleep.load(Relaxed), "it sleeps");
        let orders = self.orders();
        if regs::ORDERS::STUCK.is_set(orders) {
            self.bar.write(regs::SEND, 0);
        }
        if regs::ORDERS::NOT_MINE.is_set(orders) {
            Verdict::NOT_MINE
        } else if regs::ORDERS::DONE.is_set(orders) || regs::ORDERS::STUCK.is_set(orders) {
            Verdict::DONE
        } else {
            Verdict::DEFER
        }
    }
}

impl IntAtDpc for Own {
    fn int_at_dpc(&self, cx: &mut Dispatch, _: &Enabled, _: Source, count: u32) -> u32 {
        self.heard.fetch_add(count, AcqRel);
        self.queue.wake(cx);
        count
    }
}

impl Work for Own {
    fn work(&self, cx: &mut Passive, _: u16) {
        cx.stall_us(1);
        if self.work_resets.swap(false, Relaxed) {
            log!("work: reset {}", said(self.config.reset(cx)));
        }
    }
}

impl Event for Own {
    fn event(&self, cx: &mut Passive, happening: Happening) -> Deliver {
        match happening {
            Happening::Suspend => self.is_asleep.store(true, Relaxed),
            Happening::Resume => self.is_asleep.store(false, Relaxed),
            _ => {}
        }
        if happening == Happening::Removing {
            log!("removing");
        }
        let _ = cx;
        Deliver::Swallow
    }
}

impl messages::Handler<Passive> for Own {
    fn send(&self, _: &mut Passive, (): &(), vector: u32) -> Result<()> {
        self.bar.write(regs::SEND, vector);
        Ok(())
    }
    fn heard(&self, _: &mut Passive, (): &()) -> Result<u32> {
        Ok(self.heard.load(Acquire))
    }
    fn wait_for(&self, cx: &mut Passive, (): &(), heard: u32) -> Result<()> {
        self.queue.wait_until(cx, 60_000, |_| self.heard.load(Acquire) >= heard)
    }
    fn reset(&self, cx: &mut Passive, (): &()) -> Result<()> {
        self.config.reset(cx)
    }
    fn halt(&self, cx: &mut Passive, (): &()) -> Result<()> {
        self.dma.halt(cx)
    }
    fn lose(&self, cx: &mut Passive, (): &()) -> Result<()> {
        drop(Coherent::<page::Map>::new(cx, &self.dma, 1)?.hand_over());
        Ok(())
    }
    fn reset_in_work(&self, cx: &mut Passive, (): &()) -> Result<()> {
        self.work_resets.store(true, Relaxed);
        self.item.queue(cx);
        Ok(())
    }
    fn nap(&self, cx: &mut Passive, (): &(), ms: u32) -> Result<()> {
        cx.sleep_ms(ms)
    }
    fn panic(&self, _: &mut Passive, (): &()) -> Result<()> {
        panic!("planted")
    }
}

plugin! { Own {
    name: "own", devices: [0x1234:0x11e8], vectors: 1..=4, interrupt: own, interface: messages,
    callbacks: [IntEnable, IntAtIrql, IntAtDpc, Work, Event]
} }
