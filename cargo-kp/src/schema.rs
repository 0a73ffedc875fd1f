//! `cargo kp schema`: a plugin's messages, from its source.
use std::path::Path;

use anyhow::Result;
use kp_tool::{Message, schema::Schema};

use crate::build;
use crate::command::Command;

/// Prints the messages of a plugin, from its source. Of a loaded one `kp schema` prints them.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SchemaArgs {
    /// The plugin's package. Without it: the package here, or the only plugin of the workspace.
    #[arg(short, long, value_name = "PLUGIN")]
    plugin: Option<String>,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

impl Command for SchemaArgs {
    fn run(self) -> Result<()> {
        let plugin = build::select(self.plugin.as_deref(), Path::new("."))?;
        let bytes = build::interface(&plugin)?;
        if bytes.is_empty() {
            return Err(Message::NoInterface { plugin: plugin.name }.into());
        }
        let schema =
            Schema::decode(&bytes).map_err(|bad| Message::BadSchema { of: plugin.name, why: bad.to_string() })?;
        schema.print(self.json);
        Ok(())
    }
}
