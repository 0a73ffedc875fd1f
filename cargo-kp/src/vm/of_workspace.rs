//! What `cargo kp vm` boots if it is told neither a module nor a program: the plugin of the workspace here, and its app.
use super::command::VmArgs;
use crate::{build, programs};
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
        let kernel = self.kernel.get_or_insert_with(|| super::command::DEFAULT.to_owned());
        let wanted = build::WantedModule::find(Some(kernel), self.setup, None)?;
        self.modules.push(build::Modules::of(&plugin).build(&wanted)?);
        if let Some(app) = &plugin.app {
            let program = programs::build(app)?;
            self.program.insert(0, program.display().to_string());
        }
        Ok(())
    }
}
