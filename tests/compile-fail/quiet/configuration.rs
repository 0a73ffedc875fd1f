//! What a plugin keeps of its device: configuration space and vectors.
#![no_std]
use kp_core::{
    Config, Device, Dispatch, Init, Passive, Result, SpinLock, Status, Vectors, log,
    pci::{LinkState, Msix, PcieLink, PowerState, capability, extended_capability},
    plugin,
};

/// The plugin.
pub struct Keeps {
    config: Config,
    vectors: Vectors,
    lock: SpinLock<(), Dispatch>,
}

impl Init for Keeps {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, device: Device) -> Result<Self> {
        let (config, vectors) = (device.config()?, device.vectors()?);
        if config.power(cx)? != PowerState::D0 {
            return Err(Status::WRONG_DEVICE.into());
        }
        config.reset(cx)?;
        Ok(Self { config, vectors, lock: SpinLock::new(cx, ())? })
    }
}

impl Keeps {
    /// What the device says.
    ///
    /// # Errors
    /// It is gone.
    pub fn shown(&self, cx: &mut Passive) -> Result<u32> {
        let mut list = self.config.capabilities();
        while let Some(found) = list.next(cx)? {
            if found.id == capability::VENDOR_SPECIFIC {
                log!("{} bytes at {:#x}", self.config.read8(cx, found.offset + 2)?, found.offset);
            }
        }
        let mut list = self.config.extended_capabilities();
        while let Some(found) = list.next(cx)? {
            log!("{:#x}, version {}", found.id, found.version);
        }
        if let Some(PcieLink { current: LinkState { speed, width }, max }) = self.config.link(cx)? {
            log!("x{width} of generation {speed}; at most x{}", max.width);
        }
        let mut serial = [0; 16];
        self.config.vpd(cx, 0, &mut serial)?;
        match (self.config.msix(cx)?, self.config.extended_capability(cx, extended_capability::AER)?) {
            (Some(Msix { vectors, table, pba }), Some(at)) => {
                Ok(u32::from(vectors) + table.offset + pba.offset + u32::from(at))
            }
            _ => Ok(self.config.capability(cx, capability::MSI)?.map_or(0, u32::from)),
        }
    }

    /// A vector waits until something is done.
    ///
    /// # Errors
    /// There is no such vector.
    pub fn masked(&self, cx: &mut Passive, n: u32) -> Result<()> {
        self.vectors.hint(cx, n, 1)?;
        self.vectors.mask(cx, n)?;
        self.lock.with(cx, |(), cx| self.vectors.unmask(cx, n))
    }
}

plugin! { Keeps { name: "keeps", devices: [0x1234:0x11e8], callbacks: [] } }
