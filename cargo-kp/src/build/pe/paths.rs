//! What a driver's interrupt handlers can get to, from the object files of its Rust half and of the C code that it has.
use object::{Object as _, ObjectSymbol as _};

use crate::build::callgraph;
use crate::build::check::{Refusal, demangled};

/// How the names begin, and end, of kp-core's interrupt functions.
const INTERRUPTS: [(&str, &str); 2] = [("kp_core::host::isr::isr::<", ">"), ("kp_core::host::isr::dpc::<", ">")];
/// The same of what the port does at DISPATCH_LEVEL when a wait may be over. It gives memory back, as it may there.
const WAITS: [(&str, &str); 3] = [
    ("kp_windows::io::wait::step_all::<", ">"),
    ("kp_windows::io::wait::on_timer::<", ">"),
    ("kp_windows::io::wait::on_cancel::<", ">"),
];
/// What only the panic handler calls.
const PANIC: &str = "__imp_KeBugCheckEx";
/// What gives memory back.
const FREE: &str = "__imp_ExFreePoolWithTag";

/// Refuses objects, the first of them the Rust half's, in which a handler can get to a panic, to a call through a pointer, or, if `no_free`, an interrupt's to where
/// memory is freed. Says which handlers there are; none in a plugin without interrupts.
///
/// # Errors
/// Those of [`no_path`](super::no_path).
pub fn handlers<O: AsRef<[u8]>>(objects: &[O], no_free: bool) -> Result<Vec<String>, Refusal> {
    let Some(rust) = objects.first() else { return Ok(Vec::new()) };
    let file = object::File::parse(rust.as_ref())?;
    let symbols = file.symbols().filter(|symbol| symbol.is_definition()).filter_map(|symbol| symbol.name().ok());
    let is_one = |name: &str, of: &[(&str, &str)]| {
        let name = demangled(name);
        of.iter().any(|(start, end)| name.starts_with(start) && name.ends_with(end))
    };
    let handlers: Vec<&str> = symbols.filter(|name| is_one(name, &INTERRUPTS) || is_one(name, &WAITS)).collect();
    for handler in &handlers {
        callgraph::check_all(objects, handler, PANIC)?;
        if no_free && is_one(handler, &INTERRUPTS) {
            callgraph::check_all(objects, handler, FREE)?;
        }
    }
    Ok(handlers.into_iter().map(demangled).collect())
}
