//! What configuration space says of a device, whatever the device says: lists that end, those that do not, and vital product data.
use kp_core::{
    pci::{
        Capability, ExtendedCapability, LinkState, Msix, MsixPlace, PcieLink, PowerState, capability,
        extended_capability,
    },
    *,
};
use kp_sim::{
    ConfigSpace, Sim,
    device::{DeviceModel, Identity},
};
use std::cell::RefCell;

/// A device that is its configuration space.
struct Card {
    space: ConfigSpace,
    /// How often an address of vital product data reads without its flag; None: as it likes.
    vpd_is_slow: bool,
}

const VPD_AT: u8 = 0x60;

impl DeviceModel for Card {
    fn identity(&self) -> Identity {
        Identity { vendor: 0x1234, device: 0x11e8 }
    }
    fn config_read(&mut self, offset: u16, width: u8) -> Option<u32> {
        let is_address = offset == u16::from(VPD_AT) + 2;
        let flag = if is_address && self.vpd_is_slow { !0x8000 } else { u32::MAX };
        Some(self.space.read(offset, width) & flag)
    }
    fn config_write(&mut self, offset: u16, width: u8, value: u32) -> bool {
        self.space.write(offset, width, value);
        true
    }
}

type Body = Box<dyn FnOnce(&mut Passive, &Config)>;
thread_local! {
    /// What `init` does.
    static BODY: RefCell<Option<Body>> = const { RefCell::new(None) };
}

struct Reader;

impl Init for Reader {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, device: Device) -> Result<Self> {
        let body = BODY.take().expect("each test has one");
        body(cx, &device.config()?);
        Ok(Reader)
    }
}

plugin! { Reader { name: "reader", devices: [0x1234:0x11e8], callbacks: [] } }

/// Runs `f` with a device's configuration space; how long it took, in ms.
fn with(space: ConfigSpace, f: impl FnOnce(&mut Passive, &Config) + 'static) -> u64 {
    with_card(Card { space, vpd_is_slow: false }, f)
}

fn with_card(card: Card, f: impl FnOnce(&mut Passive, &Config) + 'static) -> u64 {
    BODY.set(Some(Box::new(f)));
    let sim = Sim::<Reader>::with(card).unwrap();
    let ms = sim.now_ns() / 1_000_000;
    sim.unload().unwrap();
    ms
}

fn offsets(cx: &mut Passive, config: &Config) -> Vec<u16> {
    let mut list = config.capabilities();
    std::iter::from_fn(|| list.next(cx).unwrap()).map(|found| found.offset).collect()
}

fn extended_offsets(cx: &mut Passive, config: &Config) -> Vec<u16> {
    let mut list = config.extended_capabilities();
    std::iter::from_fn(|| list.next(cx).unwrap()).map(|found| found.offset).collect()
}

#[test]
fn capabilities_are_found_and_listed_in_the_order_of_the_device() {
    let space = ConfigSpace::new()
        .capability(0x80, capability::MSI, &[])
        .capability(0x40, capability::VENDOR_SPECIFIC, &[1])
        .capability(0xF8, capability::VENDOR_SPECIFIC, &[2])
        .extended(0x100, extended_capability::AER, 2, &[])
        .extended(0xFF8, extended_capability::SERIAL_NUMBER, 1, &[]);
    with(space, |cx, config| {
        assert_eq!(config.capability(cx, capability::MSI), Ok(Some(0x80)));
        assert_eq!(config.capability(cx, capability::VENDOR_SPECIFIC), Ok(Some(0x40)), "the first of them");
        assert_eq!(config.capability(cx, capability::MSI_X), Ok(None));
        assert_eq!(config.extended_capability(cx, extended_capability::SERIAL_NUMBER), Ok(Some(0xFF8)));
        assert_eq!(config.extended_capability(cx, extended_capability::ACS), Ok(None));
        let mut list = config.capabilities();
        assert_eq!(list.next(cx), Ok(Some(Capability { id: capability::MSI, offset: 0x80 })));
        assert_eq!(list.next(cx), Ok(Some(Capability { id: capability::VENDOR_SPECIFIC, offset: 0x40 })));
        assert_eq!(list.next(cx), Ok(Some(Capability { id: capability::VENDOR_SPECIFIC, offset: 0xF8 })));
        assert_eq!((list.next(cx), list.next(cx)), (Ok(None), Ok(None)));
        let mut list = config.extended_capabilities();
        let aer = ExtendedCapability { id: extended_capability::AER, version: 2, offset: 0x100 };
        assert_eq!(list.next(cx), Ok(Some(aer)));
        assert_eq!(extended_offsets(cx, config), [0x100, 0xFF8]);
    });
}

#[test]
fn a_device_without_a_list_has_none() {
    with(ConfigSpace::new(), |cx, config| {
        assert_eq!((offsets(cx, config), extended_offsets(cx, config)), (vec![], vec![]));
        assert_eq!(config.link(cx), Ok(None));
        assert_eq!(config.msix(cx), Ok(None));
        assert_eq!(config.power(cx), Ok(PowerState::D0));
        assert_eq!(config.vpd(cx, 0, &mut [0]), Err(Status::WRONG_DEVICE.into()));
    });
    // What a pointer says is nothing if the status says that there is no list.
    let space = ConfigSpace::new().capability(0x40, capability::MSI, &[]).with(0x06, &[0]);
    with(space, |cx, config| assert_eq!(config.capability(cx, capability::MSI), Ok(None)));
}

#[test]
fn a_device_that_does_not_answer_has_none() {
    with(ConfigSpace::new().with(0, &[0xFF; 0x1000]), |cx, config| {
        assert_eq!((offsets(cx, config), extended_offsets(cx, config)), (vec![], vec![]));
        assert_eq!(config.capability(cx, 0xFF), Ok(None));
        assert_eq!(config.extended_capability(cx, 0xFFFF), Ok(None));
    });
}

#[test]
fn a_list_that_runs_in_a_circle_ends_when_there_is_no_room_for_more() {
    let circle = ConfigSpace::new().capability(0x40, 1, &[]).capability(0x50, 5, &[]).with(0x51, &[0x40]);
    let circle = circle.extended(0x100, 1, 1, &[]).extended(0x200, 2, 1, &[]).with(0x203, &[0x10]);
    with(circle, |cx, config| {
        assert_eq!(offsets(cx, config).len(), 48);
        assert_eq!(config.capability(cx, 0x11), Ok(None));
        assert_eq!(extended_offsets(cx, config).len(), 960);
        assert_eq!(config.extended_capability(cx, 3), Ok(None));
    });
    let itself =
        ConfigSpace::new().capability(0xFC, 1, &[]).with(0xFD, &[0xFC]).extended(0x100, 1, 1, &[]).with(0x103, &[0x10]);
    with(itself, |cx, config| {
        assert_eq!(offsets(cx, config), [0xFC; 48]);
        assert_eq!(extended_offsets(cx, config), [0x100; 960]);
    });
}

#[test]
fn a_pointer_that_is_misaligned_or_leads_into_the_header_does_no_harm() {
    let space = ConfigSpace::new().capability(0x40, 1, &[]).capability(0x50, 5, &[]);
    let space = space.extended(0x100, 1, 1, &[]).extended(0x200, 2, 1, &[]);
    // The two lowest bits are reserved. Behind them the list ends, in the header and before the extended ones.
    with(space.clone().with(0x34, &[0x43]).with(0x41, &[0x52]).with(0x51, &[0x3F]), |cx, config| {
        assert_eq!(offsets(cx, config), [0x40, 0x50]);
    });
    with(space.with(0x102, &[0x31, 0x20]).with(0x202, &[0xC1, 0x0F]), |cx, config| {
        assert_eq!(extended_offsets(cx, config), [0x100, 0x200], "0x203, and then 0x0FC");
    });
}

#[test]
fn what_capabilities_say_is_read() {
    let mut express = [0; 0x3A];
    express[0x02 - 2] = 0x02; // version 2, an endpoint
    express[0x0C - 2..][..2].copy_from_slice(&(16_u16 << 4 | 4).to_le_bytes());
    express[0x12 - 2..][..2].copy_from_slice(&(0x4000_u16 | 8 << 4 | 3).to_le_bytes());
    let space = ConfigSpace::new()
        .capability(0x40, capability::POWER_MANAGEMENT, &[0, 0, 0b10, 0x80])
        .capability(0x50, capability::MSI_X, &[0xFF, 0xC7, 0x04, 0x20, 0, 0, 0x03, 0x30, 0, 0])
        .capability(0x80, capability::PCI_EXPRESS, &express);
    let (integrated, sleeps) = (space.clone().with(0x82, &[0x92]), space.clone().with(0x44, &[0b11]));
    with(space, |cx, config| {
        let (current, max) = (LinkState { speed: 3, width: 8 }, LinkState { speed: 4, width: 16 });
        assert_eq!(config.link(cx), Ok(Some(PcieLink { current, max })));
        let (table, pba) = (MsixPlace { bar: 4, offset: 0x2000 }, MsixPlace { bar: 3, offset: 0x3000 });
        assert_eq!(config.msix(cx), Ok(Some(Msix { vectors: 2048, table, pba })));
        assert_eq!(config.power(cx), Ok(PowerState::D2));
    });
    with(integrated, |cx, config| assert_eq!(config.link(cx), Ok(None), "a part of the root complex has no link"));
    with(sleeps, |cx, config| assert_eq!(config.power(cx), Ok(PowerState::D3)));
}

#[test]
fn vital_product_data_is_read_from_any_byte_on() {
    let data: Vec<u8> = (1..=40).collect();
    with(ConfigSpace::new().vpd(VPD_AT, &data), move |cx, config| {
        for (at, len) in [(0, 40), (0, 0), (1, 1), (3, 2), (5, 30), (7, 1), (8, 8)] {
            let mut read = vec![0xEE; len];
            assert_eq!(config.vpd(cx, at, &mut read), Ok(()));
            assert_eq!(read, data[at.into()..][..len], "{len} bytes at {at}");
        }
        assert_eq!(config.vpd(cx, 0x7FFF, &mut [0]), Ok(()));
        for (at, len) in [(0x8000, 1), (0x7FFF, 2), (u16::MAX, 1)] {
            assert_eq!(config.vpd(cx, at, &mut vec![0; len]), Err(Status::BAD_VALUE.into()), "{len} bytes at {at:#x}");
        }
    });
}

#[test]
fn vital_product_data_that_never_comes_is_a_timeout() {
    // In a world time passes by itself, and exactly.
    kp_sim::explore(0..1, |_| {
        let card = |vpd_is_slow| Card { space: ConfigSpace::new().vpd(VPD_AT, &[1, 2, 3, 4]), vpd_is_slow };
        let ms = with_card(card(true), |cx, config| {
            assert_eq!(config.vpd(cx, 0, &mut [0; 64]), Err(Status::TIMEOUT.into()));
        });
        assert!((125..130).contains(&ms), "{ms} ms: the first word's");
        let then = with_card(card(false), |cx, config| config.vpd(cx, 0, &mut [0; 4]).unwrap());
        assert_eq!(then, ms, "one that answers takes no time");
    });
}
