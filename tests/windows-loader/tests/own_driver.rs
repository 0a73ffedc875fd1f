//! The driver for Windows, as it is shipped, in a kernel that plays Windows'.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
use kp_sim::device::{DeviceModel, Identity, IrqKind, Memory};
use kp_user::Enable;
use std::{error::Error, time::Duration};
use ticker::ticker as messages;
use windows_loader::{Assigned, Machine, build};

/// As much of the card as the test needs: it has ticked 42 times, and raises its line as soon as somebody listens.
#[derive(Default)]
struct Card {
    ticked: bool,
}

impl DeviceModel for Card {
    fn identity(&self) -> Identity {
        Identity { vendor: 0x1234, device: 0x5678 }
    }
    fn read(&mut self, _bar: usize, offset: u64, _width: u8, _: &mut dyn Memory) -> u64 {
        if offset == 0 { 42 } else { self.ticked.into() }
    }
    fn write(&mut self, _bar: usize, _offset: u64, _width: u8, _value: u64, _: &mut dyn Memory) {
        self.ticked = false; // ACKNOWLEDGE
    }
    fn vectors(&self, kind: IrqKind) -> u16 {
        (kind == IrqKind::Line).into()
    }
    fn select(&mut self, kind: Option<IrqKind>, _: u16) {
        self.ticked = kind.is_some();
    }
    fn line(&mut self) -> bool {
        self.ticked
    }
}

#[test]
#[ignore = "needs what `cargo kp build --target windows` needs"]
fn the_driver_for_windows_ticks_and_leaves_nothing() -> Result<(), Box<dyn Error>> {
    let machine = Machine::default();
    let driver = machine.start(&build("ticker")?)?;
    let device = machine.attach(Card::default(), &driver, Assigned::Line)?;

    let plugin = machine.connect("kp-ticker.0", messages::INTERFACE)?;
    assert_eq!(messages::Client(&plugin).ticks(), Ok(42));
    let interrupts = plugin.interrupts(Enable::any())?;
    assert_eq!(interrupts.wait(Duration::from_secs(10))?.got, 1);

    drop((interrupts, plugin));
    device.unplug()?;
    driver.unload()?;
    machine.finish(); // fails if the driver has left anything, and did if it had broken a rule
    Ok(())
}
