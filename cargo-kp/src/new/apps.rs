//! Apps in other languages than Rust: the bindings, a program that prints what the app in Rust prints, and what builds it.
use super::messages::{MessageOf, types};
use super::write::File;
use crate::bindings::{Language, functions, prefix};
use crate::registers::Register;
use anyhow::{Context, Result};
use clap::ValueEnum;
use kp_tool::schema::{Method, Schema};
use minijinja::{Environment, Value, context};
use std::collections::BTreeMap;

/// A language that `cargo kp new` makes an app in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum App {
    /// In `app`, which is always there: `cargo kp vm` runs it.
    Rust,
    /// In `apps/c`.
    C,
    /// In `apps/cpp`.
    Cpp,
    /// In `apps/python`.
    Python,
}

/// The templates of an app, by the path of what they become.
type Templates = &'static [(&'static str, &'static str)];

const C: Templates = &[
    ("main.c", include_str!("../../templates/card/apps/c/main.c.jinja")),
    ("Makefile", include_str!("../../templates/card/apps/c/Makefile.jinja")),
    ("CMakeLists.txt", include_str!("../../templates/card/apps/c/CMakeLists.txt.jinja")),
];

const CPP: Templates = &[
    ("main.cpp", include_str!("../../templates/card/apps/cpp/main.cpp.jinja")),
    ("Makefile", include_str!("../../templates/card/apps/cpp/Makefile.jinja")),
    ("CMakeLists.txt", include_str!("../../templates/card/apps/cpp/CMakeLists.txt.jinja")),
];

const PYTHON: Templates = &[("main.py", include_str!("../../templates/card/apps/python/main.py.jinja"))];

impl App {
    /// The language of its bindings. None: it needs none.
    pub fn language(self) -> Option<Language> {
        match self {
            App::Rust => None,
            App::C => Some(Language::C),
            App::Cpp => Some(Language::Cpp),
            App::Python => Some(Language::Python),
        }
    }

    fn templates(self) -> Templates {
        match self {
            App::Rust => &[],
            App::C => C,
            App::Cpp => CPP,
            App::Python => PYTHON,
        }
    }
}

/// The interface that the messages make: what `cargo kp schema` says of the workspace later.
pub fn schema(name: &str, messages: &[MessageOf]) -> Result<Schema> {
    let methods = messages.iter().zip(1..).map(|(message, id)| {
        let (args, reply) = types(message);
        Method { id, name: message.name.clone(), doc: Some(vec![message.doc.clone()]), retired: false, args, reply }
    });
    Schema::of(name, 1, methods.collect()).context("the messages are no interface")
}

/// The files of one app. `context`: what the workspace's other templates have too.
pub fn files(app: App, schema: &Schema, context: &Value) -> Result<Vec<File>> {
    let Some(language) = app.language() else { return Ok(Vec::new()) };
    let folder = format!("apps/{}", language.name());
    let names = schema.messages.iter().map(|message| message.name.clone());
    let of: BTreeMap<String, String> = names.zip(functions(language, schema)).collect();
    let bindings = language.files(schema)?;
    // A header's name, or the folder that is a package.
    let package = bindings.first().and_then(|file| file.path.split('/').next()).unwrap_or_default().to_owned();
    let names = context! { of, prefix => prefix(language, schema), package };
    let environment = Environment::new();
    let mut files = Vec::new();
    for (path, template) in app.templates() {
        let all = context! { names => names.clone(), ..context.clone() };
        let text = environment.render_named_str(path, template, all).with_context(|| format!("template {path}"))?;
        files.push(File { path: format!("{folder}/{path}"), text: text.trim_end().to_owned() + "\n" });
    }
    for file in bindings {
        files.push(File { path: format!("{folder}/{}", file.path), text: file.text });
    }
    Ok(files)
}

/// The variables that a program needs which reads values of so many bits into them: their types and names.
pub fn variables(bits: impl Iterator<Item = u64>) -> Vec<(String, String)> {
    let mut all: Vec<u64> = bits.collect();
    all.sort_unstable();
    all.dedup();
    all.iter().map(|bits| (format!("uint{bits}_t"), format!("u{bits}"))).collect()
}

/// The largest value of a register, as C writes it.
pub fn most(register: &Register) -> String {
    format!("UINT{}_MAX", register.bits)
}
