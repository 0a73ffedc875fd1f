//! A crate's modules, and which file a path of one of them leads to.
use crate::{
    module::{Import, Text},
    source::{Source, simplified},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// Re-exports of re-exports are followed this far.
const MAX_DEPTH: usize = 16;

pub(crate) struct Module {
    /// Below the crate's folder. A module that is written in place has its parent's.
    pub(crate) file: PathBuf,
    parent: usize,
    pub(crate) children: BTreeMap<String, usize>,
    pub(crate) text: Text,
}

/// Where a path leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    Module(usize),
    /// Something that this module has.
    Item(usize),
}

/// All modules of one crate; the first is the root.
pub(crate) struct Crate(pub(crate) Vec<Module>);

impl Crate {
    /// Reads a crate from its root file on. Panics if a file is not there or is no Rust: then this reader is wrong.
    pub(crate) fn read(source: &dyn Source, root: &str) -> Self {
        let mut modules = Self(Vec::new());
        let root = Path::new(root);
        let folder = root.parent().unwrap_or(Path::new("")).to_owned();
        modules.add_file(source, root.to_owned(), folder, 0);
        modules
    }

    /// `folder`: where the files of its child modules are.
    fn add_file(&mut self, source: &dyn Source, file: PathBuf, folder: PathBuf, parent: usize) -> usize {
        let Some(text) = source.text(&file) else {
            panic!("{}: a `mod` names this file, and it is not there", file.display())
        };
        let text = Text::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.add(source, text, file, folder, parent)
    }

    fn add(&mut self, source: &dyn Source, mut text: Text, file: PathBuf, folder: PathBuf, parent: usize) -> usize {
        let number = self.0.len();
        let children = std::mem::take(&mut text.children);
        self.0.push(Module { file: file.clone(), parent, children: BTreeMap::new(), text });
        for child in children {
            let inside = folder.join(&child.name);
            let added = match (child.inline, child.file) {
                (Some(text), _) => self.add(source, text, file.clone(), inside, number),
                (None, Some(path)) => {
                    let at = simplified(&file.parent().unwrap_or(Path::new("")).join(path));
                    let below = at.parent().unwrap_or(Path::new("")).to_owned();
                    self.add_file(source, at, below, number)
                }
                (None, None) => {
                    let plain = inside.with_extension("rs");
                    let at = if source.text(&plain).is_some() { plain } else { inside.join("mod.rs") };
                    self.add_file(source, at, inside, number)
                }
            };
            self.0[number].children.insert(child.name, added);
        }
        number
    }

    /// Where a path leads that `module` names; nothing for what is outside of this crate.
    pub(crate) fn resolve(&self, module: usize, path: &[String]) -> BTreeSet<Target> {
        self.resolve_in(module, path, 0)
    }

    fn resolve_in(&self, module: usize, path: &[String], depth: usize) -> BTreeSet<Target> {
        let Some((first, rest)) = path.split_first() else { return BTreeSet::new() };
        if depth > MAX_DEPTH {
            return BTreeSet::new();
        }
        let mut starts = BTreeSet::new();
        match first.as_str() {
            "crate" => _ = starts.insert(Target::Module(0)),
            "self" => _ = starts.insert(Target::Module(module)),
            "super" => _ = starts.insert(Target::Module(self.0[module].parent)),
            name => {
                starts = self.child_or_import(module, name, depth);
            }
        }
        rest.iter().fold(starts, |starts, part| {
            let next = |start| match start {
                Target::Module(module) => self.member(module, part, depth),
                item => BTreeSet::from([item]),
            };
            starts.into_iter().flat_map(next).collect()
        })
    }

    /// What `part` is in a module: its parent, a child, something that it imports or has. What nobody is seen to have is the
    /// module's, since macros write items too.
    fn member(&self, module: usize, part: &str, depth: usize) -> BTreeSet<Target> {
        match part {
            "super" => BTreeSet::from([Target::Module(self.0[module].parent)]),
            "self" => BTreeSet::from([Target::Module(module)]),
            part => {
                let found = self.named(module, part, depth);
                if found.is_empty() && !self.is_known(module, part) {
                    BTreeSet::from([Target::Item(module)])
                } else {
                    found
                }
            }
        }
    }

    /// What has this name in a module, as far as its text and what it passes on with `*` say.
    pub(crate) fn named(&self, module: usize, name: &str, depth: usize) -> BTreeSet<Target> {
        if depth > MAX_DEPTH {
            return BTreeSet::new();
        }
        if self.is_known(module, name) {
            return self.child_or_import(module, name, depth);
        }
        let text = &self.0[module].text;
        if text.items.contains(name) {
            return BTreeSet::from([Target::Item(module)]);
        }
        let globs = text.imports.iter().filter(|import| import.name.is_none() && import.is_reexport);
        let modules = globs.flat_map(|glob| self.resolve_in(module, &glob.path, depth + 1));
        let inside = modules.flat_map(|target| match target {
            Target::Module(from) => self.named(from, name, depth + 1),
            Target::Item(_) => BTreeSet::new(),
        });
        inside.collect()
    }

    /// Is it a child or an import, perhaps of another crate's?
    fn is_known(&self, module: usize, name: &str) -> bool {
        self.0[module].children.contains_key(name) || self.imports(module, name).next().is_some()
    }

    fn imports<'a>(&'a self, module: usize, name: &'a str) -> impl Iterator<Item = &'a Import> {
        self.0[module].text.imports.iter().filter(move |import| import.name.as_deref() == Some(name))
    }

    fn child_or_import(&self, module: usize, name: &str, depth: usize) -> BTreeSet<Target> {
        if let Some(&child) = self.0[module].children.get(name) {
            return BTreeSet::from([Target::Module(child)]);
        }
        // `use linux::x` beside `use linux as platform`: a name of its own path would go round forever.
        let imports =
            self.imports(module, name).filter(|import| import.path.first().is_some_and(|first| first != name));
        imports.flat_map(|import| self.resolve_in(module, &import.path, depth + 1)).collect()
    }
}
