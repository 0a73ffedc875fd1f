//! QEMU's pci-testdev, whose tests are written to ports, and to memory at offsets that the device says.
use kp_user::Plugin;
use testdev_interface::{Selected, testdev};

fn name(selected: &Selected) -> &str {
    let bytes = selected.name.split(|byte| *byte == 0).next().unwrap_or_default();
    std::str::from_utf8(bytes).expect("QEMU's names are ASCII")
}

/// Has the device count what is written, by its ports and in its memory.
///
/// # Panics
/// If something is not as it should be.
pub fn story(plugin: &Plugin) {
    let client = testdev::Client(plugin);
    for times in [0, 1, 7] {
        let ports = client.by_ports(0, times).expect("there is such a test");
        assert_eq!((name(&ports), ports.count), ("portio-no-eventfd", times));
        let memory = client.by_memory(0, times).expect("there is such a test");
        assert_eq!((name(&memory), memory.count), ("mmio-no-eventfd", times));
    }
    assert_eq!(plugin.query().map(|query| query.state), Ok(kp_abi::request::state::BOUND));
}

/// What the device does of this, on any host without QEMU. Source: QEMU's page "QEMU pci test device".
#[cfg(all(target_pointer_width = "64", not(windows)))]
pub mod model {
    use kp_sim::device::{BarKind, DeviceModel, Identity, Memory};

    const NAMES: [&[u8]; 2] = [b"mmio-no-eventfd", b"portio-no-eventfd"];
    /// Where a test is written to, and what.
    const OFFSET: u64 = 0x40;
    const DATA: u64 = 0xFA;

    /// The device, with the first test of each BAR.
    #[derive(Default)]
    pub struct TestDevice {
        counts: [u64; 2],
    }

    impl DeviceModel for TestDevice {
        fn identity(&self) -> Identity {
            Identity { vendor: 0x1B36, device: 0x0005 }
        }
        fn bar_len(&self, bar: usize) -> Option<u64> {
            [Some(0x1000), Some(0x100)].get(bar).copied().flatten()
        }
        fn bar_kind(&self, bar: usize) -> BarKind {
            if bar == 1 { BarKind::Ports } else { BarKind::Memory }
        }
        fn read(&mut self, bar: usize, offset: u64, width: u8, _: &mut dyn Memory) -> u64 {
            let mut bytes = [0; 0x100];
            bytes[0x01] = 1;
            bytes[0x04] = OFFSET as u8;
            bytes[0x08] = DATA as u8;
            bytes[0x0C..0x10].copy_from_slice(&(self.counts[bar] as u32).to_le_bytes());
            bytes[0x10..][..NAMES[bar].len()].copy_from_slice(NAMES[bar]);
            let at = offset as usize;
            bytes[at..at + usize::from(width)].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
        }
        fn write(&mut self, bar: usize, offset: u64, width: u8, value: u64, _: &mut dyn Memory) {
            match (offset, width, value) {
                (0, 1, 0) => self.counts[bar] = 0,
                (OFFSET, 1, DATA) => self.counts[bar] += 1,
                _ => {}
            }
        }
    }
}
