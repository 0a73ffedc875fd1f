//! What a port implements and calls. Plugins never come here.
//!
//! - [`Kernel`]: what the port implements (`port`). [`Door`]: one request's bytes in the app's memory.
//! - [`Driver`]: a bound device, from `init` to removal. [`Session`]: one open of it.
//! - `link`: what a plugin keeps of its device, until the removal.
//! - `pause`: a device that sleeps or is being reset.
//! - `requests`: the app's bytes, decoded, checked and answered, the same on every kernel.
//! - [`info`]: what a driver's file says of its plugin.
//! - `direct`: the short way of a call whose message both sides have agreed on.
//! - `buffers`: where a call's bytes are while it runs.
//! - `ring`: batched calls, through memory that app and driver share.
//! - `interrupt`, `mailbox`, `pending`: enabling, ISR, DPC; notifications and counters; whether the DPC is queued.
//! - `wait`: INT_WAIT, in steps.
//! - `gate`, `turn`, `signal`: who is inside; one at a time; waiting. `tests/models` checks `gate`, `turn` and `pending` as they stand.
mod buffers;
mod direct;
mod door;
mod driver;
mod gate;
mod info;
mod interrupt;
mod line;
mod link;
mod mailbox;
mod pause;
mod pending;
mod port;
mod requests;
mod ring;
mod session;
mod signal;
mod sync;
mod turn;
mod wait;

pub use direct::Told;
pub use door::{DirectDoor, Door, Faulted};
pub use driver::{Driver, RawDevice};
pub use info::{info, info_len};
pub use line::Line;
pub(crate) use link::Link;
pub use pause::SUSPEND_NS;
pub(crate) use port::kernel;
pub use port::{Attention, IrqEntry, Kernel, RawLock, RawSignal, Vectors, Woken, lock_kind, wait_kind};
pub use requests::{Readiness, Served};
pub use session::Session;
pub(crate) use signal::{Signal, Stop};
pub(crate) use turn::{Lost, Turn};
pub use wait::{PendingWait, WaitAnswer};

use crate::{Dispatch, Error, Passive, Reply, Result, Status};

/// What a handler has written, to a reply with room for so many bytes. OutputLength: more than that. A handler may put a reply of its own,
/// with a room of its own, in the place of the host's.
#[inline(always)]
fn written(reply: Reply<'_>, room: usize) -> Result<&[u8]> {
    let bytes = reply.into_bytes();
    if bytes.len() <= room { Ok(bytes) } else { Err(Error::new(Status::OUTPUT_LENGTH, bytes.len() as u32)) }
}

/// Runs `f` at Passive, with nothing to end its sleeps: what a port's entry points do first.
///
/// # Safety
/// The calling thread runs at Passive, and `passive` is not already on its stack.
pub unsafe fn passive<R>(f: impl FnOnce(&mut Passive) -> R) -> R {
    // SAFETY: the caller's promise.
    f(&mut unsafe { Passive::assume() })
}

/// Runs `f` at Dispatch: what a port does first where it is called so, and no level is at hand.
///
/// # Safety
/// The calling processor runs at Dispatch or below, and stays there.
pub unsafe fn dispatch<R>(f: impl FnOnce(&mut Dispatch) -> R) -> R {
    // SAFETY: the caller's promise.
    f(&mut unsafe { Dispatch::assume() })
}

/// `index`, which is below `len`; 0 if a processor that guesses ahead believes it is not. So no app can have memory behind a table
/// read by guessing.
#[inline(always)]
fn clamp(index: usize, len: usize) -> usize {
    index & below(index, len)
}

/// All ones if `index` is below `len`, else zero; also for a processor that guesses ahead, since it is calculated. `len` is at most
/// `isize::MAX`.
///
/// The compiler must not see that `index` was compared before: it would find out that there is nothing to do.
#[inline(always)]
fn below(index: usize, len: usize) -> usize {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        let below: usize;
        // SAFETY: all ones if `index` is below `len`, else zero; registers and flags only.
        unsafe {
            core::arch::asm!(
                "cmp {index}, {len}",
                "sbb {below}, {below}",
                index = in(reg) index,
                len = in(reg) len,
                below = out(reg) below,
                options(pure, nomem, nostack),
            );
        }
        below
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    {
        let index = core::hint::black_box(index);
        (!(index | len.wrapping_sub(1).wrapping_sub(index)) as isize >> (usize::BITS - 1)) as usize
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_clamped_index_is_itself_below_the_length_and_0_from_there() {
        for len in [1, 2, 5, 2048] {
            assert!((0..len).all(|index| super::clamp(index, len) == index));
            assert_eq!([len, len + 1, usize::MAX].map(|index| super::clamp(index, len)), [0; 3]);
        }
        assert_eq!([0, 1, usize::MAX].map(|index| super::below(index, 0)), [0; 3]);
        assert_eq!([0, 1, 2].map(|index| super::below(index, 2)), [usize::MAX, usize::MAX, 0]);
    }
}
