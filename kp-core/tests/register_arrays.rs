//! Arrays of registers, blocks and FIFOs: each access is where the map says, and what is not there is refused.
use kp_core::*;
use kp_sim::{
    Sim,
    device::{DeviceModel, Identity, Memory},
};

registers! {
    /// What is used of BAR 0.
    mod regs[0x380] {
        0x000 FIFO: u16, RW;
        0x008 KEYS: [u64; 3], RW;
        0x040 TABLE: [u32; 8], RW { VALID = 31 };
        0x061 BYTES: [u8; 3], RO;
        /// The last one ends where the map does.
        0x108 CHANNEL: [channel; 4 stride 0xB8];
    }
    mod channel[0x50] {
        0x00 START: u32, WO;
        0x08 ADDRESS: u64, RW;
        0x10 PART: [part; 2 stride 0x20];
    }
    mod part[0x20] {
        0x1C LAST: [u8; 4], RW;
    }
}

/// One access: offset, width in bytes, and what was written.
type Access = (u64, u8, Option<u64>);

/// Each read is answered with its offset.
#[derive(Default)]
struct Card(Vec<Access>);

impl DeviceModel for Card {
    fn identity(&self) -> Identity {
        Identity { vendor: 0x1234, device: 0x5678 }
    }
    fn read(&mut self, _: usize, offset: u64, width: u8, _: &mut dyn Memory) -> u64 {
        self.0.push((offset, width, None));
        offset
    }
    fn write(&mut self, _: usize, offset: u64, width: u8, value: u64, _: &mut dyn Memory) {
        self.0.push((offset, width, Some(value)));
    }
}

/// Runs what the test is about, in its `init`.
struct Plugin;

fn accesses(bar: &Bar<regs::Map>) -> Result<()> {
    let regs = bar.regs();
    let channel = regs.block(regs::CHANNEL, 3)?;
    channel.write(channel::START, 1);
    assert_eq!(channel.read(channel::ADDRESS), 0x338);
    assert_eq!(channel.block(channel::PART, 1)?.item(part::LAST, 3)?.read(), 0x7F, "what fits of 0x37F, the map's end");
    regs.item(regs::KEYS, 2)?.write(7);
    let valid = regs.item(regs::TABLE, 7)?;
    valid.write(valid.read() | regs::TABLE::VALID.mask());
    Ok(())
}

fn in_a_row(bar: &Bar<regs::Map>) -> Result<()> {
    let regs = bar.regs();
    let mut words = [0; 3];
    regs.read_fifo(regs::FIFO, &mut words);
    assert_eq!(words, [0; 3]);
    regs.write_fifo(regs::FIFO, &[5, 6]);
    let mut table = [0; 3];
    regs.read_array(regs::TABLE, 5, &mut table)?;
    assert_eq!(table, [0x54, 0x58, 0x5C]);
    regs.write_array(regs::KEYS, 1, &[8, 9])
}

/// Which of the things that are not there were answered.
fn beyond(bar: &Bar<regs::Map>) -> [bool; 8] {
    let regs = bar.regs();
    [
        regs.block(regs::CHANNEL, 4).is_ok(),
        regs.block(regs::CHANNEL, usize::MAX).is_ok(),
        regs.item(regs::BYTES, 3).is_ok(),
        regs.item(regs::BYTES, usize::MAX).is_ok(),
        regs.read_array(regs::TABLE, 6, &mut [0; 3]).is_ok(),
        regs.read_array(regs::TABLE, usize::MAX, &mut [0; 3]).is_ok(),
        regs.write_array(regs::KEYS, 3, &[1]).is_ok(),
        regs.write_array(regs::KEYS, 4, &[]).is_ok(),
    ]
}

impl Init for Plugin {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        let bar = device.map(cx, 0)?;
        assert_eq!(beyond(&bar), [false; 8]);
        accesses(&bar)?;
        in_a_row(&bar)?;
        Ok(Plugin)
    }
}

plugin! { Plugin { name: "arrays", devices: [0x1234:0x5678], callbacks: [] } }

#[test]
fn each_access_is_where_the_map_says_and_nothing_else_is_accessed() {
    let sim = Sim::<Plugin>::with(Card::default()).unwrap();
    let seen = sim.device(|card: &mut Card| core::mem::take(&mut card.0));
    let due: [Access; 16] = [
        (0x330, 4, Some(1)),
        (0x338, 8, None),
        (0x37F, 1, None),
        (0x018, 8, Some(7)),
        (0x05C, 4, None),
        (0x05C, 4, Some(0x8000_005C)),
        (0x000, 2, None),
        (0x000, 2, None),
        (0x000, 2, None),
        (0x000, 2, Some(5)),
        (0x000, 2, Some(6)),
        (0x054, 4, None),
        (0x058, 4, None),
        (0x05C, 4, None),
        (0x010, 8, Some(8)),
        (0x018, 8, Some(9)),
    ];
    assert_eq!(seen, due);
}
