//! INT_ENABLE, INT_DISABLE, INT_COUNT: their fields; what becomes of the interrupt is decided in `interrupt`.
use super::{
    super::{
        interrupt::{Interrupts, Wanted},
        kernel,
        session::Session,
        user_request::UserRequest,
    },
    RequestError,
    open::SmallBuffer,
};
use crate::{Passive, Plugin, Status, limits};
use kp_abi::{
    Counters,
    request::{self, ANY_VECTOR, kind, state},
};

impl<P: Plugin> Session<P> {
    /// The device's interrupt, or what to answer if the plugin has no callbacks for it.
    #[inline(always)]
    fn interrupts_or(&self, none: Status) -> Result<&Interrupts<P>, RequestError> {
        match self.device.interrupts() {
            Some(interrupts) => Ok(interrupts),
            None if kernel::poisoned() => Err(Status::POISONED.into()),
            None => Err(none.into()),
        }
    }

    /// INT_ENABLE.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn request_enable(
        &self,
        cx: &mut Passive,
        enable: &mut request::IntEnable,
        user: &mut impl UserRequest,
    ) -> Result<(), RequestError> {
        let kinds = enable.kinds;
        let fits = kinds != 0
            && kinds & !kind::ANY == 0
            && enable.min >= 1
            && enable.min <= enable.max
            && enable.max <= limits::MAX_VECTORS;
        if !fits {
            return Err(Status::BAD_FIELD.into());
        }
        if !self.is_open() {
            return Err(self.refusal_status().into());
        }
        let interrupts = self.interrupts_or(Status::NO_INTERRUPT)?;
        // The plugin knows how many it can serve; vectors are the machine's, and no app's to use up.
        let (least, most) = P::TABLE.vectors;
        let (min, max) = (enable.min.max(least), enable.max.min(most));
        if min > max {
            return Err(Status::NO_INTERRUPT.into());
        }
        let mut data = SmallBuffer::new();
        let data = self.fetch_small(cx, user, enable.head.size, enable.data_addr, enable.data_len, &mut data)?;
        self.device.awake(false)?;
        let _pass = self.enter(false)?;
        let wanted = Wanted { kinds, min, max, data };
        let enabled = interrupts.enable(cx, &self.device, self, wanted)?;
        enable.kind = enabled.kind;
        enable.count = enabled.count;
        enable.generation = enabled.generation;
        Ok(())
    }

    /// INT_DISABLE.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn request_disable(
        &self,
        cx: &mut Passive,
        disable: &mut request::IntDisable,
    ) -> Result<(), RequestError> {
        (disable.generation, disable.counters) = self.disable_interrupt(cx)?;
        Ok(())
    }

    /// Ends this session's enabling: its number, and the final counters.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn disable_interrupt(&self, cx: &mut Passive) -> Result<(u64, Counters), RequestError> {
        if !self.is_open() {
            return Err(self.refusal_status().into());
        }
        let interrupts = self.interrupts_or(Status::NOT_ENABLED)?;
        self.device.awake(false)?;
        let _pass = self.enter(false)?;
        let disabled = interrupts.disable(cx, &self.device, self);
        Ok(disabled.map_err(|error| self.disabled_status(error))?)
    }

    /// INT_COUNT.
    #[cfg_attr(kp_driver, optimize(size))]
    pub(super) fn request_count(&self, cx: &mut Passive, count: &mut request::IntCount) -> Result<(), RequestError> {
        if count.reserved != 0 {
            return Err(Status::BAD_FIELD.into());
        }
        if !self.is_open() || kernel::poisoned() || self.device.state() == state::GONE {
            return Err(self.refusal_status().into());
        }
        let (generation, counters) = match self.device.interrupts() {
            Some(interrupts) => interrupts.counters(cx, count.vector)?,
            None if count.vector == ANY_VECTOR => (0, Counters::default()),
            None => return Err(Status::BAD_VECTOR.into()),
        };
        count.generation = generation;
        count.counters = counters;
        Ok(())
    }
}
