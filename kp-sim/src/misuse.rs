//! Two kinds of panic: the simulator's verdict on misuse, which fails the test, and a plugin's own, which poisons its kernel.
use std::{any::Any, cell::Cell};

thread_local! {
    /// The panic under way is a verdict.
    static VERDICT: Cell<bool> = const { Cell::new(false) };
}

/// Fails the test: the plugin, the host code or an app broke a rule of the kernel.
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
