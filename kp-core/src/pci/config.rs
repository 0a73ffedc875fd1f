//! A device's configuration space, and its bus mastering.
use super::registers::{HEADER, Registers, SIZE};
use crate::{
    Passive, Result, Status,
    host::{ConfigWidth, Link},
};

/// A device's configuration space, which a plugin may keep. Of [`Device::config`](crate::Device::config).
///
/// Errors of all it does: `DEVICE_GONE` once the device is removed; from the beginning of the removal on if it was pulled out.
pub struct Config {
    pub(crate) link: Link,
}

macro_rules! access {
    ($($read:ident $write:ident $type:ty, $width:ident;)*) => { $(
        /// Reads at `offset`, in bytes. Passive.
        ///
        /// Errors: `BAD_VALUE` if the offset is misaligned or beyond 4095.
        pub fn $read(&self, cx: &mut Passive, offset: u16) -> Result<$type> {
            let width = check(offset, ConfigWidth::$width, 0)?;
            Ok(self.link.config_read(cx, offset.into(), width)? as $type)
        }

        /// Writes at `offset`, in bytes. Passive.
        ///
        /// Errors: as for reading; `BAD_VALUE` also for the first 64 bytes, which are the kernel's: they say where the BARs
        /// are.
        pub fn $write(&self, cx: &mut Passive, offset: u16, value: $type) -> Result<()> {
            let width = check(offset, ConfigWidth::$width, HEADER)?; // the kernel's bytes
            self.link.config_write(cx, offset.into(), width, value.into())
        }
    )* };
}

impl Config {
    access! {
        read8 write8 u8, Byte;
        read16 write16 u16, Word;
        read32 write32 u32, Dword;
    }

    /// Lets the device start transfers of its own, or stops it. Passive. Messages (MSI, MSI-X) do without: while an interrupt of that kind is
    /// enabled the port sees to it, whatever is said here.
    /// Switching it off waits for nothing that is under way.
    #[deprecated = "`Dma::enable`, and `Dma::halt`, which waits until the device has stopped"]
    pub fn bus_master(&self, cx: &mut Passive, on: bool) -> Result<()> {
        self.link.bus_master(cx, on)
    }

    /// Runs `f` with the registers. Nobody else accesses them through a `Config` meanwhile.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn locked<R>(
        &self,
        cx: &mut Passive,
        f: impl FnOnce(&mut Passive, Registers) -> Result<R>,
    ) -> Result<R> {
        self.link.locked(cx, |cx, id| f(cx, Registers(id)))
    }
}

/// Checks an access of this width, and gives the width back.
fn check(offset: u16, width: ConfigWidth, lowest: u16) -> Result<ConfigWidth> {
    let aligned = u32::from(offset).is_multiple_of(width.bytes());
    if aligned && (lowest..SIZE).contains(&offset) { Ok(width) } else { Err(Status::BAD_VALUE.into()) }
}
