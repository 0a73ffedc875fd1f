//! `kp schema`: a loaded plugin's messages, from the driver itself.

use crate::schema::Schema;
use crate::{Command, Message};
use anyhow::Result;
use clap::Args;
use kp_user::kp_abi::TransportStatus;
use kp_user::{Cause, OpenError};

/// Prints the messages of a loaded plugin, as its driver tells them: without its source.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// The plugin, and if there are several devices, which: `edu`, `edu.1`.
    #[arg(value_name = "NAME[.N]")]
    name: String,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

impl Command for SchemaArgs {
    fn run(self) -> Result<()> {
        let bytes = kp_user::schema_of(&self.name).map_err(|error| refused(&self.name, &error))?;
        let schema =
            Schema::decode(&bytes).map_err(|bad| Message::BadSchema { of: self.name.clone(), why: bad.to_string() })?;
        schema.print(self.json);
        Ok(())
    }
}

fn refused(name: &str, error: &OpenError) -> Message {
    match &error.cause {
        Cause::Refused(refused) if refused.status == TransportStatus::UNKNOWN_REQUEST => {
            Message::NoSchema { name: name.to_owned() }
        }
        Cause::Denied => Message::NotAllowed { why: error.to_string() },
        Cause::BadName => Message::BadPluginName { why: error.to_string() },
        _ => Message::NotOpened { why: error.to_string() },
    }
}
