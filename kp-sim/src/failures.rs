//! Every failure: a story told with each kernel call that can fail failing in its turn.
use crate::{
    misuse,
    sim::{Builder, Busy, Sim},
};
use kp_abi::Error;
use kp_core::Plugin;
use std::{
    fmt::Display,
    panic::{self, AssertUnwindSafe},
};

/// Runs `story` in a kernel of this `builder` where nothing fails, then where the 1st, the 2nd, … kernel call that can fail does, until
/// it makes no such call any more. What each failure came to, in order: the error of `init` or of the story; `None` if the story ended
/// well all the same, as that of a [`Transfer`](kp_core::Transfer) does which goes on with smaller parts.
///
/// After a failure the story is told once more, and must end well: a plugin goes on. Then the plugin is unloaded. Panics, with the number
/// of the call that failed, if it does not go on, if something is left, if the story panics, or if it fails without a failure.
///
/// ```
/// # use ticker::{Ticker, ticker as messages};
/// # use kp_sim::{Sim, device::{DeviceModel, Identity}};
/// # struct Card;
/// # impl DeviceModel for Card {
/// #     fn identity(&self) -> Identity {
/// #         Identity { vendor: 0x1234, device: 0x5678 }
/// #     }
/// # }
/// let told = kp_sim::every_failure(
///     || Sim::<Ticker>::builder().device(Card),
///     |sim| -> Result<(), Box<dyn std::error::Error>> {
///         let plugin = sim.connect(messages::INTERFACE)?;
///         messages::Client(&plugin).ticks()?;
///         Ok(())
///     },
/// );
/// assert!(told.iter().all(Option::is_some), "a failure, and nobody was told: {told:?}");
/// ```
pub fn every_failure<P: Plugin, E: From<Error> + Display>(
    builder: impl Fn() -> Builder<P>,
    story: impl Fn(&Sim<P>) -> Result<(), E>,
) -> Vec<Option<E>> {
    tell(0, &builder, &story);
    let mut failures = Vec::new();
    for n in 1.. {
        match panic::catch_unwind(AssertUnwindSafe(|| tell(n, &builder, &story))) {
            Ok(Ending::Failure(error)) => failures.push(error),
            Ok(Ending::NoFailure) => break,
            Err(payload) => {
                misuse::take();
                panic!("with call {n} of those that can fail failing: {}", misuse::message(&*payload));
            }
        }
    }
    failures
}

/// How a story ended.
enum Ending<E> {
    /// The call failed, and the story ended so.
    Failure(Option<E>),
    /// It was never made, and the story ended well.
    NoFailure,
}

/// Tells the story with call `n` failing, and once more after that.
fn tell<P: Plugin, E: From<Error> + Display>(
    n: u64,
    builder: &impl Fn() -> Builder<P>,
    story: &impl Fn(&Sim<P>) -> Result<(), E>,
) -> Ending<E> {
    let without_failure = |error: &dyn Display| -> ! { panic!("the story fails without a failure: {error}") };
    let sim = match builder().fail_nth(n).build() {
        Ok(sim) => sim,
        Err(error) if n == 0 => without_failure(&error),
        Err(error) => return Ending::Failure(Some(error.into())),
    };
    let told = story(&sim);
    let has_failed = n != 0 && sim.fallible_calls() >= n;
    if has_failed {
        match panic::catch_unwind(AssertUnwindSafe(|| story(&sim))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => panic!("the plugin does not go on after it: {error}"),
            Err(payload) => {
                misuse::take();
                panic!(
                    "the plugin does not go on after it, when the story is told again: {}",
                    misuse::message(&*payload)
                );
            }
        }
    }
    if let Err(Busy) = sim.unload() {
        panic!("a handle is still open when the story has ended");
    }
    match told {
        told if has_failed => Ending::Failure(told.err()),
        Ok(()) => Ending::NoFailure,
        Err(error) => without_failure(&error),
    }
}
