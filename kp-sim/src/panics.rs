//! A plugin's panic poisons its kernel.
use crate::{
    context,
    misuse::{is_verdict, message},
};
use spin::Once;
use std::panic::{self, PanicHookInfo};

/// From now on a panic inside a kernel poisons it before anything unwinds, as the real panic handlers do.
pub(crate) fn watch_panics() {
    static ONCE: Once<()> = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !is_verdict() {
                poison(info);
            }
            previous(info);
        }));
    });
}

fn poison(info: &PanicHookInfo<'_>) {
    let Some(context) = context::try_current() else { return };
    let place =
        info.location().map_or_else(|| "an unknown place".to_owned(), |at| format!("{}:{}", at.file(), at.line()));
    context.machine.poison(&format!("panicked at {place}: {}", message(info.payload())));
}
