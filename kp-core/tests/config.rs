//! Configuration space and bus mastering that a plugin keeps: they reach the device until it is removed, and nothing after that.
use kp_core::*;
use kp_sim::{
    Sim,
    device::{DeviceModel, Identity},
};
use leaver::{LEFT, Leaver};

kp_abi::interface! {
    mod keeper, version 1 {
        /// The vendor's and the device's number.
        fn identity() -> u32 = 1;
        /// Lets the device start transfers, or not.
        fn master(on: bool) = 2;
        /// The status of a read at `offset`, and of a write there.
        fn statuses(offset: u16) -> u64 = 3;
    }
}

/// A device that knows whether it may start transfers.
#[derive(Default)]
struct Card {
    is_master: bool,
}

impl DeviceModel for Card {
    fn identity(&self) -> Identity {
        Identity { vendor: 0x1234, device: 0x11e8 }
    }
    fn bus_master(&mut self, on: bool) {
        self.is_master = on;
    }
}

struct Keeper(Config);

impl Init for Keeper {
    type Session = ();
    type Interrupt = ();
    fn init(_: &mut Passive, device: Device) -> Result<Self> {
        device.config().map(Keeper)
    }
}

impl keeper::Handler<Passive> for Keeper {
    fn identity(&self, cx: &mut Passive, (): &()) -> Result<u32> {
        self.0.read32(cx, 0)
    }
    #[expect(deprecated, reason = "it still does what it did")]
    fn master(&self, cx: &mut Passive, (): &(), on: bool) -> Result<()> {
        self.0.bus_master(cx, on)
    }
    fn statuses(&self, cx: &mut Passive, (): &(), offset: u16) -> Result<u64> {
        let status = |result: Result<()>| result.map_or_else(|error| error.status, |()| Status::OK).0;
        let read = status(self.0.read32(cx, offset).map(|_| ()));
        Ok(u64::from(read) << 32 | u64::from(status(self.0.write32(cx, offset, 0))))
    }
}

impl Event for Keeper {
    fn event(&self, cx: &mut Passive, happening: Happening) -> Deliver {
        log!("{happening:?}: {}", said(self.0.read32(cx, 0)));
        Deliver::Swallow
    }
}

fn said(read: Result<u32>) -> &'static str {
    read.map_or_else(|error| error.status.name(), |_| "Ok")
}

plugin! { Keeper { name: "keeper", devices: [0x1234:0x11e8], interface: keeper, callbacks: [Event] } }

#[test]
fn a_call_reaches_configuration_space_and_bus_mastering() {
    let sim = Sim::<Keeper>::with(Card::default()).unwrap();
    let plugin = sim.connect(keeper::INTERFACE).unwrap();
    let client = keeper::Client(&plugin);
    assert_eq!(client.identity(), Ok(0x11e8_1234));
    for on in [true, false, true] {
        client.master(on).unwrap();
        assert_eq!(sim.device(|card: &mut Card| card.is_master), on);
    }
    drop(plugin);
    sim.unload().unwrap();
}

#[test]
fn a_bad_offset_is_refused() {
    let sim = Sim::<Keeper>::with(Card::default()).unwrap();
    let plugin = sim.connect(keeper::INTERFACE).unwrap();
    let statuses = |offset| {
        let both = keeper::Client(&plugin).statuses(offset).unwrap();
        (Status((both >> 32) as u32), Status(both as u32))
    };
    for offset in [0, 60] {
        assert_eq!(statuses(offset), (Status::OK, Status::BAD_VALUE), "the kernel writes {offset}");
    }
    for offset in [64, 4092] {
        assert_eq!(statuses(offset), (Status::OK, Status::OK), "{offset}");
    }
    for offset in [1, 66, 4096, u16::MAX] {
        assert_eq!(statuses(offset), (Status::BAD_VALUE, Status::BAD_VALUE), "{offset}");
    }
}

#[test]
fn a_device_that_is_there_is_reached_when_its_removal_begins() {
    let sim = Sim::<Keeper>::with(Card::default()).unwrap();
    sim.remove(true);
    assert_eq!(sim.log(), ["Removing: Ok"]);
}

#[test]
fn a_device_that_was_pulled_out_is_not_reached() {
    let sim = Sim::<Keeper>::with(Card::default()).unwrap();
    sim.remove(false);
    assert_eq!(sim.log(), ["Removing: DeviceGone"]);
}

#[test]
fn a_plugin_without_a_device_has_none() {
    assert_eq!(Sim::<Keeper>::new().err(), Some(Status::WRONG_DEVICE.into()));
}

/// Leaves its device's configuration space where it outlives the device.
mod leaver {
    use kp_core::*;
    use std::sync::Mutex;

    pub struct Leaver;

    pub static LEFT: Mutex<Option<Config>> = Mutex::new(None);

    impl Init for Leaver {
        type Session = ();
        type Interrupt = ();
        fn init(_: &mut Passive, device: Device) -> Result<Self> {
            *LEFT.lock().unwrap() = Some(device.config()?);
            Ok(Leaver)
        }
    }

    plugin! { Leaver { name: "leaver", devices: [0x1234:0x11e8], callbacks: [] } }
}

/// What a read says by the configuration space that was left.
fn left(sim: &Sim<Leaver>) -> Result<u32> {
    let left = LEFT.lock().unwrap();
    sim.enter(|cx| left.as_ref().expect("init has left it").read32(cx, 0))
}

#[test]
fn what_a_plugin_has_left_of_its_device_reaches_it_as_long_as_it_is_bound() {
    let sim = Sim::<Leaver>::with(Card::default()).unwrap();
    assert_eq!(left(&sim), Ok(0x11e8_1234));
    sim.remove(true);
    assert_eq!(left(&sim), Err(Status::DEVICE_GONE.into()));
    *LEFT.lock().unwrap() = None;
}
