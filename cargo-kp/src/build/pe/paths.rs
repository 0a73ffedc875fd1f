//! What a driver's interrupt handlers can get to, from its object file.
use object::{Object as _, ObjectSymbol as _};

use crate::build::callgraph;
use crate::build::check::{Refusal, demangled};

/// How kp-core's interrupt functions of a plugin begin, and end.
const HANDLERS: (&str, [&str; 2]) = ("<kp_core::host::interrupt::Interrupts<", [">>::isr", ">>::dpc"]);
/// What only the panic handler calls.
const PANIC: &str = "__imp_KeBugCheckEx";
/// What gives memory back.
const FREE: &str = "__imp_ExFreePoolWithTag";

/// Refuses an object in which a handler can get to a panic, to a call through a pointer, or, if `no_free`, to where memory is freed.
/// Says which handlers there are; none in a plugin without interrupts.
///
/// # Errors
/// Those of [`no_path`](super::no_path).
pub fn handlers(object: &[u8], no_free: bool) -> Result<Vec<String>, Refusal> {
    let file = object::File::parse(object)?;
    let symbols = file.symbols().filter(|symbol| symbol.is_definition()).filter_map(|symbol| symbol.name().ok());
    let is_handler = |name: &&str| {
        let name = demangled(name);
        name.starts_with(HANDLERS.0) && HANDLERS.1.iter().any(|end| name.ends_with(end))
    };
    let handlers: Vec<&str> = symbols.filter(is_handler).collect();
    for handler in &handlers {
        callgraph::check(object, handler, PANIC)?;
        if no_free {
            callgraph::check(object, handler, FREE)?;
        }
    }
    Ok(handlers.into_iter().map(demangled).collect())
}
