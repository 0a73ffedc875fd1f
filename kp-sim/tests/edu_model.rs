//! What the model of QEMU's `edu` device promises, taken from QEMU's documentation (docs/specs/edu)
//! and from QEMU 7.2 as seen.

use kp_sim::device::{DeviceModel, Identity, IrqKind};
use kp_sim::edu::Edu;

const MS: u64 = 1_000_000;

/// A device with memory, driven as a host would.
struct Host {
    edu: Edu,
    ram: Vec<u8>,
}

impl Host {
    fn new(signal: IrqKind) -> Self {
        Self::with(Edu::new(), signal)
    }

    fn with(edu: Edu, signal: IrqKind) -> Self {
        let mut host = Self { edu, ram: vec![0; 0x4000] };
        host.edu.select(Some(signal), 1);
        host.edu.bus_master(true);
        host
    }

    fn read(&mut self, offset: u64, width: u8) -> u64 {
        self.edu.read(0, offset, width, &mut self.ram)
    }

    fn write(&mut self, offset: u64, width: u8, value: u64) {
        self.edu.write(0, offset, width, value, &mut self.ram);
    }

    fn advance(&mut self, ns: u64) {
        self.edu.advance(ns, &mut self.ram);
    }

    fn start_dma(&mut self, source: u64, destination: u64, count: u64, command: u64) {
        for (offset, value) in [(0x80, source), (0x88, destination), (0x90, count), (0x98, command)] {
            self.write(offset, 8, value);
        }
    }

    fn dma(&mut self, source: u64, destination: u64, count: u64, command: u64) {
        self.start_dma(source, destination, count, command);
        self.advance(100 * MS);
    }

    fn messages(&mut self) -> usize {
        std::iter::from_fn(|| self.edu.take_message()).inspect(|&vector| assert_eq!(vector, 0)).count()
    }
}

#[test]
fn it_is_the_device_that_drivers_look_for() {
    let mut host = Host::new(IrqKind::Line);
    assert_eq!(host.edu.identity(), Identity { vendor: 0x1234, device: 0x11e8 });
    assert_eq!(
        (0..6).map(|bar| host.edu.bar_len(bar)).collect::<Vec<_>>(),
        [Some(1 << 20), None, None, None, None, None]
    );
    assert_eq!([IrqKind::Line, IrqKind::Msi, IrqKind::MsiX].map(|kind| host.edu.vectors(kind)), [1, 1, 0]);
    assert_eq!(host.read(0x00, 4), 0x0100_00ed);
}

#[test]
fn liveness_reads_back_inverted() {
    let mut host = Host::new(IrqKind::Line);
    host.write(0x04, 4, 0x1234_5678);
    assert_eq!(host.read(0x04, 4), 0xedcb_a987);
}

#[test]
fn a_factorial_is_there_when_computing_clears() {
    let mut host = Host::new(IrqKind::Line);
    for (n, result) in [(0, 1), (1, 1), (5, 120), (13, 0x7328_cc00), (33, 0x8000_0000), (34, 0), (u32::MAX, 0)] {
        host.write(0x08, 4, u64::from(n));
        assert_eq!(host.read(0x08, 4), u64::from(n), "while computing");
        assert_eq!(host.read(0x20, 4), 0x01);
        assert_eq!(host.read(0x20, 4), 0x00);
        assert_eq!(host.read(0x08, 4), result, "{n}!");
    }
}

#[test]
fn a_factorial_ends_when_time_passes() {
    let mut host = Host::with(Edu::new().factorial_takes(u32::MAX, 1000), IrqKind::Line);
    host.write(0x08, 4, 5);
    host.advance(999);
    assert_eq!(host.read(0x20, 4), 0x01);
    host.write(0x08, 4, 6);
    assert_eq!(host.read(0x08, 4), 5, "a second one is ignored meanwhile");
    host.advance(1);
    assert_eq!([host.read(0x20, 4), host.read(0x08, 4)], [0x00, 120]);
}

#[test]
fn a_factorial_interrupts_only_if_asked() {
    let mut host = Host::new(IrqKind::Line);
    host.write(0x08, 4, 5);
    host.advance(1);
    assert_eq!((host.read(0x24, 4), host.edu.line()), (0, false));
    host.write(0x20, 4, 0xffff_ffff);
    assert_eq!(host.read(0x20, 4), 0x80, "only bit 7 is kept");
    host.write(0x08, 4, 5);
    assert!(!host.edu.line(), "not before it is done");
    host.advance(1);
    assert_eq!((host.read(0x24, 4), host.edu.line()), (1, true));
}

#[test]
fn the_line_stays_up_until_all_bits_are_acknowledged() {
    let mut host = Host::new(IrqKind::Line);
    host.write(0x60, 4, 0xf0);
    host.write(0x60, 4, 0x01);
    assert_eq!((host.read(0x24, 4), host.edu.line()), (0xf1, true));
    host.write(0x64, 4, 0xf0);
    assert_eq!((host.read(0x24, 4), host.edu.line()), (0x01, true));
    host.write(0x64, 4, 0x01);
    assert_eq!((host.read(0x24, 4), host.edu.line(), host.messages()), (0, false, 0));
}

#[test]
fn msi_sends_one_message_for_each_event_and_no_level() {
    let mut host = Host::new(IrqKind::Msi);
    host.write(0x60, 4, 1);
    host.write(0x60, 4, 1);
    assert_eq!((host.messages(), host.edu.line()), (2, false));
    host.write(0x64, 4, 1);
    assert_eq!((host.messages(), host.read(0x24, 4)), (0, 0));
}

#[test]
fn no_message_is_sent_without_bus_mastering() {
    let mut host = Host::new(IrqKind::Msi);
    host.edu.bus_master(false);
    host.write(0x60, 4, 1);
    assert_eq!((host.messages(), host.read(0x24, 4)), (0, 1));
}

#[test]
fn a_masked_line_comes_up_when_it_is_selected() {
    let mut host = Host::new(IrqKind::Line);
    host.edu.select(None, 0);
    host.write(0x60, 4, 1);
    assert!(!host.edu.line());
    host.edu.select(Some(IrqKind::Line), 1);
    assert!(host.edu.line());
}

#[test]
fn turning_msi_on_drops_the_line_for_good() {
    let mut host = Host::new(IrqKind::Line);
    host.write(0x60, 4, 1);
    host.edu.select(Some(IrqKind::Msi), 1);
    host.edu.select(Some(IrqKind::Line), 1);
    assert!(!host.edu.line());
    host.write(0x60, 4, 0);
    assert!(host.edu.line(), "the next event raises it again");
}

#[test]
fn dma_copies_both_ways_in_100_ms() {
    let mut host = Host::new(IrqKind::Line);
    host.ram[0x1000..0x1010].copy_from_slice(b"hello from host!");
    host.start_dma(0x1000, 0x4_0000, 16, 1);
    host.advance(100 * MS - 1);
    assert_eq!(host.read(0x98, 8), 1, "still running");
    host.advance(1);
    assert_eq!(host.read(0x98, 8), 0);
    host.dma(0x4_0000, 0x2000, 16, 3);
    assert_eq!(&host.ram[0x2000..0x2010], b"hello from host!");
    assert_eq!((host.read(0x24, 4), host.read(0x98, 8)), (0, 2));
}

#[test]
fn dma_interrupts_only_if_asked() {
    let mut host = Host::new(IrqKind::Msi);
    host.dma(0x1000, 0x4_0000, 16, 1);
    assert_eq!((host.read(0x24, 4), host.messages()), (0, 0));
    host.dma(0x1000, 0x4_0000, 16, 5);
    assert_eq!((host.read(0x24, 4), host.messages()), (0x100, 1));
}

#[test]
fn dma_registers_are_locked_while_it_runs() {
    let mut host = Host::new(IrqKind::Line);
    host.start_dma(0x1000, 0x4_0000, 16, 1);
    for offset in [0x80, 0x88, 0x90, 0x98] {
        host.write(offset, 8, 0x77);
    }
    assert_eq!([0x80, 0x88, 0x90, 0x98].map(|offset| host.read(offset, 8)), [0x1000, 0x4_0000, 16, 1]);
    host.advance(100 * MS);
    host.write(0x98, 8, 6);
    assert_eq!(host.read(0x98, 8), 0, "a command without the start bit is ignored");
}

#[test]
fn dma_addresses_lose_the_bits_outside_the_mask() {
    let mut host = Host::new(IrqKind::Line);
    host.ram[0x1000] = 0x5a;
    host.dma(0xf_f000_1000, 0x4_0000, 1, 1);
    host.dma(0x4_0000, 0x3000, 1, 3);
    assert_eq!(host.ram[0x3000], 0x5a);
    let mut host = Host::with(Edu::new().dma_mask(u64::MAX), IrqKind::Line);
    host.dma(0x4_0000, 0xf_f000_1000, 1, 3);
    assert_eq!(host.edu.fault(), None, "a write to nowhere is lost");
}

#[test]
fn memory_out_of_reach_reads_as_zeros() {
    let mut host = Host::new(IrqKind::Line);
    for unreachable in ["no memory there", "no bus mastering"] {
        host.ram[0x1000..0x1010].fill(0x5a);
        host.dma(0x1000, 0x4_0000, 16, 1);
        host.edu.bus_master(unreachable == "no memory there");
        host.dma(if unreachable == "no memory there" { 0x10_0000 } else { 0x1000 }, 0x4_0000, 16, 1);
        host.edu.bus_master(true);
        host.dma(0x4_0000, 0x1000, 16, 3);
        assert_eq!(host.ram[0x1000..0x1010], [0; 16], "{unreachable}");
    }
}

#[test]
fn a_transfer_outside_the_buffer_kills_the_device_until_reset() {
    let outside = [(0x3_ffff, 1), (0x4_0000, 4096), (0x4_0fff, 1), (0x4_0000, 0), (0x4_0010, u64::MAX), (0, 16)];
    for (address, count) in outside {
        let mut host = Host::new(IrqKind::Line);
        host.dma(0x1000, address, count, 1);
        let fault = host.edu.fault().unwrap_or_else(|| panic!("{count} bytes at {address:#x} were carried out"));
        assert!(fault.contains("leaves the device's buffer"), "{fault}");
        host.write(0x60, 4, 1);
        assert_eq!((host.read(0x00, 4), host.edu.line()), (0xffff_ffff, false));
        host.edu.reset();
        assert_eq!((host.read(0x00, 4), host.edu.fault()), (0x0100_00ed, None));
    }
    let mut host = Host::new(IrqKind::Line);
    host.dma(0x1000, 0x4_0000, 4095, 1);
    assert_eq!(host.edu.fault(), None, "the longest transfer");
}

#[test]
fn accesses_of_the_wrong_width_are_refused() {
    let mut host = Host::new(IrqKind::Line);
    host.write(0x04, 4, 0);
    for width in [1, 2, 8] {
        host.write(0x04 - u64::from(width == 8) * 4, width, 0x1111_1111_1111_1111);
    }
    assert_eq!(host.read(0x04, 4), 0xffff_ffff, "nothing was written");
    assert_eq!((host.read(0x00, 1), host.read(0x00, 2), host.read(0x00, 8)), (0, 0, u64::MAX));
    host.write(0x80, 8, 0x1122_3344_5566_7788);
    assert_eq!((host.read(0x80, 4), host.read(0x80, 8)), (0x5566_7788, 0x1122_3344_5566_7788));
    host.write(0x80, 4, 5);
    assert_eq!(host.read(0x80, 8), 5, "a write of 4 bytes clears the upper half");
}

#[test]
fn offsets_without_a_register_read_as_all_ones() {
    let mut host = Host::new(IrqKind::Line);
    for offset in [0x0c, 0x60, 0x64, 0x7c, 0x84, 0xa0, 0x4_0000, 0xf_fffc] {
        assert_eq!(host.read(offset, 4), 0xffff_ffff, "{offset:#x}");
    }
    assert_eq!(host.read(0x10_0000, 8), u64::MAX);
    assert_eq!(host.edu.read(1, 0, 4, &mut host.ram), 0xffff_ffff);
}

#[test]
fn reset_forgets_everything() {
    let mut host = Host::new(IrqKind::Msi);
    host.write(0x04, 4, 0);
    host.write(0x20, 4, 0x80);
    host.write(0x60, 4, 1);
    host.start_dma(0x1000, 0x4_0000, 16, 5);
    host.edu.reset();
    let registers = [0x04, 0x08, 0x20, 0x24, 0x80, 0x88, 0x90, 0x98].map(|offset| host.read(offset, 4));
    assert_eq!((registers, host.messages()), ([0; 8], 0));
    host.write(0x60, 4, 1);
    assert_eq!((host.edu.line(), host.messages()), (false, 0), "interrupts are off");
}
