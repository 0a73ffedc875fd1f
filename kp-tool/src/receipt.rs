//! What an installation has made, `/var/lib/kp/NAME.json`. It is written before each thing that it names, so that what a killed installation
//! has left can be removed.

use crate::Message;
use crate::machine::{Machine, unfinished};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::io;

/// Where receipts are.
pub const FOLDER: &str = "/var/lib/kp";
/// What a receipt says that it is.
const FORMAT: &str = "kp-receipt/1";

/// One plugin's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// What this is.
    pub format: String,
    /// The plugin's name on this machine: the file's, without `kp-` and `.ko`.
    pub name: String,
    /// The name that its nodes have.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// The kernel that it is for.
    pub release: String,
    /// When it was installed, in seconds since 1970.
    pub installed: u64,
    /// Whether all was made, and nothing of it removed.
    pub finished: bool,
    /// What was made, in order.
    pub made: Vec<Made>,
}

/// One thing that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Made {
    /// A folder that was not there.
    Folder(String),
    /// A file that was not there.
    File {
        /// Where it is.
        path: String,
        /// SHA-256 of its content, in hexadecimal.
        sha256: String,
    },
    /// A group of users that was not there.
    Group(String),
}

impl Receipt {
    /// One of nothing yet.
    pub fn new(name: &str, plugin: &str, version: &str, release: &str, installed: u64) -> Self {
        Receipt {
            format: FORMAT.to_owned(),
            name: name.to_owned(),
            plugin: plugin.to_owned(),
            version: version.to_owned(),
            release: release.to_owned(),
            installed,
            finished: false,
            made: Vec::new(),
        }
    }

    /// That of a plugin. None if there is none.
    ///
    /// # Errors
    /// [`Message::BadReceipt`], [`Message::ReceiptDenied`].
    pub fn read(machine: &dyn Machine, name: &str) -> Result<Option<Self>, Message> {
        let path = path_of(name);
        let bad = |why: String| Message::BadReceipt { path: path.clone(), why };
        let text = match fs::read(machine.at(&path)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unread(&path, &error)),
        };
        let receipt: Receipt = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
        if receipt.format != FORMAT || receipt.name != name {
            return Err(bad(format!("it is a {} of {}", receipt.format, receipt.name)));
        }
        Ok(Some(receipt))
    }

    /// Those of all plugins, by name.
    ///
    /// # Errors
    /// [`Message::BadReceipt`], [`Message::ReceiptDenied`].
    pub fn all(machine: &dyn Machine) -> Result<Vec<Self>, Message> {
        // A folder that this user may not look into is not an empty one.
        if let Err(error) = fs::read_dir(machine.at(FOLDER))
            && error.kind() == io::ErrorKind::PermissionDenied
        {
            return Err(unread(FOLDER, &error));
        }
        let names = machine.names(FOLDER);
        let names = names.iter().filter_map(|name| name.strip_suffix(".json"));
        names.filter_map(|name| Self::read(machine, name).transpose()).collect()
    }

    /// The first of its files that is not there.
    pub fn gone(&self, machine: &dyn Machine) -> Option<String> {
        self.made.iter().find_map(|made| match made {
            Made::File { path, sha256 } if state(machine, path, sha256) == State::Gone => Some(path.clone()),
            _ => None,
        })
    }

    /// Where it is.
    pub fn path(&self) -> String {
        path_of(&self.name)
    }

    /// Writes it.
    pub fn write(&self, machine: &dyn Machine) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        machine.write(&self.path(), &text)
    }
}

fn path_of(name: &str) -> String {
    format!("{FOLDER}/{name}.json")
}

/// What is said of a receipt that cannot be read, or of their folder.
fn unread(path: &str, error: &io::Error) -> Message {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::PermissionDenied => Message::ReceiptDenied { path },
        _ => Message::BadReceipt { path, why: error.to_string() },
    }
}

/// What a file with this content is known by.
pub fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is as it was made.
    Whole,
    /// It is not there.
    Gone,
    /// Somebody has changed it since.
    Changed,
}

/// What became of a file that had this hash.
pub fn state(machine: &dyn Machine, path: &str, hash: &str) -> State {
    match fs::read(machine.at(path)) {
        Ok(content) if sha256(&content) == hash => State::Whole,
        Err(error) if error.kind() == io::ErrorKind::NotFound => State::Gone,
        _ => State::Changed,
    }
}

/// Removes a file, if it is there, and what a killed one of its name has left.
pub fn remove(machine: &dyn Machine, path: &str) -> io::Result<()> {
    for path in [&unfinished(path), path] {
        if machine.has(path) {
            machine.remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    #[test]
    fn a_receipt_is_read_as_it_was_written_and_another_file_is_refused() {
        let fake = Fake::new();
        assert_eq!(Receipt::read(&fake, "card"), Ok(None));
        let mut receipt = Receipt::new("card", "card", "0.1.0", "6.12.9", 7);
        receipt.made = vec![
            Made::Folder("/a".into()),
            Made::File { path: "/a/b".into(), sha256: sha256(b"") },
            Made::Group("kp".into()),
        ];
        fake.file("/var/lib/kp/x", "");
        receipt.write(&fake).unwrap();
        assert_eq!(Receipt::read(&fake, "card"), Ok(Some(receipt.clone())));
        assert_eq!(Receipt::all(&fake), Ok(vec![receipt]));
        for text in ["{", "{}", "{\"format\":\"kp-receipt/2\"}"] {
            fake.file("/var/lib/kp/card.json", text);
            let why = Receipt::read(&fake, "card").expect_err(text);
            assert!(why.to_string().starts_with("/var/lib/kp/card.json cannot be read ("), "{why}");
        }
    }

    #[test]
    fn a_receipt_that_this_user_may_not_read_is_another_refusal_than_one_that_is_broken() {
        let denied = unread("/var/lib/kp/card.json", &io::ErrorKind::PermissionDenied.into());
        let text = "/var/lib/kp/card.json is not for this user to read: the same command again, with `sudo`; nothing was changed";
        assert_eq!((denied.exit() as u8, &*denied.to_string()), (5, text));
        let fake = Fake::new();
        fake.file("/var/lib/kp/card.json/x", "");
        let broken = Receipt::read(&fake, "card").expect_err("it is a folder");
        assert_eq!(broken.code(), "E052");
    }

    #[test]
    fn a_hash_is_sha256() {
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
