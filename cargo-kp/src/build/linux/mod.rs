//! A plugin as a module for Linux: `glue` compiles it with the Linux port into a static library, `object` makes that one
//! relocatable object, and `module` builds the object and the C glue into one module for each kernel that `target` finds. Beside it lies what
//! `rules` has for udev.
mod glue;
mod got;
mod module;
mod object;
mod rules;
mod target;

use std::path::PathBuf;

use anyhow::Result;

pub use self::got::make_direct;
pub(crate) use self::module::copy;
pub use self::module::module;
pub use self::object::{Object, object};
pub(super) use self::target::{Target, default, find};

use super::plugin::Plugin;

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
    pub(super) fn build(&mut self, target: &Target) -> Result<PathBuf> {
        let object = match self.object.take() {
            Some(object) => object,
            None => object(self.plugin, &|step| eprintln!("{step}"))?,
        };
        eprintln!("{}: module for {}", self.plugin.name, target.release);
        module::build(self.plugin, self.object.insert(object), target)
    }
}
