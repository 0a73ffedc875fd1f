//! Three devices of PCI: a network card of which configuration space has much to say, a switch of which vectors can be sent by hand, and a
//! source of random numbers that can be reset. On QEMU they are e1000e, rocker and virtio-rng.
use crate::interrupts::until;
use kp_abi::{Error, Status};
use kp_user::{Enable, Plugin};
use pcie_interface::pcie;

/// Vectors of the switch's.
const VECTORS: u32 = 4;

/// How often each vector's handler has run.
fn runs(switch: &Plugin) -> [u32; 4] {
    pcie::Client(switch).runs().expect("it counts")
}

/// Vectors that are masked: what comes for them comes later, others come, and nothing is left of it when the interrupt is disabled.
///
/// # Panics
/// If something is not as it should be.
pub fn vectors(switch: &Plugin) {
    let client = pcie::Client(switch);
    let refused = |result: kp_abi::Result<()>| result.expect_err("it has to be refused");
    assert_eq!(refused(client.mask(0, true)), Error::from(Status::NOT_ENABLED));
    for round in 0..2 {
        // In the second round nothing is left of what was masked in the first.
        let interrupts = switch.interrupts(Enable::msix(VECTORS..=VECTORS)).unwrap_or_else(|error| panic!("{error}"));
        for vector in 0..VECTORS {
            client.send(vector).expect("it can be sent");
            until("each comes", || runs(switch)[vector as usize] == 1);
        }
        assert_eq!(refused(client.mask(VECTORS, true)), Error::from(Status::BAD_VECTOR));
        client.mask(1, true).expect("vector 1 can be masked");
        client.mask(1, true).expect("twice is once");
        for vector in [1, 2, 3] {
            client.send(vector).expect("it can be sent");
        }
        until("others come", || runs(switch)[2..] == [2, 2]);
        assert_eq!(runs(switch), [1, 1, 2, 2], "vector 1 is masked");
        client.mask(1, false).expect("it can be unmasked");
        until("what came for it comes", || runs(switch)[1] == 2);
        client.send(1).expect("it can be sent");
        until("and what comes after it", || runs(switch)[1] == 3);
        // As a driver that polls: its deferred handler masks, until it has looked.
        let is_served = |runs: u64| {
            let (_, counters) = switch.connection().int_count(3).expect("it is enabled");
            counters.received == runs && counters.notified == runs
        };
        until("what has come is served", || is_served(2));
        client.mask_in_dpc(true).expect("from now on");
        client.send(3).expect("it can be sent");
        until("it comes, and masks", || is_served(3));
        client.mask_in_dpc(false).expect("no more");
        for vector in [3, 2] {
            client.send(vector).expect("it can be sent");
        }
        until("another comes", || runs(switch)[2] == 3);
        assert_eq!(runs(switch), [1, 3, 3, 3], "vector 3 is masked");
        client.mask(3, false).expect("it can be unmasked");
        until("what came for it comes", || runs(switch)[3] == 4);
        // From one processor to the other, and to one that there is not.
        for processor in [1, 0, 1, 4096] {
            client.hint(0, processor).expect("a hint");
            let before = runs(switch)[0];
            client.send(0).expect("it can be sent");
            until("it comes there too", || runs(switch)[0] == before + 1);
        }
        assert_eq!(client.reset(1), Err(Error::from(Status::BUSY)), "an interrupt is enabled");
        if round == 0 {
            client.mask(2, true).expect("it can be masked");
            client.mask(3, true).expect("it can be masked");
        }
        let last = interrupts.disable().expect("it is enabled");
        let all: u32 = runs(switch).iter().sum();
        assert_eq!(last.received, u64::from(all), "what was received is what handlers saw");
        assert_eq!(refused(client.mask(0, false)), Error::from(Status::NOT_ENABLED));
    }
    assert_eq!(client.reset(1), Err(Error::from(Status::WRONG_DEVICE)), "it cannot be reset by itself");
}

/// Resets: the plugin looks at what the device forgets.
///
/// # Panics
/// If something is not as it should be.
pub fn reset(random: &Plugin, times: u32) {
    pcie::Client(random).reset(times).unwrap_or_else(|error| panic!("reset: {error}"));
}

/// What the devices do of this, on any host without QEMU.
#[cfg(all(target_pointer_width = "64", not(windows)))]
pub mod model {
    use kp_core::pci::{capability, extended_capability};
    use kp_sim::{
        ConfigSpace,
        device::{DeviceModel, Identity, IrqKind, Memory},
    };
    use std::collections::VecDeque;

    /// Where the switch is told which vector to send.
    const TEST_IRQ: u64 = 0x20;
    /// Where the registers of the source of random numbers are.
    const COMMON: u64 = 0x400;

    /// Each of them.
    pub struct Card {
        identity: Identity,
        space: ConfigSpace,
        messages: VecDeque<u16>,
        status: u8,
    }

    /// Bytes of a capability PCI Express behind its header, which are two: version 2, one lane of the first generation.
    fn express(can_reset: bool) -> [u8; 0x3A] {
        let mut bytes = [0; 0x3A];
        bytes[0x00] = 2;
        bytes[0x05] = u8::from(can_reset) << 4; // Device Capabilities
        bytes[0x0A] = 0x11; // Link Capabilities
        bytes[0x10] = 0x11; // Link Status
        bytes
    }

    impl Card {
        /// The network card, with a serial number in its vital product data.
        #[must_use]
        pub fn net() -> Self {
            let space = ConfigSpace::new()
                .capability(0x40, capability::PCI_EXPRESS, &express(false))
                .capability(0x80, capability::MSI_X, &[4, 0, 3, 0, 0, 0, 3, 0x20, 0, 0])
                .vpd(0x90, b"\x82\x04\0card\x90\x09\0SN\x0612345678")
                .extended(0x100, extended_capability::AER, 2, &[0; 0x34])
                .extended(0x140, extended_capability::SERIAL_NUMBER, 1, &[1, 2, 3, 4, 5, 6, 7, 8]);
            let identity = Identity { vendor: 0x8086, device: 0x10D3 };
            Self { identity, space, messages: VecDeque::new(), status: 0 }
        }

        /// The switch.
        #[must_use]
        pub fn switch() -> Self {
            let space = ConfigSpace::new().capability(0x40, capability::MSI_X, &[3, 0, 1, 0, 0, 0, 1, 0x20, 0, 0]);
            let identity = Identity { vendor: 0x1B36, device: 0x0006 };
            Self { identity, space, messages: VecDeque::new(), status: 0 }
        }

        /// The source of random numbers.
        #[must_use]
        pub fn random() -> Self {
            let mut place = [0; 14];
            (place[0], place[1]) = (16, 1);
            place[6..10].copy_from_slice(&(COMMON as u32).to_le_bytes());
            let space = ConfigSpace::new().capability(0x40, capability::PCI_EXPRESS, &express(true)).capability(
                0x80,
                capability::VENDOR_SPECIFIC,
                &place,
            );
            let identity = Identity { vendor: 0x1AF4, device: 0x1044 };
            Self { identity, space, messages: VecDeque::new(), status: 0 }
        }

        fn is(&self, vendor: u16) -> bool {
            self.identity.vendor == vendor
        }
    }

    /// What it says of configuration space itself; the rest of the header is the host's.
    fn is_own(offset: u16) -> bool {
        [0x06, 0x34].contains(&offset) || offset >= 0x40
    }

    impl DeviceModel for Card {
        fn identity(&self) -> Identity {
            self.identity
        }
        fn config_read(&mut self, offset: u16, width: u8) -> Option<u32> {
            is_own(offset).then(|| self.space.read(offset, width))
        }
        fn config_write(&mut self, offset: u16, width: u8, value: u32) -> bool {
            if is_own(offset) {
                self.space.write(offset, width, value);
            }
            if self.space.take_reset() {
                self.status = 0;
            }
            is_own(offset)
        }
        fn read(&mut self, _: usize, offset: u64, _: u8, _: &mut dyn Memory) -> u64 {
            match offset.wrapping_sub(COMMON) {
                0x12 => 1, // a queue
                0x14 => self.status.into(),
                _ => 0,
            }
        }
        fn write(&mut self, _: usize, offset: u64, _: u8, value: u64, _: &mut dyn Memory) {
            if self.is(0x1B36) && offset == TEST_IRQ {
                self.messages.push_back(value as u16);
            } else if self.is(0x1AF4) && offset == COMMON + 0x14 {
                self.status = value as u8;
            }
        }
        fn vectors(&self, kind: IrqKind) -> u16 {
            match (kind, self.identity.vendor) {
                (IrqKind::MsiX, 0x8086) => 5,
                (IrqKind::MsiX, 0x1B36) => 4,
                _ => 0,
            }
        }
        fn take_message(&mut self) -> Option<u16> {
            self.messages.pop_front()
        }
    }
}
