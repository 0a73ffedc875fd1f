//! What `cargo kp vm` boots if it is told no module: the plugin of the workspace here; and if it is told no program, its app.
use super::command::VmArgs;
use crate::{build, programs};
use anyhow::Result;
use std::path::Path;

impl VmArgs {
    /// Builds module and app, and says so in the arguments. Nothing, if they name a module, or a kernel that none is built for.
    pub(super) fn of_workspace(&mut self) -> Result<()> {
        // What stands behind `--` is a program, if its folder is there too; else what the workspace's app is to be told.
        let names_program = self.program.first().is_some_and(|word| word.contains('/'));
        // In a whole system a program may be what installs the module.
        let installs = names_program && self.root.is_some() && self.plugin.is_none();
        if !self.modules.is_empty() || self.image.is_some() || installs {
            return Ok(());
        }
        let plugin = match build::select(self.plugin.as_deref(), Path::new(".")) {
            Ok(plugin) => plugin,
            // A kernel alone can be booted too, and a program in it.
            Err(_)
                if self.plugin.is_none() && (names_program || self.devices.is_empty() && self.program.is_empty()) =>
            {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        plugin.license.for_module(&plugin.name)?;
        let kernel = self.kernel.get_or_insert_with(|| super::command::DEFAULT.to_owned());
        let wanted = build::WantedModule::find(Some(kernel), self.setup, None)?;
        self.modules.push(build::Modules::of(&plugin).build(&wanted)?);
        if let Some(app) = plugin.app.as_ref().filter(|_| !names_program) {
            let program = programs::build_with(app, &["--package", app, "--bin", app])?;
            self.program.insert(0, program.display().to_string());
        }
        Ok(())
    }
}
