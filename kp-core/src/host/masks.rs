//! Which vectors of an enabled interrupt its plugin masks. The port is called under the lock, and only while the interrupt is connected: it is
//! told of each vector in turn, and of none when nothing is connected any more.
#![deny(unsafe_code)]
use super::{DeviceId, PreparedVectors, kernel};
use crate::{AtMost, Dispatch, IrqKind, Passive, Result, SpinLock, Status};
use kp_abi::limits::MAX_VECTORS;

/// See the module.
pub(crate) struct Masks {
    device: DeviceId,
    state: SpinLock<State, Dispatch>,
}

/// Of one enabling.
struct State {
    /// It has begun, and has not ended.
    is_enabled: bool,
    /// The port can be called.
    is_connected: bool,
    /// None before it has vectors.
    kind: Option<IrqKind>,
    /// How many vectors can be masked; 0 before it has any.
    count: u32,
    /// A bit for each: it is masked, or is to be as soon as it is connected.
    masked: [u64; MAX_VECTORS as usize / 64],
}

const NONE: State =
    State { is_enabled: false, is_connected: false, kind: None, count: 0, masked: [0; MAX_VECTORS as usize / 64] };

impl State {
    /// The word that has a vector's bit, and the bit. Errors: `NOT_ENABLED`, `BAD_VECTOR`.
    fn bit(&mut self, vector: u32) -> Result<(&mut u64, u64)> {
        if self.count == 0 {
            return Err(Status::NOT_ENABLED.into());
        }
        let word = self.masked.get_mut(vector as usize / 64).filter(|_| vector < self.count);
        Ok((word.ok_or(Status::BAD_VECTOR)?, 1 << (vector % 64)))
    }

    /// Has the port mask each vector that is to be, or unmask them.
    #[cfg_attr(kp_driver, optimize(size))]
    fn apply(&mut self, device: DeviceId, mask: bool) {
        for vector in 0..self.count {
            if let Ok((word, bit)) = self.bit(vector)
                && *word & bit != 0
                && !(kernel::irq_mask_vector(device, vector, mask) && mask)
            {
                *word &= !bit; // it is not masked
            }
        }
    }
}

impl Masks {
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn new(cx: &mut Passive, device: DeviceId) -> Result<Self> {
        Ok(Self { device, state: SpinLock::new(cx, NONE)? })
    }

    /// An enabling begins.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn begin(&self, cx: &mut Passive) {
        self.state.with(cx, |state, _| state.is_enabled = true);
    }

    /// It has these vectors. What is masked from now on is so as soon as they are connected.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn prepared(&self, cx: &mut Passive, vectors: &PreparedVectors) {
        self.state.with(cx, |state, _| (state.kind, state.count) = (Some(vectors.kind), vectors.count));
    }

    /// They are connected.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn connected(&self, cx: &mut Passive) {
        self.state.with(cx, |state, _| {
            state.is_connected = true;
            state.apply(self.device, true);
        });
    }

    /// They are about to be disconnected: what was masked is not any more, so that nothing is left of it.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn disconnecting(&self, cx: &mut Passive) {
        self.state.with(cx, |state, _| {
            state.apply(self.device, false);
            (state.is_connected, state.count) = (false, 0);
        });
    }

    /// The enabling has ended.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn end(&self, cx: &mut Passive) {
        self.state.with(cx, |state, _| *state = NONE);
    }

    /// Is the interrupt enabled, or about to be, or not disabled as a whole yet?
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn is_enabled(&self, cx: &mut Passive) -> bool {
        self.state.with(cx, |state, _| state.is_enabled)
    }

    /// Does the interrupt come by messages, which are transfers of the device's, or may it yet?
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn has_messages(&self, cx: &mut Passive) -> bool {
        self.state.with(cx, |state, _| state.is_enabled && state.kind != Some(IrqKind::Line))
    }

    /// Masks a vector, or unmasks it. Errors: `NOT_ENABLED`, `BAD_VECTOR`, `NO_INTERRUPT`, `POISONED`.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn mask(&self, cx: &mut impl AtMost<Dispatch>, vector: u32, mask: bool) -> Result<()> {
        self.state.with(cx, |state, _| {
            if kernel::poisoned() {
                return Err(Status::POISONED.into()); // it may be disconnected without us
            }
            let (kind, is_connected) = (state.kind, state.is_connected);
            let (word, bit) = state.bit(vector)?;
            let is_masked = *word & bit != 0;
            let can = kind == Some(IrqKind::MsiX);
            if !can || is_masked != mask && is_connected && !kernel::irq_mask_vector(self.device, vector, mask) {
                return Err(Status::NO_INTERRUPT.into());
            }
            *word = if mask { *word | bit } else { *word & !bit };
            Ok(())
        })
    }

    /// Says which processor a vector best goes to. Errors: `NOT_ENABLED`, `BAD_VECTOR`.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(crate) fn hint(&self, cx: &mut Passive, vector: u32, processor: u32) -> Result<()> {
        self.state.with(cx, |state, _| {
            let (kind, is_connected) = (state.kind, state.is_connected);
            state.bit(vector)?;
            if !is_connected || kernel::poisoned() {
                return Err(Status::NOT_ENABLED.into());
            }
            if kind != Some(IrqKind::Line) {
                kernel::irq_hint(self.device, vector, processor);
            }
            Ok(())
        })
    }
}
