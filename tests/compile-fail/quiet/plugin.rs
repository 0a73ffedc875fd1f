//! A plugin with every callback.
#![no_std]
use kp_core::{
    Caller, Deliver, Device, Dispatch, Enabling, Event, Granted, Happening, Init, IntAtDpc, IntAtIrql, IntEnable, Irql,
    Open, Passive, Result, Source, Verdict, log, plugin,
};

kp_abi::interface! {
    /// The plugin's messages.
    pub mod messages, version 1 {
        fn add(a: u32, b: u32) -> u32 = 1;
        fn write(data: &[u8]) = 2;
        fn read() -> [u8] = 3;
        #[retired]
        fn old() = 4;
    }
}

/// The plugin.
#[derive(Debug)]
pub struct Full;

impl Init for Full {
    type Session = u32;
    type Interrupt = u32;
    fn init(_: &mut Passive, device: Device) -> Result<Self> {
        log!("up");
        log!("hardware: {}", device.has_hardware());
        Ok(Self)
    }
}
impl Open for Full {
    fn open(&self, _: &mut Passive, caller: &Caller, data: &[u8]) -> Result<u32> {
        let process = caller.process;
        log!("opened by {process}, with {} bytes", data.len(),);
        Ok(process)
    }
}
impl messages::Handler<Passive, u32> for Full {
    fn add(&self, _: &mut Passive, _: &u32, a: u32, b: u32) -> Result<u32> {
        Ok(a.wrapping_add(b))
    }
    fn write(&self, _: &mut Passive, _: &u32, data: &[u8]) -> Result<()> {
        log!("{:02x?}", data);
        Ok(())
    }
    fn read(&self, _: &mut Passive, _: &u32, out: &mut kp_abi::Out<'_, '_, u8>) -> Result<()> {
        out.extend(&[1, 2, 3])
    }
}
impl IntEnable for Full {
    fn int_enable(&self, _: &mut Passive, enabling: Enabling<'_, Self>) -> Result<u32> {
        Ok(enabling.count)
    }
    fn int_arm(&self, _: &mut Passive, _: &u32, _: Granted) -> Result<()> {
        Ok(())
    }
}
impl IntAtIrql for Full {
    fn int_at_irql(&self, _: &mut Irql, _: &u32, _: Source) -> Verdict {
        Verdict::DEFER
    }
}
impl IntAtDpc for Full {
    fn int_at_dpc(&self, _: &mut Dispatch, _: &u32, _: Source, count: u32) -> u32 {
        count
    }
}
impl Event for Full {
    fn event(&self, _: &mut Passive, happening: Happening) -> Deliver {
        if happening == Happening::Resume {
            log!("awake");
        }
        Deliver::ToApp
    }
}

plugin! {
    Full {
        name: "full",
        devices: [0x1234:0x11e8, 0x10ee:0x7024 sub 0x10ee:0x0007, class 0x0108, class 0x010802],
        vectors: 1..=8,
        interrupt: own,
        interface: messages,
        callbacks: [Open, IntEnable, IntAtIrql, IntAtDpc, Event],
    }
}
