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

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

pub use self::got::make_direct;
pub use self::module::module;
pub(crate) use self::module::{checked, copy, kernels_make};
pub use self::object::{Object, object};
pub use self::sanitizer::Instrumentation;

use self::compiler::{Compiler, compiler};
use self::target::Target;
use super::info::Info;
use super::plugin::Plugin;
use super::write;

/// One kernel's module to build.
pub(crate) struct Wanted {
    target: Target,
    compiler: Compiler,
    instrumentation: Instrumentation,
}

impl Wanted {
    /// For a kernel by name, or the default one. `cc`: the C compiler, if another than the kernel's own. What is missing is found here, before
    /// anything is compiled.
    pub(crate) fn find(name: Option<&str>, setup: bool, cc: Option<&str>) -> Result<Self> {
        let target = match name {
            Some(name) => target::find(name, setup)?,
            None => target::default(setup)?,
        };
        let compiler = compiler(&target.headers, cc)?;
        let instrumentation = Instrumentation::by_headers(&target.headers)?;
        Ok(Wanted { target, compiler, instrumentation })
    }

    /// What `uname -r` says in its kernel.
    pub(crate) fn release(&self) -> &str {
        &self.target.release
    }

    /// Where the module for it is.
    pub(super) fn path(&self, plugin: &Plugin) -> Result<PathBuf> {
        module::path(plugin, &self.target)
    }
}

/// Builds a plugin's modules, one after the other, from one object for all kernels that ask for the same.
pub(crate) struct Modules<'a> {
    plugin: &'a Plugin,
    name: Option<&'a str>,
    objects: Vec<(Instrumentation, Object)>,
}

impl<'a> Modules<'a> {
    /// None is built yet.
    pub(crate) fn of(plugin: &'a Plugin) -> Self {
        Modules { plugin, name: None, objects: Vec::new() }
    }

    /// The same, but modules and nodes get this name. The object is the same too: names are the C half's.
    pub(crate) fn named(self, name: Option<&'a str>) -> Self {
        Modules { name, ..self }
    }

    /// The object for kernels that ask for this. The first one of them has it built.
    pub(crate) fn object(&mut self, instrumentation: &Instrumentation) -> Result<Object> {
        if let Some((_, object)) = self.objects.iter().find(|(made, _)| made == instrumentation) {
            return Ok(object.clone());
        }
        let mut object = object(self.plugin, instrumentation, &|step| eprintln!("{step}"))?;
        if let Some(name) = self.name {
            name.clone_into(&mut object.info.name);
        }
        self.objects.push((instrumentation.clone(), object.clone()));
        Ok(object)
    }

    /// What the plugin says of itself, with the name that its nodes get.
    pub(crate) fn info(&mut self) -> Result<Info> {
        if let Some((_, object)) = self.objects.first() {
            return Ok(object.info.clone());
        }
        Ok(self.object(&Instrumentation::default())?.info)
    }

    /// The plugin as it is called. What is called otherwise is built in a folder of its own.
    pub(crate) fn plugin(&self) -> Plugin {
        match self.name {
            None => self.plugin.clone(),
            Some(name) => {
                Plugin { name: name.to_owned(), output: self.plugin.output.join("renamed"), ..self.plugin.clone() }
            }
        }
    }

    /// The module for a kernel.
    pub(crate) fn build(&mut self, wanted: &Wanted) -> Result<PathBuf> {
        let object = self.object(&wanted.instrumentation)?;
        let plugin = self.plugin();
        eprintln!("{}: module for {}", plugin.name, wanted.target.release);
        module::build(&plugin, &object, &wanted.target, &wanted.compiler)
    }

    /// Writes what any kernel's build files make the module of, without Rust: the C sources, and for this processor the object and what the
    /// sources are to know of it, in a folder of the processor's name.
    pub(crate) fn sources(&mut self, dir: &Path) -> Result<()> {
        let object = self.object(&Instrumentation::default())?;
        copy(&object.kbuild, dir)?;
        let own = dir.join("x86_64");
        write(&own.join("kp_plugin.h"), module::header(&self.plugin(), &object))?;
        write(&own.join("rust.o_shipped"), fs::read(&object.path)?)?;
        Ok(())
    }
}
