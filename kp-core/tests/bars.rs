//! Registers are mapped only where they are: what does not fit is refused with its own status, and changes nothing.
use kp_core::*;
use kp_sim::{Sim, edu::Edu};

/// As long as edu's BAR 0 is, which has 1 MiB.
mod fits {
    use super::*;
    registers! {
        pub mod regs[0x10_0000] {
            0x00 ID: u32, RO;
            0xF_FFFC LAST: u32, RO;
        }
    }
}

/// Longer, if only by one register.
mod beyond {
    use super::*;
    registers! {
        pub mod regs[0x10_0004] {
            0x00 ID: u32, RO;
        }
    }
}

/// Tries what `init` can, and logs each answer.
struct Tries {
    bar: Option<Bar<fits::regs::Map>>,
}

impl Init for Tries {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
        let log =
            |what: &str, error: Option<Error>| log!("{what}: {}", error.map_or("Ok", |error| error.status.name()));
        log("too long", device.map::<beyond::regs::Map>(cx, 0).err());
        log("no such BAR", device.map::<fits::regs::Map>(cx, 1).err());
        log("no BAR at all", device.map::<fits::regs::Map>(cx, 6).err());
        let bar = device.map::<fits::regs::Map>(cx, 0);
        log("fits", bar.as_ref().err().copied());
        log("too long, again", device.map::<beyond::regs::Map>(cx, 0).err());
        log("twice", device.map::<fits::regs::Map>(cx, 0).err());
        Ok(Tries { bar: bar.ok() })
    }
}

impl Drop for Tries {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            log!("identification {:#010x}", bar.read(fits::regs::ID));
        }
    }
}

plugin! { Tries { name: "tries", devices: [0x1234:0x11e8], callbacks: [] } }

#[test]
fn what_does_not_fit_is_refused_with_its_own_status() {
    let sim = Sim::<Tries>::with(Edu::new()).unwrap();
    assert_eq!(sim.live().mappings, 1, "what was refused is not mapped");
    sim.unload().unwrap();
    assert_eq!(
        sim.log(),
        [
            "BAR 0 has 1048576 bytes, and its register map 1048580",
            "too long: BarTooShort",
            "no memory BAR 1; of memory: BAR 0; of ports: none",
            "no such BAR: WrongDevice",
            "no BAR at all: WrongDevice",
            "fits: Ok",
            "BAR 0 has 1048576 bytes, and its register map 1048580",
            "too long, again: BarTooShort",
            "twice: Busy",
            "identification 0x010000ed",
        ]
    );
    let sim = Sim::<Tries>::new().unwrap();
    assert_eq!(sim.live().mappings, 0);
    let log = sim.log();
    let answers = log.iter().filter(|line| !line.starts_with("identification"));
    assert!(answers.clone().count() == 6 && answers.clone().all(|line| line.ends_with("WrongDevice")), "{log:?}");
}

/// Its registers are more than its device has.
mod greedy {
    use super::*;
    pub struct Greedy;

    impl Init for Greedy {
        type Session = ();
        type Interrupt = ();
        fn init(cx: &mut Passive, mut device: Device) -> Result<Self> {
            device.map::<beyond::regs::Map>(cx, 0)?;
            Ok(Greedy)
        }
    }

    plugin! { Greedy { name: "greedy", devices: [0x1234:0x11e8], callbacks: [] } }
}

#[test]
fn a_plugin_whose_registers_do_not_fit_refuses_the_device() {
    // The simulator itself checks that nothing is left.
    assert_eq!(Sim::<greedy::Greedy>::with(Edu::new()).err(), Some(Status::BAR_TOO_SHORT.into()));
}
