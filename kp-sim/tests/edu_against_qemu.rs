//! The model of `edu` behaves as QEMU's own device, access by access.
//!
//! Both get the same random accesses. After each one the value read, the INTx wire and the messages
//! must agree, and memory after each transfer. Set `KP_SEED` to a number for other accesses.
//!
//! Left out, because QEMU aborts or its thread decides: transfers that leave the device's buffer
//! have a test of their own; what is seen while a factorial is computed has one too; a factorial is
//! not started while its interrupt bit is set.

#![cfg(unix)]

use std::collections::VecDeque;
use std::fmt::Debug;

use kp_sim::Random;
use kp_sim::device::{DeviceModel, IrqKind};
use kp_sim::edu::Edu;
use kp_sim::qtest::Qemu;

const BAR_LEN: u64 = 1 << 20;
const BUFFER: u64 = 0x4_0000;
/// The longest transfer that QEMU 7.2 carries out.
const LONGEST: u64 = 4095;
/// Memory that both hosts have: from bus address 0, below the PC's hole.
const RAM_LEN: usize = 0x4_0000;
const DMA_NS: u64 = 100_000_000;
const STEPS: usize = 20_000;
const IMPLEMENTED: [u64; 12] = [0x00, 0x04, 0x08, 0x20, 0x24, 0x60, 0x64, 0x80, 0x88, 0x90, 0x98, 0x9c];

/// The model and QEMU, each with memory of its own.
struct Pair {
    model: Edu,
    qemu: Qemu,
    model_ram: Vec<u8>,
    qemu_ram: Vec<u8>,
    /// The last steps, for the report.
    trail: VecDeque<String>,
    accesses: usize,
    transfers: usize,
    messages: usize,
    line_changes: usize,
    line: bool,
}

impl Pair {
    fn new(dma_mask: u64) -> Self {
        let qemu = Qemu::start_with(dma_mask).unwrap_or_else(|error| panic!("{error}"));
        Self {
            model: Edu::new().dma_mask(dma_mask),
            qemu,
            model_ram: vec![0; RAM_LEN],
            qemu_ram: vec![0; RAM_LEN],
            trail: VecDeque::new(),
            accesses: 0,
            transfers: 0,
            messages: 0,
            line_changes: 0,
            line: false,
        }
    }

    fn step(&mut self, what: String) {
        if self.trail.len() == 30 {
            self.trail.pop_front();
        }
        self.trail.push_back(what);
    }

    #[track_caller]
    fn same<T: PartialEq + Debug>(&self, what: &str, model: T, qemu: T) {
        if model != qemu {
            let trail: Vec<&str> = self.trail.iter().map(String::as_str).collect();
            panic!("{what}: the model has {model:x?}, QEMU has {qemu:x?}, after\n  {}", trail.join("\n  "));
        }
    }

    /// Compares what the host sees of interrupts, and that both devices live.
    #[track_caller]
    fn compare(&mut self) {
        let (model, qemu) = (self.model.fault(), self.qemu.fault());
        if model.is_some() != qemu.is_some() {
            self.same("fault", model, qemu);
        }
        let (model, qemu) = (self.model.line(), self.qemu.line());
        self.same("line", model, qemu);
        self.line_changes += usize::from(self.line != model);
        self.line = model;
        loop {
            let (model, qemu) = (self.model.take_message(), self.qemu.take_message());
            self.same("message", model, qemu);
            if model.is_none() {
                return;
            }
            self.messages += 1;
        }
    }

    fn read(&mut self, offset: u64, width: u8) -> u64 {
        self.step(format!("read {width} at {offset:#x}"));
        self.accesses += 1;
        let model = self.model.read(0, offset, width, &mut self.model_ram);
        let qemu = self.qemu.read(0, offset, width, &mut self.qemu_ram);
        self.same("value", model, qemu);
        self.compare();
        model
    }

    fn write(&mut self, offset: u64, width: u8, value: u64) {
        self.step(format!("write {width} at {offset:#x}: {value:#x}"));
        self.accesses += 1;
        self.model.write(0, offset, width, value, &mut self.model_ram);
        self.qemu.write(0, offset, width, value, &mut self.qemu_ram);
    }

    fn advance(&mut self, ns: u64) {
        self.step(format!("advance {ns}"));
        let ran = self.running();
        self.model.advance(ns, &mut self.model_ram);
        self.qemu.advance(ns, &mut self.qemu_ram);
        self.compare();
        if ran && !self.running() {
            self.transfers += 1;
            if let Some(at) = (0..RAM_LEN).find(|&at| self.model_ram[at] != self.qemu_ram[at]) {
                self.same(&format!("memory at {at:#x}"), self.model_ram[at], self.qemu_ram[at]);
            }
        }
    }

    fn select(&mut self, kind: Option<IrqKind>) {
        self.step(format!("select {kind:?}"));
        self.model.select(kind, 1);
        self.qemu.select(kind, 1);
        self.compare();
    }

    fn bus_master(&mut self, on: bool) {
        self.step(format!("bus master {on}"));
        self.model.bus_master(on);
        self.qemu.bus_master(on);
        self.compare();
    }

    /// Whether a transfer runs in the model. QEMU is not asked: its factorial may end meanwhile.
    fn running(&mut self) -> bool {
        self.model.read(0, 0x98, 8, &mut self.model_ram) & 1 != 0
    }

    fn dma(&mut self, source: u64, destination: u64, count: u64, command: u64) {
        for (offset, value) in [(0x80, source), (0x88, destination), (0x90, count), (0x98, command)] {
            self.write(offset, 8, value);
            self.compare();
        }
    }

    /// A write of any width anywhere that QEMU survives and that computes no factorial for long.
    fn random_write(&mut self, random: &mut Random, offset: u64, width: u8) {
        let mut value = random.next() >> random.of(&[0, 0, 32, 48, 56, 63]);
        let lands = |register: u64, len: u64| offset < register + len && register < offset + u64::from(width);
        let shift = |register: u64| 8 * register.saturating_sub(offset);
        if lands(0x08, 4) {
            value &= !(0xffff_ffff << shift(0x08));
            value |= random.below(40) << shift(0x08);
            // While its bit is set, nobody can tell when the interrupt comes again.
            self.write(0x64, 4, 0x1);
        }
        if lands(0x98, 1) && !self.running() {
            // A start is left to `random_dma`, which chooses a transfer that stays in the buffer.
            value &= !(1 << shift(0x98));
        }
        self.write(offset, width, value);
        if lands(0x08, 4) {
            self.advance(1);
        }
        self.compare();
    }

    fn random_dma(&mut self, random: &mut Random, outside: &[u64]) {
        let count = if random.one_in(4) { LONGEST } else { 1 + random.below(300) };
        // Often up to the very end of what QEMU accepts.
        let room = LONGEST - count;
        let inside = BUFFER + if random.one_in(3) { room } else { random.below(room + 1) };
        let near = 0x1000 + random.below(RAM_LEN as u64 - 0x1000 - LONGEST);
        let address = if random.one_in(5) { random.of(outside) + random.below(0x1000) } else { near };
        let command = (random.next() & !7) | random.below(4) << 1 | 1;
        let to_ram = command & 2 != 0;
        let (source, destination) = if to_ram { (inside, address) } else { (address, inside) };
        self.dma(source, destination, count, command);
    }

    /// The host changes some of its memory.
    fn random_memory(&mut self, random: &mut Random) {
        let at = 0x1000 + random.below(RAM_LEN as u64 - 0x2000) as usize;
        for byte in at..at + 0x1000 {
            let value = random.next() as u8;
            self.model_ram[byte] = value;
            self.qemu_ram[byte] = value;
        }
    }

    fn random_step(&mut self, random: &mut Random, outside: &[u64]) {
        let offset = match random.below(10) {
            0 => random.below(BAR_LEN + 16),
            1 => BAR_LEN - random.below(16),
            2 | 3 => random.below(0xb0),
            _ => random.of(&IMPLEMENTED),
        };
        let width = if offset < 0x80 { random.of(&[4, 4, 4, 8, 2, 1]) } else { random.of(&[8, 8, 4, 4, 2, 1]) };
        match random.below(40) {
            0 => self.random_dma(random, outside),
            1..=4 => self.advance(random.of(&[0, 1, 1_000_000, 33_333_333, DMA_NS - 1, DMA_NS, 3 * DMA_NS])),
            5 => self.select(random.of(&[None, Some(IrqKind::Line), Some(IrqKind::Line), Some(IrqKind::Msi)])),
            6 => self.bus_master(!random.one_in(4)),
            7 => self.random_memory(random),
            8 | 9 => {
                self.write(0x60, 4, random.below(4) << random.below(32));
                self.compare();
            }
            10 => {
                self.write(0x64, 4, u64::from(u32::MAX));
                self.compare();
            }
            11..=22 => self.random_write(random, offset, width),
            _ => drop(self.read(offset, width)),
        }
    }

    /// Brings the device's whole buffer to memory, where it is compared.
    fn compare_buffer(&mut self) {
        self.bus_master(true);
        self.advance(DMA_NS);
        self.dma(BUFFER, 0x1000, LONGEST, 3);
        self.advance(DMA_NS);
    }
}

/// Runs random steps and answers how much of each kind there was.
fn run(name: &str, dma_mask: u64, outside: &[u64], seed: u64) {
    let seed = std::env::var("KP_SEED").map_or(seed, |text| text.parse().expect("KP_SEED is a decimal number"));
    println!("{name}: KP_SEED={seed}");
    let mut random = Random(seed);
    let mut pair = Pair::new(dma_mask);
    pair.bus_master(true);
    for step in 0..STEPS {
        pair.random_step(&mut random, outside);
        if step % 500 == 499 {
            pair.compare_buffer();
        }
    }
    println!(
        "{name}: {} accesses, {} transfers, {} messages, {} changes of the line agree",
        pair.accesses, pair.transfers, pair.messages, pair.line_changes
    );
    assert!(pair.accesses >= 10_000, "too few accesses: {}", pair.accesses);
    assert!(pair.transfers >= 100, "too few transfers: {}", pair.transfers);
    assert!(pair.messages >= 100, "too few messages: {}", pair.messages);
    assert!(pair.line_changes >= 100, "too few changes of the line: {}", pair.line_changes);
}

#[test]
#[ignore = "needs qemu-system-x86; run by `cargo kp test`"]
fn the_model_agrees_with_qemu() {
    // Bits beyond the 28 are dropped; 0x80000 is memory of QEMU's that the host refuses.
    run("28 bits", (1 << 28) - 1, &[0x8_0000, 0xf_0000_1000, 0xffff_ffff_f000_2000], 1);
}

#[test]
#[ignore = "needs qemu-system-x86; run by `cargo kp test`"]
fn the_model_agrees_with_qemu_beyond_28_bits() {
    // There is no memory at these addresses, in QEMU either.
    run("48 bits", (1 << 48) - 1, &[0x2000_0000, 0x1_2345_6000, 0xffff_1234_5678_9000], 2);
}

#[test]
#[ignore = "needs qemu-system-x86; run by `cargo kp test`"]
fn a_long_factorial_shows_the_same_while_it_runs() {
    const LONG: u64 = u32::MAX as u64;
    let mut pair = Pair::new((1 << 28) - 1);
    pair.select(Some(IrqKind::Line));
    pair.write(0x20, 4, 0x80);
    // Some 3 s in QEMU's thread; the accesses below take microseconds.
    pair.write(0x08, 4, LONG);
    assert_eq!(pair.read(0x08, 4), LONG);
    pair.write(0x08, 4, 7);
    assert_eq!(pair.read(0x08, 4), LONG, "a second one is ignored meanwhile");
    assert_eq!(pair.read(0x24, 4), 0);
    let busy = pair.qemu.read(0, 0x20, 4, &mut pair.qemu_ram);
    assert_eq!(busy, pair.model.read(0, 0x20, 4, &mut pair.model_ram));
    assert_eq!(busy, 0x81);
    pair.advance(1);
    assert_eq!([pair.read(0x20, 4), pair.read(0x08, 4), pair.read(0x24, 4)], [0x80, 0, 1]);
    assert!(pair.line);
}

#[test]
#[ignore = "needs qemu-system-x86; run by `cargo kp test`"]
fn a_transfer_takes_100_ms_of_qemus_clock() {
    let mut pair = Pair::new((1 << 28) - 1);
    let before = pair.qemu.virtual_ns().expect("QEMU runs");
    pair.dma(0x1000, BUFFER, 16, 1);
    pair.advance(DMA_NS - 1);
    assert_eq!(pair.read(0x98, 8), 1);
    pair.advance(1);
    assert_eq!(pair.read(0x98, 8), 0);
    assert_eq!(pair.qemu.virtual_ns().expect("QEMU runs") - before, DMA_NS);
}

#[test]
#[ignore = "needs qemu-system-x86; run by `cargo kp test`"]
fn the_model_dies_where_qemu_aborts() {
    let mut pair = Pair::new((1 << 28) - 1);
    let mut died = 0;
    let transfers = [
        (BUFFER, 1),
        (BUFFER, 0),
        (BUFFER, LONGEST),
        (BUFFER, LONGEST + 1),
        (BUFFER + 1, LONGEST),
        (BUFFER + LONGEST, 1),
        (BUFFER + LONGEST - 1, 1),
        (BUFFER + LONGEST - 1, 0),
        (BUFFER + LONGEST + 1, 0),
        (BUFFER - 1, 1),
        (BUFFER - 1, 2),
        (0, 8),
        (BUFFER + 0x1000_0000, 8),
        (BUFFER + 16, u64::MAX - 15),
        (BUFFER + 16, 1 << 32),
    ];
    for (inside, count) in transfers {
        for to_ram in [false, true] {
            pair.bus_master(true);
            let (source, destination) = if to_ram { (inside, 0x1000) } else { (0x1000, inside) };
            pair.dma(source, destination, count, if to_ram { 3 } else { 1 });
            pair.model.advance(DMA_NS, &mut pair.model_ram);
            pair.qemu.advance(DMA_NS, &mut pair.qemu_ram);
            let model = pair.model.fault().is_some();
            pair.same("dead", model, pair.qemu.fault().is_some());
            if model {
                let said = pair.qemu.fault().unwrap_or_default();
                assert!(said.contains("out of bounds"), "QEMU ended otherwise: {said}");
                assert_eq!(pair.read(0x00, 4), 0xffff_ffff);
                pair.model.reset();
                pair.qemu.reset();
                died += 1;
            }
            assert_eq!(pair.read(0x00, 4), 0x0100_00ed);
        }
    }
    assert_eq!(died, 24, "of {} transfers", 2 * transfers.len());
}
