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

use std::path::PathBuf;

use anyhow::Result;

pub use self::got::make_direct;
pub use self::module::module;
pub(crate) use self::module::{checked, copy};
pub use self::object::{Object, object};

use self::compiler::{Compiler, compiler};
use self::target::Target;
use super::plugin::Plugin;

/// One kernel's module to build.
pub(super) struct Wanted {
    target: Target,
    compiler: Compiler,
}

impl Wanted {
    /// For a kernel by name, or the default one. `cc`: the C compiler, if another than the kernel's own. What is missing is found here, before
    /// anything is compiled.
    pub(super) fn find(name: Option<&str>, setup: bool, cc: Option<&str>) -> Result<Self> {
        let target = match name {
            Some(name) => target::find(name, setup)?,
            None => target::default(setup)?,
        };
        let compiler = compiler(&target.headers, cc)?;
        Ok(Wanted { target, compiler })
    }
}

/// Builds a plugin's modules, one after the other, from one object.
pub(super) struct Modules<'a> {
    plugin: &'a Plugin,
    object: Option<Object>,
}

impl<'a> Modules<'a> {
    /// None is built yet.
    pub(super) fn of(plugin: &'a Plugin) -> Self {
        Modules { plugin, object: None }
    }

    /// The module for a kernel. The first one needs the object, and builds it.
    pub(super) fn build(&mut self, wanted: &Wanted) -> Result<PathBuf> {
        let object = match self.object.take() {
            Some(object) => object,
            None => object(self.plugin, &|step| eprintln!("{step}"))?,
        };
        eprintln!("{}: module for {}", self.plugin.name, wanted.target.release);
        module::build(self.plugin, self.object.insert(object), &wanted.target, &wanted.compiler)
    }
}
