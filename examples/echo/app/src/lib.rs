//! What an app does with the echo plugin: it says something and hears it again.
#![forbid(unsafe_code)]

use echo_interface::{Style, Trim, echo};
use kp_user::Plugin;
use std::{error::Error, io::Write};

/// Says `text` and writes what comes back.
pub fn run(plugin: &Plugin, text: &str, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let client = echo::Client(plugin);
    client.say(text.as_bytes())?;
    let mut room = vec![0; text.len()];
    writeln!(out, "heard      {}", String::from_utf8_lossy(client.hear(&mut room)?))?;
    let loud = client.repeat(Style::Loud, Trim::all(), text.as_bytes(), &mut room)?;
    writeln!(out, "louder     {}", String::from_utf8_lossy(loud))?;
    let said = client.said()?;
    writeln!(out, "so far     {} text, {} bytes", said.texts, said.bytes)?;
    Ok(())
}
