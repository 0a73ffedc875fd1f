//! A plugin for QEMU's NVMe controller: its administrative queues, its interrupt, which is the plugin's own, and each way to have it forget what it was
//! told. It has no disk.
//!
//! Source: NVM Express Base Specification 1.4: registers (3.1), queues (4), Identify (5.15).
#![no_std]
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use kp_core::*;
use nvme_interface::{Identity, State, nvme};

registers! {
    /// BAR 0. Doorbells stand so where they have no stride, as the upper half of the capabilities says.
    mod regs[0x1008] {
        0x0004 CAPABILITIES_HIGH: u32, RO { STRIDE = 0..=3 };
        0x0014 CONFIGURATION: u32, RW { ENABLE = 0, SUBMISSION_SIZE = 16..=19, COMPLETION_SIZE = 20..=23 };
        0x001C STATUS: u32, RO { READY = 0, FATAL = 1 };
        0x0024 QUEUE_SIZES: u32, RW;
        0x0028 SUBMISSIONS: u64, RW;
        0x0030 COMPLETIONS: u64, RW;
        0x1000 SUBMISSION_TAIL: u32, WO;
        0x1004 COMPLETION_HEAD: u32, WO;
    }
    /// A submission.
    mod command[0x40] {
        0x00 OPCODE: u32, RW { NUMBER = 16..=31 };
        0x18 DATA: u64, RW;
        0x28 WHAT: u32, RW;
    }
    /// A completion.
    mod completion[0x10] {
        0x0C NUMBER: u16, RW;
        0x0E STATUS: u16, RW { PHASE = 0, CODE = 1..=15 };
    }
}

const IDENTIFY: u32 = 0x06;
/// Of Identify: the controller itself.
const CONTROLLER: u32 = 0x01;
/// Entries of each queue.
const ENTRIES: usize = 16;
/// Bytes of what Identify answers.
const PAGE: usize = 0x1000;
/// How long the controller may take, in ms.
const PATIENCE: u32 = 5000;

/// One controller.
pub struct Controller {
    bar: Bar<regs::Map>,
    config: Config,
    dma: Dma,
    /// Held by each message: in a reset nobody else uses the registers.
    turn: Mutex<()>,
    queue: Mutex<Queue>,
    completed: WaitQueue,
    /// What comes disables the interrupt of a controller that is to stay at work.
    stays_at_work: AtomicBool,
    found: [AtomicU32; 2],
}

/// The queues, and where in them the next entry is.
struct Queue {
    submissions: OnDevice<Coherent<command::Map>>,
    completions: OnDevice<Coherent<completion::Map>>,
    tail: usize,
    head: usize,
    phase: bool,
    /// Commands that are not completed.
    under_way: usize,
    next: u16,
}

impl Init for Controller {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        let bar: Bar<regs::Map> = device.map(cx, 0)?;
        if bar.read(regs::CAPABILITIES_HIGH) & regs::CAPABILITIES_HIGH::STRIDE.mask() != 0 {
            return Err(Status::WRONG_DEVICE.into());
        }
        let dma = device.dma(cx, DmaLimits::bits(64))?;
        let (submissions, completions) = (Coherent::new(cx, &dma, ENTRIES)?, Coherent::new(cx, &dma, ENTRIES)?);
        let (submissions, completions) = (submissions.hand_over(), completions.hand_over());
        let queue = Queue { submissions, completions, tail: 0, head: 0, phase: true, under_way: 0, next: 0 };
        dma.enable(cx)?;
        Ok(Controller {
            bar,
            config: device.config()?,
            dma,
            turn: Mutex::new(cx, ())?,
            queue: Mutex::new(cx, queue)?,
            completed: WaitQueue::new(cx)?,
            stays_at_work: AtomicBool::new(false),
            found: Default::default(),
        })
    }
}

impl Controller {
    fn state(&self) -> State {
        State { configuration: self.bar.read(regs::CONFIGURATION), status: self.bar.read(regs::STATUS) }
    }

    fn is_ready(&self) -> bool {
        regs::STATUS::READY.is_set(self.bar.read(regs::STATUS))
    }

    /// The controller forgets all that it was told.
    fn stop(&self, cx: &mut Passive) -> Result<()> {
        self.bar.write(regs::CONFIGURATION, self.bar.read(regs::CONFIGURATION) & !regs::CONFIGURATION::ENABLE.mask());
        cx.poll(PATIENCE, |_| !self.is_ready())
    }

    /// Tells it of empty queues.
    fn start(&self, cx: &mut Passive) -> Result<()> {
        let sizes = ENTRIES as u32 - 1;
        self.queue.with(cx, |queue, _| {
            for at in 0..ENTRIES {
                queue.completions.at(at)?.write(completion::STATUS, 0);
            }
            (queue.tail, queue.head, queue.phase, queue.under_way) = (0, 0, true, 0);
            self.bar.write(regs::QUEUE_SIZES, sizes << 16 | sizes);
            self.bar.write(regs::SUBMISSIONS, queue.submissions.bus(0)?.raw());
            self.bar.write(regs::COMPLETIONS, queue.completions.bus(0)?.raw());
            Ok::<(), Error>(())
        })?;
        let sizes = regs::CONFIGURATION::SUBMISSION_SIZE.set(0, 6) | regs::CONFIGURATION::COMPLETION_SIZE.set(0, 4);
        self.bar.write(regs::CONFIGURATION, sizes | regs::CONFIGURATION::ENABLE.mask());
        cx.poll(PATIENCE, |_| self.is_ready())
    }

    /// Takes a completion: the number of its command.
    fn take(&self, queue: &mut Queue) -> Result<Option<u16>> {
        let entry = queue.completions.at(queue.head)?;
        let status = entry.read(completion::STATUS);
        if completion::STATUS::PHASE.is_set(status) != queue.phase {
            return Ok(None);
        }
        let number = entry.read(completion::NUMBER);
        queue.head = (queue.head + 1) % ENTRIES;
        queue.phase ^= queue.head == 0;
        queue.under_way = queue.under_way.saturating_sub(1);
        self.bar.write(regs::COMPLETION_HEAD, queue.head as u32);
        if status & completion::STATUS::CODE.mask() != 0 { Err(Error::plugin(1)) } else { Ok(Some(number)) }
    }

    /// Has the controller write who it is. The number of the command.
    fn submit(&self, cx: &mut Passive, queue: &mut Queue, into: &OnDevice<Mapping<FromDevice>>) -> Result<u16> {
        while queue.under_way + 1 >= ENTRIES {
            self.next_completion(cx, queue)?;
        }
        queue.next = queue.next.wrapping_add(1);
        let entry = queue.submissions.at(queue.tail)?;
        entry.write(command::DATA, into.bus_at(0)?.raw());
        entry.write(command::WHAT, CONTROLLER);
        entry.write(command::OPCODE, command::OPCODE::NUMBER.set(IDENTIFY, queue.next.into()));
        queue.tail = (queue.tail + 1) % ENTRIES;
        queue.under_way += 1;
        self.bar.write(regs::SUBMISSION_TAIL, queue.tail as u32);
        Ok(queue.next)
    }

    /// Waits for a completion, which an interrupt tells of.
    fn next_completion(&self, cx: &mut Passive, queue: &mut Queue) -> Result<u16> {
        let mut taken = Ok(None);
        self.completed.wait_until(cx, PATIENCE, |_| {
            taken = self.take(queue);
            !matches!(taken, Ok(None))
        })?;
        taken?.ok_or(Status::TIMEOUT.into())
    }
}

impl nvme::Handler<Passive> for Controller {
    fn state(&self, _: &mut Passive, _: &()) -> Result<State> {
        Ok(self.state())
    }

    fn found(&self, _: &mut Passive, _: &()) -> Result<State> {
        let [configuration, status] = self.found.each_ref().map(|word| word.load(Relaxed));
        Ok(State { configuration, status })
    }

    fn identify(&self, cx: &mut Passive, _: &()) -> Result<Identity> {
        self.turn.with(cx, |(), cx| {
            let pages = Pages::new(cx, PAGE)?;
            let into = Mapping::<FromDevice>::new(cx, &self.dma, &pages, 0..PAGE)?.hand_over(cx);
            self.queue.with(cx, |queue, cx| {
                let number = self.submit(cx, queue, &into)?;
                while self.next_completion(cx, queue)? != number {}
                Ok::<(), Error>(())
            })?;
            into.take_back(cx);
            let (area, mut serial) = (pages.area(cx)?, [0; 20]);
            area.read(4, &mut serial)?;
            Ok(Identity { vendor: area.load(0)?, serial })
        })
    }

    fn lose(&self, cx: &mut Passive, _: &(), pages: u32) -> Result<()> {
        self.turn.with(cx, |(), cx| {
            for _ in 0..pages {
                let page = Pages::new(cx, PAGE)?;
                let into = Mapping::<FromDevice>::new(cx, &self.dma, &page, 0..PAGE)?.hand_over(cx);
                self.queue.with(cx, |queue, cx| self.submit(cx, queue, &into))?;
            }
            Ok(())
        })
    }

    fn reset(&self, cx: &mut Passive, _: &()) -> Result<()> {
        self.turn.with(cx, |(), cx| {
            self.stays_at_work.store(true, Relaxed);
            let done = self.config.reset(cx);
            self.stays_at_work.store(false, Relaxed);
            done
        })
    }

    fn restart(&self, cx: &mut Passive, _: &()) -> Result<()> {
        self.turn.with(cx, |(), cx| {
            self.stop(cx)?;
            self.dma.device_was_reset(cx);
            self.start(cx)
        })
    }

    fn halt(&self, cx: &mut Passive, _: &()) -> Result<()> {
        self.turn.with(cx, |(), cx| self.dma.halt(cx))
    }
}

impl IntEnable for Controller {
    fn int_enable(&self, cx: &mut Passive, _: Enabling<'_, Self>) -> Result<()> {
        let State { configuration, status } = self.state();
        for (word, value) in self.found.iter().zip([configuration, status]) {
            word.store(value, Relaxed);
        }
        self.stop(cx) // as the machine's firmware may have left it
    }

    fn int_arm(&self, cx: &mut Passive, _: &(), _: Granted) -> Result<()> {
        self.start(cx)
    }

    fn int_disarm(&self, cx: &mut Passive, _: &()) {
        if !self.stays_at_work.load(Relaxed) {
            let _ = self.stop(cx);
        }
    }
}

impl IntAtIrql for Controller {
    fn int_at_irql(&self, _: &mut Irql, _: &(), _: Source) -> Verdict {
        Verdict::DEFER // a message is nobody else's
    }
}

impl IntAtDpc for Controller {
    fn int_at_dpc(&self, cx: &mut Dispatch, _: &(), _: Source, count: u32) -> u32 {
        self.completed.wake(cx);
        count
    }
}

plugin! {
    Controller {
        name: "nvme",
        devices: [0x1b36:0x0010],
        vectors: 1..=2,
        interrupt: own,
        interface: nvme,
        callbacks: [IntEnable, IntAtIrql, IntAtDpc],
    }
}
