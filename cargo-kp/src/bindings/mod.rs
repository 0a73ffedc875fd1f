//! `cargo kp bindings`: a plugin's messages for an app in another language, as source text of that language.
//!
//! [`files`](Language::files) makes them of a [`Schema`]. `names` says what things are called in a language that has its own keywords, `types`
//! gathers a schema's types, `errors` and `sentences` have the table of statuses and what is said beside as the templates have them, `render` fills the templates of
//! `templates/bindings` in, and `write` puts files where they belong, all or none. Then each language has a file; `c_types` is of
//! both C and C++.
mod c;
mod c_types;
mod cpp;
mod errors;
mod names;
mod python;
mod render;
mod sentences;
mod taken;
mod types;
mod write;

use crate::{build, command::Command};
use anyhow::Result;
use clap::ValueEnum;
use kp_tool::{Message, schema::Schema};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Makes bindings of a plugin's messages: what an app in another language includes or imports.
#[derive(Debug, Clone, clap::Args)]
pub struct BindingsArgs {
    /// The plugin's package. Without it: the package here, or the only plugin of the workspace.
    #[arg(short, long, value_name = "PLUGIN", conflicts_with = "schema")]
    plugin: Option<String>,
    /// The language.
    #[arg(long, value_enum)]
    lang: Language,
    /// Messages from a file that `cargo kp schema --json` or `kp schema NAME --json` has printed, in the place of a plugin's source.
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Where the files are put. Without it: apps/LANG in the plugin's workspace; with --schema: here.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write nothing: fail if a file is not what would be written.
    #[arg(long)]
    check: bool,
}

/// A language that there are bindings for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// One header, NAME.h: C99, which C++ takes too.
    C,
    /// NAME.hpp: C++17; and NAME.h, which it includes.
    Cpp,
    /// A package NAME: Python 3.8 and later.
    Python,
}

/// A file of the bindings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path below the folder of the bindings, with `/` between folders.
    pub path: String,
    /// What is in it.
    pub text: String,
}

impl Language {
    /// What it is called on the command line, and its folder below `apps`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::C => "c",
            Self::Cpp => "cpp",
            Self::Python => "python",
        }
    }

    /// The bindings. The same schema gives the same text, and each file says of which fingerprint it is.
    ///
    /// # Errors
    /// A template does not fit, which is a fault of this program.
    pub fn files(self, schema: &Schema) -> Result<Vec<File>> {
        match self {
            Self::C => c::files(schema),
            Self::Cpp => cpp::files(schema),
            Self::Python => python::files(schema),
        }
    }
}

/// What each message that is called is called there: a function of C's, a method of the others'.
pub(crate) fn functions(language: Language, schema: &Schema) -> Vec<String> {
    match language {
        Language::C => c::Interface::of(schema).messages.into_iter().map(|message| message.function).collect(),
        Language::Cpp => cpp::methods(schema),
        Language::Python => python::methods(schema),
    }
}

/// What all names of an interface begin with, or are in.
pub(crate) fn prefix(language: Language, schema: &Schema) -> String {
    match language {
        Language::C => c::prefix(schema),
        Language::Cpp => cpp::namespace(schema),
        Language::Python => python::class(schema),
    }
}

/// What each file says of the interface that it is made of: a checkout, or a person, tells by it which one that was.
fn mark(schema: &Schema) -> String {
    format!("fingerprint {:016x}", schema.fingerprint())
}

impl Command for BindingsArgs {
    fn run(self) -> Result<()> {
        let (schema, home, again) = self.source()?;
        let out = self.out.clone().unwrap_or(home);
        let files = self.lang.files(&schema)?;
        if self.check {
            for file in &files {
                if let Some(why) = differs(&out, file, &schema) {
                    let (file, again) = (out.join(&file.path).display().to_string(), self.again(&again));
                    return Err(Message::BindingsStale { file, why, again }.into());
                }
            }
            files.iter().for_each(|file| println!("{}: up to date", out.join(&file.path).display()));
            return Ok(());
        }
        write::all(&out, &files)?;
        files.iter().for_each(|file| println!("{}: written", out.join(&file.path).display()));
        Ok(())
    }
}

impl BindingsArgs {
    /// The messages, where their bindings belong, and how the command names where they are from.
    fn source(&self) -> Result<(Schema, PathBuf, String)> {
        if let Some(file) = &self.schema {
            let of = file.display().to_string();
            let text = fs::read_to_string(file)
                .map_err(|error| Message::NoSchemaFile { file: of.clone(), why: error.to_string() })?;
            let schema =
                Schema::from_json(&text).map_err(|bad| Message::BadSchema { of: of.clone(), why: bad.to_string() })?;
            return Ok((schema, PathBuf::from("."), format!("--schema {of}")));
        }
        let plugin = build::select(self.plugin.as_deref(), Path::new("."))?;
        let bytes = build::interface(&plugin)?;
        let name = plugin.name;
        if bytes.is_empty() {
            return Err(Message::NoInterface { plugin: name }.into());
        }
        let schema =
            Schema::decode(&bytes).map_err(|bad| Message::BadSchema { of: name.clone(), why: bad.to_string() })?;
        Ok((schema, plugin.workspace.join("apps").join(self.lang.name()), format!("-p {name}")))
    }

    /// The command that writes what a check has missed.
    fn again(&self, from: &str) -> String {
        let out = self.out.as_ref().map(|out| format!(" --out {}", out.display())).unwrap_or_default();
        format!("cargo kp bindings {from} --lang {}{out}", self.lang.name())
    }
}

/// Why a file is not what would be written; nothing if it is.
fn differs(out: &Path, file: &File, schema: &Schema) -> Option<String> {
    let there = match fs::read_to_string(out.join(&file.path)) {
        Ok(there) => there.replace("\r\n", "\n"), // a checkout may have its own ends of lines
        Err(error) => return Some(format!("cannot be read ({error})")),
    };
    if there == file.text {
        return None;
    }
    let marked = there.split("fingerprint ").nth(1).and_then(|rest| rest.get(..16));
    match marked {
        Some(its) if its.bytes().all(|byte| byte.is_ascii_hexdigit()) && !there.contains(&mark(schema)) => {
            Some(format!("is of fingerprint {its}, the interface of {:016x}", schema.fingerprint()))
        }
        _ => Some("is not what this cargo kp makes of the interface".to_owned()),
    }
}
