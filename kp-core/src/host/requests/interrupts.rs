//! INT_ENABLE, INT_DISABLE, INT_COUNT: their fields; what becomes of the interrupt is decided in `enable`.
use super::open::{SmallBuffer, copy_small};
use crate::{
    Passive, Plugin, Status,
    host::{
        IrqKinds, IrqRequest,
        enable::{self, Enabled},
        interrupt::Interrupts,
        kernel,
        outcome::RequestError,
        session::Session,
        user_request::UserRequest,
    },
    limits,
};
use kp_abi::{
    Counters,
    request::{self, ANY_VECTOR, kind},
};

/// How long [`undo`] waits between two looks at the gate, in ns.
const LOOK_NS: u64 = 1_000_000;

/// The device's interrupt, or what to answer if the plugin has no callbacks for it.
#[inline(always)]
fn interrupts_or<P: Plugin>(session: &Session<P>, none: Status) -> Result<&Interrupts<P>, RequestError> {
    match session.device.interrupts() {
        Some(interrupts) => Ok(interrupts),
        None if kernel::poisoned() => Err(Status::POISONED.into()),
        None => Err(none.into()),
    }
}

/// INT_ENABLE.
#[cfg_attr(kp_driver, optimize(size))]
pub(super) fn enable<P: Plugin>(
    session: &Session<P>,
    cx: &mut Passive,
    request: &mut request::IntEnable,
    user: &mut impl UserRequest,
) -> Result<(), RequestError> {
    let kinds = request.kinds;
    let fits = kinds != 0
        && kinds & !kind::ANY == 0
        && request.min >= 1
        && request.min <= request.max
        && request.max <= limits::MAX_VECTORS
        // Nobody would read it.
        && (!P::TABLE.own_interrupt || request.data_len == 0);
    if !fits {
        return Err(Status::BAD_FIELD.into());
    }
    if !session.is_open() {
        return Err(session.refusal_status().into());
    }
    let interrupts = interrupts_or(session, Status::NO_INTERRUPT)?;
    let kinds = IrqKinds::from_bits(kinds);
    let enabled = if P::TABLE.own_interrupt {
        let _inside = session.enter(false)?;
        interrupts.listen(cx, session, IrqRequest { kinds, min: request.min, max: request.max })?
    } else {
        enable_for_session(session, cx, request, user, interrupts)?
    };
    request.kind = enabled.kind.bit();
    request.count = enabled.count;
    request.generation = enabled.generation;
    Ok(())
}

/// INT_ENABLE of a session that will own the interrupt.
#[inline(always)]
fn enable_for_session<P: Plugin>(
    session: &Session<P>,
    cx: &mut Passive,
    request: &request::IntEnable,
    user: &mut impl UserRequest,
    interrupts: &Interrupts<P>,
) -> Result<Enabled, RequestError> {
    // The plugin knows how many it can serve; vectors are the machine's, and no app's to use up.
    let (least, most) = P::TABLE.vectors;
    let (min, max) = (request.min.max(least), request.max.min(most));
    if min > max {
        return Err(Status::NO_INTERRUPT.into());
    }
    let mut data = SmallBuffer::new();
    let data = copy_small(cx, user, request.head.size, request.data_addr, request.data_len, &mut data)?;
    let inside = session.enter(false)?;
    let wanted = IrqRequest { kinds: IrqKinds::from_bits(request.kinds), min, max };
    Ok(enable::enable(cx, interrupts, &inside, wanted, data)?)
}

/// INT_DISABLE.
#[cfg_attr(kp_driver, optimize(size))]
pub(super) fn disable<P: Plugin>(
    session: &Session<P>,
    cx: &mut Passive,
    disable: &mut request::IntDisable,
) -> Result<(), RequestError> {
    (disable.generation, disable.counters) = disable_own(session, cx)?;
    Ok(())
}

/// As INT_DISABLE. Where the gate is full it waits until a call has left; a session that ends disables by itself.
#[cfg_attr(kp_driver, optimize(size))]
pub(super) fn undo<P: Plugin>(session: &Session<P>, cx: &mut Passive) -> Result<(), RequestError> {
    loop {
        match disable_own(session, cx) {
            Err(RequestError::Answer(error)) if error == Status::TOO_MANY_CALLS => kernel::sleep_ns(LOOK_NS),
            done => return done.map(drop),
        }
    }
}

/// Ends this session's enabling: its number, and the final counters.
#[cfg_attr(kp_driver, optimize(size))]
fn disable_own<P: Plugin>(session: &Session<P>, cx: &mut Passive) -> Result<(u64, Counters), RequestError> {
    if !session.is_open() {
        return Err(session.refusal_status().into());
    }
    let interrupts = interrupts_or(session, Status::NOT_ENABLED)?;
    let _inside = session.enter(false)?;
    let disabled = if P::TABLE.own_interrupt {
        interrupts.end_listening(cx, session)
    } else {
        enable::disable(cx, interrupts, session)
    };
    Ok(disabled.map_err(|error| session.disabled_status(error))?)
}

/// INT_COUNT.
#[cfg_attr(kp_driver, optimize(size))]
pub(super) fn count<P: Plugin>(
    session: &Session<P>,
    cx: &mut Passive,
    count: &mut request::IntCount,
) -> Result<(), RequestError> {
    if count.reserved != 0 {
        return Err(Status::BAD_FIELD.into());
    }
    if !session.is_open() || kernel::poisoned() || session.device.state.is_gone() {
        return Err(session.refusal_status().into());
    }
    let (generation, counters) = match session.device.interrupts() {
        Some(interrupts) => interrupts.counters(cx, count.vector)?,
        None if count.vector == ANY_VECTOR => (0, Counters::default()),
        None => return Err(Status::BAD_VECTOR.into()),
    };
    count.generation = generation;
    count.counters = counters;
    Ok(())
}
