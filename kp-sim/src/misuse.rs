//! Two kinds of panic: the simulator's verdict on misuse, which fails the test, and a plugin's own, which poisons its kernel.
use crate::context;
use spin::Once;
use std::{
    any::Any,
    cell::Cell,
    panic::{self, PanicHookInfo},
};

thread_local! {
    /// The panic under way is a verdict.
    static VERDICT: Cell<bool> = const { Cell::new(false) };
}

/// Fails the test: somebody broke a rule of the kernel.
#[cold]
pub(crate) fn misuse(text: &str) -> ! {
    VERDICT.set(true);
    panic!("{text}")
}

/// Is the panic that was just caught a verdict? It must go on then.
pub(crate) fn is_verdict() -> bool {
    VERDICT.get()
}

/// Was the panic that was just caught a verdict? It must go on to the test then.
pub(crate) fn take() -> bool {
    VERDICT.replace(false)
}

/// What a panic says.
pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a text".to_owned()
    }
}

/// From now on a panic inside a kernel poisons it before anything unwinds, as the real panic handlers do.
pub(crate) fn watch_panics() {
    static ONCE: Once<()> = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !VERDICT.get() {
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
