//! `cargo kp sim`: a plugin and a model of its device in the simulator, open to apps.
use std::ffi::OsString;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result};
use kp_tool::Message;

use crate::build;
use crate::command::Command;

/// Runs a plugin in the simulator, with a model of its device, for apps that have KP_NODE=SOCKET in their environment.
///
/// It ends by SIGINT or SIGTERM, and exits with 1 if the plugin has left something or has broken a rule of the kernel. SIGUSR1 takes the device
/// away, as if it were pulled out.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SimArgs {
    /// The plugin's package. Without it: the package here, or the only plugin of the workspace.
    #[arg(short, long, value_name = "PLUGIN")]
    plugin: Option<String>,
    /// The socket that apps open in the place of a device node.
    #[arg(long, value_name = "SOCKET")]
    listen: PathBuf,
    /// A file that gets each request as a line of JSON.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// End when the first app that has come is gone.
    #[arg(long)]
    until_closed: bool,
}

impl Command for SimArgs {
    fn run(self) -> Result<()> {
        let plugin = build::select(self.plugin.as_deref(), Path::new("."))?;
        if is_taken(&self.listen) {
            return Err(Message::SocketThere { path: self.listen.display().to_string() }.into());
        }
        eprintln!("{}: compiling for the simulator", plugin.name);
        let program = build::simulator(&plugin)?;
        if plugin.model.is_none() && drives_a_device(&program)? {
            return Err(Message::NoModel { plugin: plugin.name }.into());
        }
        // In this process's place: so who sends a signal to the one has sent it to the other.
        let error = process::Command::new(&program).args(self.arguments()).exec();
        Err(error).with_context(|| format!("cannot run {}", program.display()))
    }
}

impl SimArgs {
    /// For the program.
    fn arguments(self) -> Vec<OsString> {
        let mut arguments = vec!["--listen".into(), self.listen.into_os_string()];
        arguments.extend(self.record.into_iter().flat_map(|file| ["--record".into(), file.into_os_string()]));
        arguments.extend(self.until_closed.then(|| "--until-closed".into()));
        arguments
    }
}

/// Does somebody listen there, or is it something else than a socket?
fn is_taken(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|there| !there.file_type().is_socket() || UnixStream::connect(path).is_ok())
}

/// Does the plugin's `devices` have an entry?
fn drives_a_device(program: &Path) -> Result<bool> {
    let output = process::Command::new(program).arg("--devices").output();
    let output = output.with_context(|| format!("cannot run {}", program.display()))?;
    Ok(output.stdout.trim_ascii() != b"0")
}
