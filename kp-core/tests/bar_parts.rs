//! Parts of BARs, windows and ports: each is mapped where it is, once, and accessed there alone.
use kp_core::*;
use kp_sim::{
    Sim,
    device::{BarKind, DeviceModel, Identity, Memory},
};

registers! {
    mod regs[0x10] {
        0x00 ID: u32, RO;
        0x08 ADDRESS: u64, RW;
    }
    mod narrow[0x10] {
        0x02 COMMAND: u16, RW;
        0x04 DATA: u32, RW;
        0x0F LAST: u8, RO;
        0x08 SCRATCH: [u8; 4], RW;
    }
    mod wide[0x20] {
        0x00 ID: u32, RO;
    }
}

/// One access: BAR, offset, width in bytes, and what was written.
type Access = (usize, u64, u8, Option<u64>);

/// BAR 0 has registers, BAR 1 ports, BAR 2 memory.
#[derive(Default)]
struct Card(Vec<Access>);

const LENGTHS: [Option<u64>; 6] = [Some(0x1000), Some(0x10), Some(0x4000), None, None, None];

impl DeviceModel for Card {
    fn identity(&self) -> Identity {
        Identity { vendor: 0x1234, device: 0x5678 }
    }
    fn bar_len(&self, bar: usize) -> Option<u64> {
        LENGTHS[bar]
    }
    fn bar_kind(&self, bar: usize) -> BarKind {
        [BarKind::Memory, BarKind::Ports, BarKind::Prefetchable][bar]
    }
    fn read(&mut self, bar: usize, offset: u64, width: u8, _: &mut dyn Memory) -> u64 {
        self.0.push((bar, offset, width, None));
        0x0807_0605_0403_0201
    }
    fn write(&mut self, bar: usize, offset: u64, width: u8, value: u64, _: &mut dyn Memory) {
        self.0.push((bar, offset, width, Some(value)));
    }
}

/// A plugin whose `init` does this with the device.
macro_rules! plugin_of {
    ($name:ident, $cx:ident, $device:ident, $init:block) => {
        mod $name {
            use super::*;
            pub struct Story;
            impl Init for Story {
                type Session = ();
                type Interrupt = ();
                fn init($cx: &mut Passive, mut $device: Device) -> Result<Self> {
                    $init
                    Ok(Story)
                }
            }
            plugin! { Story { name: "story", devices: [0x1234:0x5678], callbacks: [] } }
        }
    };
}

/// The accesses to a card, and the log.
fn told<P: kp_core::Plugin>(sim: &Sim<P>) -> (Vec<Access>, Vec<String>) {
    (sim.device(|card: &mut Card| core::mem::take(&mut card.0)), sim.log())
}

fn status<T>(result: Result<T>) -> Status {
    result.map_or_else(|error| error.status, |_| Status::OK)
}

plugin_of! { parts, cx, device, {
    let lengths = [0, 1, 2, 3, 6].map(|bar| device.bar_len(bar));
    assert_eq!(lengths, [Some(0x1000), Some(0x10), Some(0x4000), None, None]);
    let second: Bar<regs::Map> = device.map_at(cx, 0, 0x20)?;
    let last: Bar<regs::Map> = device.map_at(cx, 0, 0xFF0)?;
    second.write(regs::ADDRESS, 1);
    last.write(regs::ADDRESS, 2);
    let refused = [
        status(device.map_at::<regs::Map>(cx, 0, 0x44)),
        status(device.map_at::<regs::Map>(cx, 0, 0xFF8)),
        status(device.map_at::<regs::Map>(cx, 0, usize::MAX - 7)),
        status(device.map_at::<regs::Map>(cx, 0, 0x28)),
        status(device.map_at::<wide::Map>(cx, 0, 0x18)),
        status(device.map::<narrow::Map>(cx, 0)),
    ];
    let (value, short, busy) = (Status::BAD_VALUE, Status::BAR_TOO_SHORT, Status::BUSY);
    assert_eq!(refused, [value, short, short, busy, busy, Status::OK]);
    drop((second, last));
    assert_eq!(status(device.map_at::<regs::Map>(cx, 0, 0x20)), busy, "what was mapped once is not mapped again");
} }

#[test]
fn parts_of_a_bar_are_mapped_where_they_are_and_once() {
    let sim = Sim::<parts::Story>::with(Card::default()).unwrap();
    let (accesses, log) = told(&sim);
    assert_eq!(accesses, [(0, 0x28, 8, Some(1)), (0, 0xFF8, 8, Some(2))]);
    assert_eq!(sim.live().mappings, 0, "dropped with init");
    assert_eq!(log, ["BAR 0 has 4096 bytes, and its register map 4104"]);
}

plugin_of! { ports, cx, device, {
    assert_eq!(status(device.map_ports::<narrow::Map>(cx, 0)), Status::WRONG_DEVICE);
    assert_eq!(status(device.map::<narrow::Map>(cx, 1)), Status::WRONG_DEVICE);
    assert_eq!(status(device.window(cx, 1, 0..8, Caching::Uncached)), Status::WRONG_DEVICE);
    assert_eq!(status(device.map_ports::<wide::Map>(cx, 1)), Status::BAR_TOO_SHORT);
    let ports = device.map_ports::<narrow::Map>(cx, 1)?;
    assert_eq!(status(device.map_ports::<narrow::Map>(cx, 1)), Status::BUSY);
    ports.write(narrow::COMMAND, 0x1234);
    assert_eq!(ports.read(narrow::COMMAND), 0x0201);
    assert_eq!(ports.read(narrow::DATA), 0x0403_0201);
    assert_eq!(ports.read(narrow::LAST), 1);
    ports.regs().item(narrow::SCRATCH, 3)?.write(7);
} }

#[test]
fn ports_are_accessed_by_their_width_at_their_place() {
    let sim = Sim::<ports::Story>::with(Card::default()).unwrap();
    let (accesses, log) = told(&sim);
    let due: [Access; 5] =
        [(1, 2, 2, Some(0x1234)), (1, 2, 2, None), (1, 4, 4, None), (1, 15, 1, None), (1, 11, 1, Some(7))];
    assert_eq!(accesses, due);
    let head = "no port BAR 0; of memory: BAR 0, BAR 2; of ports: BAR 1";
    assert_eq!(log, [head, "BAR 1 has 16 bytes, and its register map 32"], "said once");
}

plugin_of! { windows, cx, device, {
    let refused = [
        status(device.window(cx, 0, 0..0x1000, Caching::WriteCombining)),
        status(device.window(cx, 2, 0..0x800, Caching::WriteCombining)),
        status(device.window(cx, 2, 0x800..0x1800, Caching::WriteCombining)),
        status(device.window(cx, 2, 4..12, Caching::Uncached)),
        status(device.window(cx, 2, 8..8, Caching::Uncached)),
        status(device.window(cx, 2, 0x3000..0x4001, Caching::Uncached)),
    ];
    let value = Status::BAD_VALUE;
    assert_eq!(refused, [value, value, value, value, value, Status::BAR_TOO_SHORT]);
    let (combined, plain) = (0x1000..0x3000, 0x3008..0x3020);
    let combined = device.window(cx, 2, combined, Caching::WriteCombining)?;
    let plain = device.window(cx, 2, plain, Caching::Uncached)?;
    assert_eq!((combined.len(), plain.len()), (0x2000, 0x18));
    // Eight where they are aligned, else one.
    combined.write(0x1FF6, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10])?;
    let mut bytes = [0; 10];
    plain.read(7, &mut bytes)?;
    assert_eq!(bytes, [1, 1, 2, 3, 4, 5, 6, 7, 8, 1]);
    plain.store(0x14, 0xAABB_CCDD_u32)?;
    assert_eq!(plain.load::<u16>(0x16), Ok(0x0201));
    combined.flush();
    let beyond = [
        plain.load::<u32>(0x16).is_ok(),
        plain.load::<u64>(0x18).is_ok(),
        plain.load::<u8>(usize::MAX).is_ok(),
        plain.store(0x18, 0u8).is_ok(),
        plain.read(0x10, &mut [0; 9]).is_ok(),
        plain.read(0x19, &mut []).is_ok(),
        plain.write(usize::MAX, &[0; 2]).is_ok(),
    ];
    assert_eq!(beyond, [false; 7]);
    assert_eq!(plain.read(0x18, &mut []), Ok(()), "nothing is inside");
} }

#[test]
fn a_window_is_accessed_inside_alone() {
    let sim = Sim::<windows::Story>::with(Card::default()).unwrap();
    let (accesses, _) = told(&sim);
    let due: [Access; 9] = [
        (2, 0x2FF6, 1, Some(1)),
        (2, 0x2FF7, 1, Some(2)),
        (2, 0x2FF8, 8, Some(0x0A09_0807_0605_0403)),
        (2, 0x300F, 1, None),
        (2, 0x3010, 8, None),
        (2, 0x3018, 1, None),
        (2, 0x301C, 4, Some(0xAABB_CCDD)),
        (2, 0x301E, 2, None),
        (2, 0x1000, 1, None),
    ];
    assert_eq!(accesses, due);
    sim.unload().unwrap();
}

plugin_of! { scarce, cx, device, {
    let first = status(device.map::<regs::Map>(cx, 0));
    let again = status(device.map::<regs::Map>(cx, 0));
    log!("{} {}", first, again);
} }

#[test]
fn what_could_not_be_mapped_may_be_tried_again() {
    let sim = |n| Sim::<scarce::Story>::builder().fail_nth(n).device(Card::default()).build();
    let calls = sim(0).unwrap().fallible_calls();
    // Some are of the host's own, without which there is no plugin.
    let seen: Vec<String> = (1..=calls).filter_map(|n| sim(n).ok()).flat_map(|sim| sim.log()).collect();
    assert_eq!(seen, ["NoMemory Ok"; 2], "of {calls}: room to note it, and the mapping");
}
