//! Which file of a crate imports which, and the circles among them.
use crate::{
    resolve::{Crate, Target},
    source::{Disk, Source},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

/// The imports among the files of a crate, with one path each that says why.
pub struct Imports(BTreeMap<(PathBuf, PathBuf), String>);

/// Files that all lead to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circle {
    /// The files, below the crate's folder.
    pub files: Vec<String>,
    /// Its imports, a line each.
    pub imports: Vec<String>,
}

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} files import each other in a circle: {}", self.files.len(), self.files.join(", "))?;
        self.imports.iter().try_for_each(|import| writeln!(f, "    {import}"))
    }
}

impl Imports {
    /// Reads the crate in this folder, from `src/lib.rs` on.
    pub fn of_crate(folder: &Path) -> Self {
        Self::read(&Disk(folder.to_owned()), "src/lib.rs")
    }

    pub(crate) fn read(source: &dyn Source, root: &str) -> Self {
        let modules = Crate::read(source, root);
        let mut imports = Self(BTreeMap::new());
        for number in 0..modules.0.len() {
            imports.add_module(&modules, number);
        }
        imports
    }

    fn add_module(&mut self, modules: &Crate, number: usize) {
        let module = &modules.0[number];
        for import in &module.text.imports {
            match &import.name {
                // A name that is only passed on is no import: this file is a table of contents for it.
                Some(name) if import.is_reexport && !module.text.names.contains(name) => {}
                Some(_) => self.add(modules, number, &import.path),
                None => self.add_glob(modules, number, &import.path),
            }
        }
        for path in &module.text.paths {
            self.add(modules, number, path);
        }
    }

    /// `use super::*` imports what this file has names for.
    fn add_glob(&mut self, modules: &Crate, number: usize, path: &[String]) {
        for target in modules.resolve(number, path) {
            let Target::Module(from) = target else {
                self.add(modules, number, path);
                continue;
            };
            for name in &modules.0[number].text.names {
                for target in modules.named(from, name, 0) {
                    self.add_target(modules, number, target, &[path, std::slice::from_ref(name)].concat());
                }
            }
        }
    }

    fn add(&mut self, modules: &Crate, number: usize, path: &[String]) {
        for target in modules.resolve(number, path) {
            self.add_target(modules, number, target, path);
        }
    }

    fn add_target(&mut self, modules: &Crate, number: usize, target: Target, path: &[String]) {
        let from = &modules.0[number].file;
        let (Target::Module(to) | Target::Item(to)) = target;
        let to = &modules.0[to];
        if to.file != *from && to.text.has_code {
            self.0.entry((from.clone(), to.file.clone())).or_insert_with(|| path.join("::"));
        }
    }

    /// The circles among the files below `folder`, the largest first.
    pub fn circles(&self, folder: &str) -> Vec<Circle> {
        let edges: BTreeSet<(&Path, &Path)> = self
            .0
            .keys()
            .map(|(from, to)| (from.as_path(), to.as_path()))
            .filter(|(from, to)| from.starts_with(folder) && to.starts_with(folder))
            .collect();
        let files: BTreeSet<&Path> = edges.iter().flat_map(|&(from, to)| [from, to]).collect();
        let reach: BTreeMap<&Path, BTreeSet<&Path>> =
            files.iter().map(|&file| (file, reachable(&edges, file))).collect();
        let mut done = BTreeSet::new();
        let mut circles = Vec::new();
        for &file in &files {
            let circle: BTreeSet<&Path> =
                reach[file].iter().copied().filter(|other| reach[other].contains(file)).collect();
            if circle.contains(file) && done.insert(circle.clone()) {
                circles.push(self.circle(&circle));
            }
        }
        circles.sort_by_key(|circle| std::cmp::Reverse(circle.files.len()));
        circles
    }

    fn circle(&self, files: &BTreeSet<&Path>) -> Circle {
        let inside =
            self.0.iter().filter(|((from, to), _)| files.contains(from.as_path()) && files.contains(to.as_path()));
        Circle {
            files: files.iter().map(|file| file.display().to_string()).collect(),
            imports: inside
                .map(|((from, to), path)| format!("{} -> {} ({path})", from.display(), to.display()))
                .collect(),
        }
    }
}

/// All files that imports lead to from this one.
fn reachable<'a>(edges: &BTreeSet<(&'a Path, &'a Path)>, from: &'a Path) -> BTreeSet<&'a Path> {
    let mut reached = BTreeSet::new();
    let mut open = vec![from];
    while let Some(file) = open.pop() {
        for &(_, to) in edges.range((file, Path::new(""))..).take_while(|(from, _)| *from == file) {
            if reached.insert(to) {
                open.push(to);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A crate of small texts.
    struct Texts(&'static [(&'static str, &'static str)]);

    impl Source for Texts {
        fn text(&self, path: &Path) -> Option<String> {
            self.0.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| (*text).to_owned())
        }
    }

    fn circles(texts: &'static [(&'static str, &'static str)]) -> Vec<Vec<String>> {
        Imports::read(&Texts(texts), "src/lib.rs").circles("src").into_iter().map(|circle| circle.files).collect()
    }

    #[test]
    fn two_files_that_use_each_other_are_a_circle() {
        let texts = &[
            ("src/lib.rs", "mod a; mod b;"),
            ("src/a.rs", "use crate::b::B; pub struct A(B);"),
            ("src/b.rs", "pub struct B; impl B { fn a() -> super::a::A { todo!() } }"),
        ];
        assert_eq!(circles(texts), [["src/a.rs", "src/b.rs"]]);
    }

    #[test]
    fn one_direction_is_no_circle() {
        let texts = &[
            ("src/lib.rs", "mod a; mod b; pub use a::A; pub use b::B;"),
            ("src/a.rs", "use crate::B; pub struct A(B);"),
            ("src/b.rs", "pub struct B; #[cfg(test)] mod tests { use crate::A; }"),
        ];
        assert_eq!(circles(texts), Vec::<Vec<String>>::new());
    }

    #[test]
    fn a_name_that_is_passed_on_is_the_files_that_has_it() {
        let texts = &[
            ("src/lib.rs", "mod a; mod b; mod f; pub use a::A; pub use f::*; pub fn code() {}"),
            ("src/a.rs", "use super::b::B; pub struct A(B);"),
            ("src/b.rs", "use crate::{A, F}; pub struct B(A, F);"),
            ("src/f/mod.rs", "mod g; pub use g::F;"),
            ("src/f/g.rs", "pub struct F; fn f() { crate::b::f() }"),
        ];
        assert_eq!(circles(texts), [["src/a.rs", "src/b.rs", "src/f/g.rs"]]);
    }

    #[test]
    fn a_folders_own_file_counts_if_it_has_code_that_needs_a_child() {
        let child = ("src/f/g.rs", "use super::limit; pub struct G; fn f() { limit() }");
        assert!(child.1.contains("super::limit"));
        let passes_on = &[
            ("src/lib.rs", "mod f;"),
            ("src/f/mod.rs", "mod g; pub use g::G; pub fn limit() {}"),
            ("src/f/g.rs", "use super::limit; pub struct G; fn f() { limit() }"),
        ];
        assert_eq!(circles(passes_on), Vec::<Vec<String>>::new());
        let needs = &[
            ("src/lib.rs", "mod f;"),
            ("src/f/mod.rs", "mod g; pub use g::G; pub fn limit() -> G { todo!() }"),
            ("src/f/g.rs", "use super::limit; pub struct G; fn f() { limit() }"),
        ];
        assert_eq!(circles(needs), [["src/f/g.rs", "src/f/mod.rs"]]);
    }

    #[test]
    fn a_module_by_its_name_and_a_module_in_place() {
        let texts = &[
            ("src/lib.rs", "mod a; mod f; mod c;"),
            ("src/a.rs", "use crate::f; pub struct A; fn g() { f::b::call() }"),
            ("src/f/mod.rs", "pub mod b;"),
            ("src/f/b.rs", "pub fn call() {} mod deep { use super::super::super::a::A; fn f(_: A) {} }"),
            ("src/c.rs", "use super::*; fn f() { a::g() }"),
        ];
        assert_eq!(circles(texts), [["src/a.rs", "src/f/b.rs"]]);
    }

    #[test]
    fn super_in_a_module_that_a_macro_writes_is_the_file_of_the_macro() {
        let texts = &[
            ("src/lib.rs", "mod f;"),
            ("src/f/mod.rs", "mod a; mod b; pub use b::B;"),
            ("src/f/a.rs", "macro_rules! m { () => { mod inner { use super::*; fn f(_: b) {} } } } pub struct A;"),
            ("src/f/b.rs", "use super::a::A; pub struct B(A);"),
        ];
        assert_eq!(circles(texts), Vec::<Vec<String>>::new());
    }

    #[test]
    fn a_circle_outside_of_the_folder_is_not_its_own() {
        let texts = &[
            ("src/lib.rs", "mod a; mod b; mod f;"),
            ("src/a.rs", "use crate::b::B; pub struct A(B);"),
            ("src/b.rs", "use crate::a::A; pub struct B(A);"),
            ("src/f.rs", "use crate::a::A; fn f(_: A) {}"),
        ];
        let imports = Imports::read(&Texts(texts), "src/lib.rs");
        assert_eq!(imports.circles("src/f"), []);
        let said = imports.circles("src")[0].to_string();
        assert!(said.contains("src/a.rs -> src/b.rs (crate::b::B)"), "{said}");
    }
}
