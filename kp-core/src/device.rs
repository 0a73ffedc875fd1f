//! The device that a plugin was bound to, as `init` has it.
use crate::{
    Bar, Config, Error, Passive, RegisterMap, Result, Status,
    host::{BarIndex, DeviceId, IoMapping, Link, LogLine, kernel},
    regs::map_len,
};
use core::{marker::PhantomData, mem};

/// The device that a plugin was bound to. A plugin that drives none gets one without hardware.
pub struct Device {
    /// The port's name for it, if there is hardware.
    id: Option<DeviceId>,
    /// Length of each memory BAR, in bytes.
    bars: [Option<usize>; 6],
    /// None: no hardware.
    link: Option<Link>,
    /// Which were mapped, one bit per BAR.
    mapped: u8,
    /// The log has the memory BARs already.
    has_told_bars: bool,
    _init: OnlyInInit,
}

/// Of what is not to be kept, as the port's name for a device ends with its removal. The compiler names it to those who try.
struct OnlyInInit(PhantomData<*mut ()>);

impl Device {
    pub(crate) fn new(id: Option<DeviceId>, bars: [Option<usize>; 6], link: Option<Link>) -> Self {
        Self { id, bars, link, mapped: 0, has_told_bars: false, _init: OnlyInInit(PhantomData) }
    }

    /// Is there a device?
    pub fn has_hardware(&self) -> bool {
        self.link.is_some()
    }

    /// Maps the registers `M` of BAR `index`, for as long as the answer lives. A BAR is mapped once.
    ///
    /// Errors: `WRONG_DEVICE` without such a memory BAR, `BAR_TOO_SHORT` if the registers do not fit, both with a line in the log that says
    /// what there is; `BUSY` the second time, `NO_MEMORY`.
    pub fn map<M: RegisterMap>(&mut self, _cx: &mut Passive, index: usize) -> Result<Bar<M>> {
        // What a kernel makes of a mapping of no bytes is its own affair.
        const { assert!(M::LEN > 0, "a register map has at least one byte") }
        let len = self.bars.get(index).copied().flatten().ok_or_else(|| self.no_memory_bar(index))?;
        if len < M::LEN {
            return Err(too_short(index, len, M::LEN));
        }
        let bit = 1 << index;
        if self.mapped & bit != 0 {
            return Err(Status::BUSY.into());
        }
        let (id, bar) = self.id.zip(BarIndex::new(index)).ok_or(Status::WRONG_DEVICE)?;
        let IoMapping { base, .. } = kernel::map_bar(id, bar, map_len::<M>()).ok_or(Status::NO_MEMORY)?;
        self.mapped |= bit;
        // SAFETY: just mapped, from the BAR's beginning, which is at a multiple of any register's width.
        Ok(unsafe { Bar::new(base) })
    }

    /// Says in the log what memory BARs there are, once: a plugin may look for several. The error for one that is not among them.
    #[cfg_attr(kp_driver, optimize(size), cold, inline(never))]
    fn no_memory_bar(&mut self, index: usize) -> Error {
        if self.has_hardware() && !mem::replace(&mut self.has_told_bars, true) {
            let mut line = LogLine::<LINE>::new();
            line.push("BAR ");
            line.push_number(number(index));
            line.push(" is port I/O, or not there; memory BARs:");
            if self.bars.iter().all(Option::is_none) {
                line.push(" none");
            }
            for (bar, _) in (0..).zip(&self.bars).filter(|(_, len)| len.is_some()) {
                line.push(" ");
                line.push_number(bar);
            }
            kernel::log(line.text());
        }
        Status::WRONG_DEVICE.into()
    }

    /// Its configuration space, which may be kept. Errors: `WRONG_DEVICE` without hardware.
    pub fn config(&self) -> Result<Config> {
        let link = self.link.clone().ok_or(Status::WRONG_DEVICE)?;
        Ok(Config { link })
    }

    /// Lets the device start transfers of its own, or stops it, as [`Config::bus_master`]. Errors: `WRONG_DEVICE` without hardware.
    pub fn bus_master(&mut self, cx: &mut Passive, on: bool) -> Result<()> {
        self.link.as_ref().ok_or(Status::WRONG_DEVICE)?.bus_master(cx, on)
    }
}

/// Longest line about a BAR, in bytes.
const LINE: usize = 96;

/// Says in the log how long a BAR is, and its register map. The error for it.
#[cfg_attr(kp_driver, optimize(size), cold, inline(never))]
fn too_short(index: usize, len: usize, wanted: usize) -> Error {
    let mut line = LogLine::<LINE>::new();
    line.push("BAR ");
    line.push_number(number(index));
    line.push(" has ");
    line.push_number(number(len));
    line.push(" bytes, and its register map ");
    line.push_number(number(wanted));
    kernel::log(line.text());
    Status::BAR_TOO_SHORT.into()
}

/// As the log writes numbers.
fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
