//! The ticker on a model of its card, in the simulator.
#![forbid(unsafe_code)]

use kp_sim::Sim;
use kp_sim::device::{DeviceModel, Identity, IrqKind, Memory};
use kp_user::Enable;
use std::time::Duration;
use ticker::{Ticker, ticker as messages};

#[derive(Default)]
struct Card {
    ticks: u32,
    ticked: bool,
    listened_to: bool,
}

impl DeviceModel for Card {
    fn identity(&self) -> Identity {
        Identity { vendor: 0x1234, device: 0x5678 }
    }
    fn read(&mut self, _: usize, offset: u64, _: u8, _: &mut dyn Memory) -> u64 {
        match offset {
            0 => self.ticks.into(),
            4 => self.ticked.into(),
            _ => u64::MAX,
        }
    }
    fn write(&mut self, _: usize, offset: u64, _: u8, _: u64, _: &mut dyn Memory) {
        self.ticked &= offset != 8; // ACKNOWLEDGE
    }
    fn vectors(&self, kind: IrqKind) -> u16 {
        (kind == IrqKind::Line).into()
    }
    fn select(&mut self, kind: Option<IrqKind>, _: u16) {
        self.listened_to = kind == Some(IrqKind::Line);
    }
    fn line(&mut self) -> bool {
        self.listened_to && self.ticked
    }
    fn reset(&mut self) {
        *self = Self::default();
    }
}

#[test]
fn a_tick_wakes_the_app_that_waits() {
    let sim = Sim::<Ticker>::with(Card::default()).unwrap();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    let interrupts = plugin.interrupts(Enable::any()).unwrap();
    sim.device(|card: &mut Card| {
        card.ticks += 1;
        card.ticked = true;
    });
    assert_eq!(interrupts.wait(Duration::from_secs(1)).unwrap().got, 1);
    assert_eq!(messages::Client(&plugin).ticks(), Ok(1));
}
