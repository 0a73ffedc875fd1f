//! A plugin as a module for Linux: `glue` compiles it with the Linux port into a static library, `object` makes that one
//! relocatable object, and `module` builds the object and the C glue into one module for each kernel that `target` finds: with the C compiler
//! that `compiler` finds, in the folder that `place` has for it. Beside it lies what `rules` has for udev.
mod compiler;
mod glue;
mod got;
mod module;
mod object;
mod place;
mod rules;
mod target;

use anyhow::Result;

pub use self::got::make_direct;
pub(crate) use self::module::copy;
pub use self::module::module;
pub use self::object::{Object, object};
pub(super) use self::target::{Target, default, find};

use self::compiler::compiler;
use super::plugin::Plugin;

/// Builds a module for each kernel and prints their paths. `cc`: the C compiler, if another than each kernel's own. What is missing is found
/// before anything is compiled.
pub(super) fn modules(plugin: &Plugin, targets: &[Target], cc: Option<&str>) -> Result<()> {
    if targets.is_empty() {
        return Ok(());
    }
    let compilers: Vec<_> = targets.iter().map(|target| compiler(&target.headers, cc)).collect::<Result<_>>()?;
    let object = object(plugin, &|step| eprintln!("{step}"))?;
    for (target, compiler) in targets.iter().zip(&compilers) {
        eprintln!("{}: module for {}", plugin.name, target.release);
        println!("{}", module::build(plugin, &object, target, compiler)?.display());
    }
    Ok(())
}
