//! A plugin as a module for Linux: `glue` compiles it with the Linux port into a static library, `object` makes that one
//! relocatable object, and `module` builds the object and the C glue into one module for each kernel that `target` finds: with the C compiler
//! that `compiler` finds, in the folder that `place` has for it. A kernel that checks each access to memory gets an object of its own, as
//! `sanitizer` says. Beside the module lies what [`kp_tool::rules`] has for udev.
mod compiler;
mod glue;
mod got;
mod module;
mod object;
mod place;
mod sanitizer;
mod target;

use std::path::PathBuf;

use anyhow::Result;

pub use self::got::make_direct;
pub use self::module::module;
pub(crate) use self::module::{checked, copy, kernels_make};
pub use self::object::{Object, object};
pub use self::sanitizer::Instrumentation;

use self::compiler::{Compiler, compiler};
use self::target::Target;
use super::plugin::Plugin;

/// One kernel's module to build.
pub(super) struct Wanted {
    target: Target,
    compiler: Compiler,
    instrumentation: Instrumentation,
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
        let instrumentation = Instrumentation::by_headers(&target.headers)?;
        Ok(Wanted { target, compiler, instrumentation })
    }

    /// Where the module for it is.
    pub(super) fn path(&self, plugin: &Plugin) -> Result<PathBuf> {
        module::path(plugin, &self.target)
    }
}

/// Builds a plugin's modules, one after the other, from one object for all kernels that ask for the same.
pub(super) struct Modules<'a> {
    plugin: &'a Plugin,
    objects: Vec<(Instrumentation, Object)>,
}

impl<'a> Modules<'a> {
    /// None is built yet.
    pub(super) fn of(plugin: &'a Plugin) -> Self {
        Modules { plugin, objects: Vec::new() }
    }

    /// The module for a kernel. The first one needs the object, and builds it.
    pub(super) fn build(&mut self, wanted: &Wanted) -> Result<PathBuf> {
        let made = self.objects.iter().position(|(instrumentation, _)| *instrumentation == wanted.instrumentation);
        let at = match made {
            Some(at) => at,
            None => {
                let object = object(self.plugin, &wanted.instrumentation, &|step| eprintln!("{step}"))?;
                self.objects.push((wanted.instrumentation.clone(), object));
                self.objects.len() - 1
            }
        };
        eprintln!("{}: module for {}", self.plugin.name, wanted.target.release);
        module::build(self.plugin, &self.objects[at].1, &wanted.target, &wanted.compiler)
    }
}
