//! The device that a plugin was bound to, as `init` has it.
use crate::{
    Bar, Config, Dma, DmaLimits, Error, KVec, Passive, Ports, RegisterMap, Result, Status, Vectors, Window,
    host::{BarIndex, BarKind, Caching, DeviceId, IoMapping, Link, LogLine, RawBar, Scheduled, kernel, unlisted},
    regs::map_len,
};
use core::{marker::PhantomData, mem, num::NonZeroUsize, ops::Range};
use kp_abi::ring::PAGE;

/// The device that a plugin was bound to. A plugin that drives none gets one without hardware.
pub struct Device {
    /// The port's name for it, if there is hardware.
    id: Option<DeviceId>,
    bars: [Option<RawBar>; 6],
    /// None: no hardware.
    link: Option<Link>,
    /// None: the plugin has no callbacks for timers and work items.
    scheduled: Option<Scheduled>,
    mapped: KVec<Part>,
    /// The plugin has said what the device reaches.
    has_dma: bool,
    /// The log has the BARs already.
    has_told_bars: bool,
    _init: OnlyInInit,
}

/// A part of a BAR that was mapped.
struct Part {
    index: usize,
    range: Range<usize>,
}

/// Of what is not to be kept, as the port's name for a device ends with its removal. The compiler names it to those who try.
struct OnlyInInit(PhantomData<*mut ()>);

impl Device {
    pub(crate) fn new(
        id: Option<DeviceId>,
        bars: [Option<RawBar>; 6],
        link: Option<Link>,
        scheduled: Option<Scheduled>,
    ) -> Self {
        let (mapped, _init) = (KVec::new(), OnlyInInit(PhantomData));
        Self { id, bars, link, scheduled, mapped, has_dma: false, has_told_bars: false, _init }
    }

    /// Where its timers and work items are made. Errors: `BAD_VALUE`: the plugin has no callback for them.
    pub(crate) fn scheduled(&self, callback: &str) -> Result<Scheduled> {
        self.scheduled.clone().ok_or_else(|| unlisted(callback))
    }

    /// Is there a device?
    pub fn has_hardware(&self) -> bool {
        self.link.is_some()
    }

    /// Maps the registers `M` at the beginning of memory BAR `index`, for as long as the answer lives. What is mapped once is not mapped
    /// again.
    ///
    /// Errors: `WRONG_DEVICE` without such a memory BAR, `BAR_TOO_SHORT` if the registers do not fit, both with a line in the log that says
    /// what there is; `BUSY` if a part of them is mapped already, `NO_MEMORY`.
    pub fn map<M: RegisterMap>(&mut self, cx: &mut Passive, index: usize) -> Result<Bar<M>> {
        const { has_registers::<M>() }
        self.map_registers(cx, index, 0)
    }

    /// As [`map`](Self::map), from `offset` on, in bytes. Errors: `BAD_VALUE` also, for an offset at which the widest of the registers would
    /// not be aligned.
    pub fn map_at<M: RegisterMap>(&mut self, cx: &mut Passive, index: usize, offset: usize) -> Result<Bar<M>> {
        const { has_registers::<M>() }
        self.map_registers(cx, index, offset)
    }

    fn map_registers<M: RegisterMap>(&mut self, cx: &mut Passive, index: usize, offset: usize) -> Result<Bar<M>> {
        self.map_memory(cx, index, offset, map_len::<M>(), M::ALIGN, Caching::Uncached).map(|base| {
            // SAFETY: a new mapping of this length. A BAR is aligned for every width, and the offset is a multiple of `M::ALIGN`.
            unsafe { Bar::new(base) }
        })
    }

    /// Maps the registers `M` at the beginning of port BAR `index`. Only x86 has ports.
    ///
    /// Errors: `WRONG_DEVICE` without such a port BAR, else as [`map`](Self::map).
    pub fn map_ports<M: RegisterMap>(&mut self, cx: &mut Passive, index: usize) -> Result<Bar<M, Ports>> {
        const { has_registers::<M>() }
        let Some(RawBar { len, kind: BarKind::Ports(first) }) = self.bar(index) else {
            return Err(self.no_bar("no port BAR ", index));
        };
        self.claim(cx, index, len, 0..M::LEN)?;
        // SAFETY: the ports are the device's, and the part is this mapping's from now on. A BAR is aligned for every width.
        Ok(unsafe { Bar::new(first) })
    }

    /// Maps a range of bytes of memory BAR `index`, to be accessed at offsets that are known only at run time.
    ///
    /// Errors: those of [`map`](Self::map); `BAD_VALUE` for an empty range, one that begins at no multiple of 8, and with
    /// [`Caching::WriteCombining`] for one that is not whole pages of 4096 bytes or whose BAR is not prefetchable.
    pub fn window(&mut self, cx: &mut Passive, index: usize, range: Range<usize>, caching: Caching) -> Result<Window> {
        let len = range.len().try_into().map_err(|_| Status::BAD_VALUE)?;
        let base = self.map_memory(cx, index, range.start, len, 8, caching)?;
        // SAFETY: a new mapping of this length, at a multiple of 8.
        Ok(unsafe { Window::new(base, len) })
    }

    /// Length of BAR `index` in bytes; None: the device has no such BAR.
    pub fn bar_len(&self, index: usize) -> Option<usize> {
        self.bar(index).map(|bar| bar.len)
    }

    fn bar(&self, index: usize) -> Option<RawBar> {
        self.bars.get(index).copied().flatten()
    }

    /// Address of a new mapping of `len` bytes of a memory BAR from `offset` on, which is to be a multiple of `align`.
    #[cfg_attr(kp_driver, optimize(size))]
    fn map_memory(
        &mut self,
        cx: &mut Passive,
        index: usize,
        offset: usize,
        len: NonZeroUsize,
        align: usize,
        caching: Caching,
    ) -> Result<NonZeroUsize> {
        let bar = self.bar(index).filter(|bar| !matches!(bar.kind, BarKind::Ports(_)));
        let (Some(bar), Some((id, number))) = (bar, self.id.zip(BarIndex::new(index))) else {
            return Err(self.no_bar("no memory BAR ", index));
        };
        let is_whole = offset.is_multiple_of(PAGE) && len.get().is_multiple_of(PAGE);
        let may_combine = is_whole && bar.kind == BarKind::Prefetchable;
        if !offset.is_multiple_of(align) || caching == Caching::WriteCombining && !may_combine {
            return Err(Status::BAD_VALUE.into());
        }
        let end = offset.checked_add(len.get()).ok_or(Status::BAR_TOO_SHORT)?;
        self.claim(cx, index, bar.len, offset..end)?;
        let mapping = kernel::map_bar(id, number, offset, len, caching);
        if mapping.is_none() {
            self.mapped.pop(); // it may be tried again
        }
        mapping.map(|IoMapping { base, .. }| base).ok_or(Status::NO_MEMORY.into())
    }

    /// Notes a part of a BAR of `len` bytes, which is about to be mapped.
    #[cfg_attr(kp_driver, optimize(size))]
    fn claim(&mut self, cx: &mut Passive, index: usize, len: usize, range: Range<usize>) -> Result<()> {
        if range.end > len {
            return Err(too_short(index, len, range.end));
        }
        let overlaps =
            |part: &Part| part.index == index && part.range.start < range.end && range.start < part.range.end;
        if self.mapped.iter().any(overlaps) {
            return Err(Status::BUSY.into());
        }
        self.mapped.push(cx, Part { index, range })
    }

    /// Says in the log what BARs there are, once: a plugin may look for several. The error for one that is not among them.
    #[cfg_attr(kp_driver, optimize(size), cold, inline(never))]
    fn no_bar(&mut self, what: &str, index: usize) -> Error {
        if self.has_hardware() && !mem::replace(&mut self.has_told_bars, true) {
            let mut line = LogLine::<LINE>::new();
            line.push(what);
            line.push_number(number(index));
            self.list(&mut line, "; of memory:", |kind| !matches!(kind, BarKind::Ports(_)));
            self.list(&mut line, "; of ports:", |kind| matches!(kind, BarKind::Ports(_)));
            kernel::log(line.text());
        }
        Status::WRONG_DEVICE.into()
    }

    /// The numbers of the BARs of some kinds.
    #[cfg_attr(kp_driver, optimize(size))]
    fn list(&self, line: &mut LogLine<LINE>, head: &str, wanted: impl Fn(BarKind) -> bool) {
        line.push(head);
        let mut has_one = false;
        for (bar, _) in (0..).zip(&self.bars).filter(|(_, bar)| bar.is_some_and(|bar| wanted(bar.kind))) {
            line.push(if has_one { ", BAR " } else { " BAR " });
            line.push_number(bar);
            has_one = true;
        }
        if !has_one {
            line.push(" none");
        }
    }

    /// Its configuration space, which may be kept. Errors: `WRONG_DEVICE` without hardware.
    pub fn config(&self) -> Result<Config> {
        let link = self.link.clone().ok_or(Status::WRONG_DEVICE)?;
        Ok(Config { link })
    }

    /// Its interrupt's vectors, one by one, which may be kept. Errors: `WRONG_DEVICE` without hardware.
    pub fn vectors(&self) -> Result<Vectors> {
        let link = self.link.clone().ok_or(Status::WRONG_DEVICE)?;
        Ok(Vectors { link })
    }

    /// The device's own transfers, within what it reaches, which is said once. The device may transfer only from [`Dma::enable`] on,
    /// and while messages (MSI, MSI-X) are enabled, which are transfers too.
    ///
    /// Errors: `WRONG_DEVICE` without hardware, `BUSY` the second time, `NO_DMA` if it reaches no memory of this machine.
    pub fn dma(&mut self, cx: &mut Passive, limits: DmaLimits) -> Result<Dma> {
        let link = self.link.as_ref().ok_or(Status::WRONG_DEVICE)?;
        if self.has_dma {
            return Err(Status::BUSY.into());
        }
        let id = link.open_dma(cx, &limits)?;
        self.has_dma = true;
        Ok(Dma::new(link.clone(), id, limits))
    }

    /// Lets the device start transfers of its own, or stops it, as [`Config::bus_master`]. Errors: `WRONG_DEVICE` without hardware.
    #[deprecated = "`Device::dma` in `init`, and `Dma::enable`"]
    pub fn bus_master(&mut self, cx: &mut Passive, on: bool) -> Result<()> {
        self.link.as_ref().ok_or(Status::WRONG_DEVICE)?.bus_master(cx, on)
    }
}

/// What a kernel makes of a mapping of no bytes is its own affair.
const fn has_registers<M: RegisterMap>() {
    assert!(M::LEN > 0, "a register map has at least one byte")
}

/// Longest line about a BAR, in bytes.
const LINE: usize = 96;

/// Says in the log how long a BAR is, and where its register map ends. The error for it.
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
