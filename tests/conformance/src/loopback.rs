//! QEMU's e1000e, whose frames come back to it: what goes out of one buffer comes into another.
use kp_user::{Access, Buffer, Plugin};
use loopback_interface::{BLOCK, LONGEST, SHORTEST, loopback};

/// A block, in bytes.
const BLOCK_LEN: usize = BLOCK as usize;
/// Bytes 12 and 13 of a frame say what kind it is. This one is for experiments: nobody looks further.
pub const ETHER_TYPE: [u8; 2] = [0x88, 0xB5];

/// Two buffers of as many blocks, attached to a card.
pub struct Pair<'a> {
    client: loopback::Client<&'a Plugin>,
    from: Buffer,
    into: Buffer,
    seed: u64,
    sent: Vec<u8>,
    due: Vec<u8>,
    came: Vec<u8>,
}

/// How a pair's frames lie.
#[derive(Clone, Copy)]
pub struct Frames {
    /// Where the first one begins, in bytes.
    pub from_at: usize,
    /// The first block to receive into.
    pub into: usize,
    /// The length of each, in bytes.
    pub len: usize,
    /// How many.
    pub count: usize,
}

impl<'a> Pair<'a> {
    /// Buffers of this plugin's session.
    ///
    /// # Panics
    /// If they are refused.
    pub fn new(plugin: &'a Plugin, blocks: usize) -> Self {
        let buffer = || plugin.buffer(blocks * BLOCK_LEN, Access::Write).unwrap_or_else(|error| panic!("{error}"));
        Self::of(plugin, buffer(), buffer())
    }

    /// These buffers, which are of the same length.
    ///
    /// # Panics
    /// If they cannot be attached.
    pub fn of(plugin: &'a Plugin, from: Buffer, into: Buffer) -> Self {
        let bytes = || vec![0; from.len()];
        let (sent, due, came) = (bytes(), bytes(), bytes());
        let pair = Self { client: loopback::Client(plugin), seed: 1, sent, due, came, from, into };
        pair.attach();
        pair
    }

    /// Gives the card both, as a new pair has done already.
    ///
    /// # Panics
    /// If they cannot be attached.
    pub fn attach(&self) {
        let attached = self.client.attach(self.from.number(), self.into.number());
        attached.unwrap_or_else(|error| panic!("attach: {error}"));
    }

    /// The plugin.
    pub fn client(&self) -> &loopback::Client<&'a Plugin> {
        &self.client
    }

    /// Fills the one with what was not there before, and the other with something else, sends, and compares each byte of the other.
    ///
    /// # Panics
    /// If a byte is not as it should be.
    pub fn go_round(&mut self, frames: Frames) {
        let Frames { from_at, into, len, count } = frames;
        self.seed += 1;
        fill(&mut self.sent, self.seed);
        fill(&mut self.due, !self.seed);
        self.into.write(0, &self.due);
        for frame in 0..count {
            let (at, block) = (from_at + frame * len, (into + frame) * BLOCK_LEN);
            self.sent[at + 12..at + 14].copy_from_slice(&ETHER_TYPE);
            self.due[block..block + len].copy_from_slice(&self.sent[at..at + len]);
        }
        self.from.write(0, &self.sent);
        let sent = self.client.transfer(from_at as u64, (into * BLOCK_LEN) as u64, len as u32, count as u32);
        assert_eq!(sent, Ok(count as u32), "{count} frames of {len} bytes from {from_at}");
        self.into.read(0, &mut self.came);
        if self.due != self.came {
            let at = (0..self.due.len()).find(|at| self.due[*at] != self.came[*at]).expect("one differs");
            panic!(
                "{count} frames of {len} bytes from {from_at}: byte {at} is {:#x}, not {:#x}",
                self.came[at], self.due[at]
            );
        }
    }

    /// The highest of what `address` says of the two buffers.
    pub fn highest(&self, address: impl Fn(&Buffer) -> u64) -> u64 {
        address(&self.from).max(address(&self.into))
    }

    /// Does the card see the pages themselves?
    ///
    /// # Panics
    /// If what came is neither what was there first nor what was there last.
    pub fn is_direct(&mut self) -> bool {
        let last = LONGEST as usize - 1;
        self.sent[12..14].copy_from_slice(&ETHER_TYPE);
        self.sent[last] = 0x5A;
        self.from.write(0, &self.sent);
        self.client.change_late(LONGEST).unwrap_or_else(|error| panic!("{error}"));
        self.into.read(0, &mut self.came);
        match self.came[last] {
            0xA5 => true,
            0x5A => false,
            other => panic!("{other:#x} came, which was never there"),
        }
    }
}

/// Fills it. Source of the numbers: SplitMix64.
fn fill(bytes: &mut [u8], seed: u64) {
    for (at, word) in bytes.chunks_exact_mut(8).enumerate() {
        let z = (seed << 40 ^ at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word.copy_from_slice(&(z ^ z >> 27).to_ne_bytes());
    }
}

/// Frames of all kinds, polled for and by interrupts: each byte that was sent comes, and nothing else is touched.
///
/// # Panics
/// If something is not as it should be.
pub fn story(plugin: &Plugin, interrupts: kp_user::Enable<'_>) {
    let blocks = 300;
    let mut pair = Pair::new(plugin, blocks);
    let whole = Frames { from_at: 0, into: 0, len: LONGEST as usize, count: blocks };
    let shapes = [
        whole,
        Frames { from_at: 0, into: 0, len: SHORTEST as usize, count: 1 },
        Frames { from_at: 4000, into: 7, len: 1514, count: 200 },
        Frames { from_at: 1, into: 299, len: LONGEST as usize, count: 1 },
        Frames { from_at: 8 * 1024 + 4095, into: 3, len: 61, count: 129 },
    ];
    shapes.iter().for_each(|frames| pair.go_round(*frames));
    let enabled = plugin.interrupts(interrupts).unwrap_or_else(|error| panic!("{error}"));
    shapes.iter().for_each(|frames| pair.go_round(*frames));
    let received = enabled.disable().expect("it is enabled").received;
    assert!(received > 0, "no interrupt came");
    pair.go_round(whole);
    refusals(&pair);
}

/// What the plugin refuses changes nothing, and needs no reset.
fn refusals(pair: &Pair<'_>) {
    let client = pair.client();
    let (len, count) = (pair.from.len() as u64, (pair.from.len() / BLOCK_LEN) as u32);
    for (from_at, into_at, len, count) in [
        (0, 0, SHORTEST - 1, 1),
        (0, 0, LONGEST + 1, 1),
        (0, 1, SHORTEST, 1),
        (0, 0, SHORTEST, 0),
        (1, 0, BLOCK, count),
        (0, u64::from(BLOCK), BLOCK - 1, count),
        (len, 0, SHORTEST, 1),
        (u64::MAX, 0, SHORTEST, 1),
        (0, u64::MAX - u64::from(BLOCK) + 1, SHORTEST, u32::MAX),
    ] {
        let refused = client.transfer(from_at, into_at, len, count).expect_err("it is not inside");
        assert_eq!(refused, kp_abi::Status::BAD_VALUE, "{from_at} {into_at} {len} {count}");
    }
    client.detach().expect("it was attached");
    assert_eq!(client.transfer(0, 0, SHORTEST, 1).expect_err("it is detached"), kp_abi::Status::BAD_VALUE);
}

/// What the card does of this, on any host without QEMU.
#[cfg(all(target_pointer_width = "64", not(windows)))]
pub mod model {
    use kp_sim::device::{DeviceModel, Identity, IrqKind, Memory};
    use std::collections::BTreeMap;

    /// Of a descriptor's bytes 8 to 15.
    const END: u64 = 1 << 24;
    const REPORT: u64 = 1 << 27;
    const DONE: u64 = 1 << 32;
    const CAME_WHOLE: u64 = 3 << 32;
    /// Causes of an interrupt.
    const SENT: u64 = 1 << 0;
    const RECEIVED: u64 = 1 << 7;

    /// The card, with one ring each way.
    #[derive(Default)]
    pub struct Card {
        registers: BTreeMap<u64, u64>,
        causes: u64,
        mask: u64,
        kind: Option<IrqKind>,
        sent_message: bool,
        is_master: bool,
    }

    impl Card {
        fn get(&self, at: u64) -> u64 {
            self.registers.get(&at).copied().unwrap_or(0)
        }

        /// The descriptor at a ring's head: where it is, its address, and the rest of it. None: the card has no more.
        fn head(&self, ring: u64, ram: &mut dyn Memory) -> Option<(u64, u64, u64)> {
            let head = self.get(ring + 0x10);
            if head == self.get(ring + 0x18) {
                return None;
            }
            let at = self.get(ring) + (self.get(ring + 4) << 32) + head * 16;
            let mut bytes = [0; 16];
            assert!(ram.read(at, &mut bytes), "the ring is mapped");
            let half = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
            Some((at, half(0), half(8)))
        }

        fn advance(&mut self, ring: u64) {
            let next = (self.get(ring + 0x10) + 1) % (self.get(ring + 8) / 16);
            self.registers.insert(ring + 0x10, next);
        }

        fn raise(&mut self, cause: u64) {
            self.causes |= cause;
            self.sent_message |= self.causes & self.mask != 0;
        }

        /// A frame comes; without a block for it, it is lost.
        fn receive(&mut self, frame: &[u8], ram: &mut dyn Memory) {
            let Some((at, block, _)) = self.head(0x2800, ram) else { return };
            ram.write(block, frame);
            ram.write(at + 8, &(frame.len() as u64 | CAME_WHOLE).to_le_bytes());
            self.advance(0x2800);
            self.raise(RECEIVED);
        }

        fn send(&mut self, ram: &mut dyn Memory) {
            let mut frame = Vec::new();
            while let Some((at, piece, mut rest)) = self.head(0x3800, ram) {
                let start = frame.len();
                frame.resize(start + (rest & 0xFFFF) as usize, 0);
                ram.read(piece, &mut frame[start..]);
                if rest & END != 0 {
                    // It fills up what is too short, as on a wire.
                    frame.resize(frame.len().max(60), 0);
                    self.receive(&frame, ram);
                    frame.clear();
                }
                if rest & REPORT != 0 {
                    rest |= DONE;
                    ram.write(at + 8, &rest.to_le_bytes());
                    self.raise(SENT);
                }
                self.advance(0x3800);
            }
        }
    }

    impl DeviceModel for Card {
        fn identity(&self) -> Identity {
            Identity { vendor: 0x8086, device: 0x10D3 }
        }
        fn bar_len(&self, bar: usize) -> Option<u64> {
            (bar == 0).then_some(0x2_0000)
        }
        fn read(&mut self, _: usize, offset: u64, _: u8, _: &mut dyn Memory) -> u64 {
            if offset == 0xC0 { self.causes } else { self.get(offset) }
        }
        fn write(&mut self, _: usize, offset: u64, _: u8, value: u64, ram: &mut dyn Memory) {
            match offset {
                0x00 if value >> 26 & 1 == 1 => {
                    let Card { kind, is_master, .. } = std::mem::take(self);
                    (self.kind, self.is_master) = (kind, is_master);
                }
                0xC0 => self.causes &= !value,
                0xD0 => self.mask |= value,
                0xD8 => self.mask &= !value,
                _ => _ = self.registers.insert(offset, value),
            }
            // Enabled, with loop-back.
            if offset == 0x3818 && self.is_master && self.get(0x400) & 2 != 0 && self.get(0x100) & 0xC2 == 0x42 {
                self.send(ram);
            }
        }
        fn vectors(&self, kind: IrqKind) -> u16 {
            (kind != IrqKind::MsiX).into()
        }
        fn select(&mut self, kind: Option<IrqKind>, _: u16) {
            (self.kind, self.sent_message) = (kind, false);
        }
        fn line(&mut self) -> bool {
            self.causes & self.mask != 0
        }
        fn take_message(&mut self) -> Option<u16> {
            let is_message = self.kind == Some(IrqKind::Msi);
            (std::mem::take(&mut self.sent_message) && is_message).then_some(0)
        }
        fn bus_master(&mut self, on: bool) {
            self.is_master = on;
        }
        fn reset(&mut self) {
            *self = Self::default();
        }
    }
}
