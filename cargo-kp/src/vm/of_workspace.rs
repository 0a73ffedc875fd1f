//! What `cargo kp vm` boots if it is told neither a module nor a program: the plugin of the workspace here, and its app.
use super::command::VmArgs;
use crate::{build, kernels, programs};
use anyhow::Result;
use std::path::Path;

impl VmArgs {
    /// Builds module and app, and says so in the arguments. Nothing, if they name what is to be booted.
    pub(super) fn of_workspace(&mut self) -> Result<()> {
        // What stands behind `--` is a program, or what the workspace's app is to be told.
        let names_program = self.program.first().is_some_and(|word| !word.starts_with('-'));
        if names_program || !self.modules.is_empty() {
            return Ok(());
        }
        let plugin = match build::select(self.plugin.as_deref(), Path::new(".")) {
            Ok(plugin) => plugin,
            // A kernel alone can be booted too.
            Err(_) if self.plugin.is_none() && self.devices.is_empty() && self.program.is_empty() => return Ok(()),
            Err(error) => return Err(error),
        };
        plugin.license.for_module(&plugin.name)?;
        let kernel = match self.kernel.as_deref() {
            Some(folder) if folder.contains('/') => kernels::built_in(Path::new(folder))?,
            name => kernels::get(name.unwrap_or(super::command::DEFAULT), self.setup)?,
        };
        let instrumentation = build::Instrumentation::of(&kernel)?;
        let object = build::object(&plugin, &instrumentation, &|step| eprintln!("{step}"))?;
        eprintln!("{}: module for {}", plugin.name, kernel.release);
        self.modules.push(build::module(&plugin, &object, &kernel)?);
        if self.kernel.is_none() {
            self.kernel = Some(kernel.name);
        }
        if let Some(app) = &plugin.app {
            let program = programs::build(app)?;
            self.program.insert(0, program.display().to_string());
        }
        Ok(())
    }
}
