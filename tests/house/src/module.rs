//! One module as its text has it: its child modules, what it imports, and the paths that its code names.
//!
//! `#[cfg(test)]` items are left out. So are paths that begin with `$crate`: whoever expands the macro names them.
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use std::collections::BTreeSet;

/// The words that an item's name stands behind.
const ITEMS: [&str; 8] = ["fn", "struct", "enum", "union", "trait", "type", "const", "static"];

/// What a `use` makes known in its module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Import {
    /// The path, without `as` and `*`.
    pub(crate) path: Vec<String>,
    /// The name in the module; none for `*`.
    pub(crate) name: Option<String>,
    /// `pub use`, `pub(crate) use` and the like: there for other files too.
    pub(crate) is_reexport: bool,
}

/// A `mod name;` or `mod name { … }`.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) name: String,
    /// What `#[path = "…"]` says.
    pub(crate) file: Option<String>,
    /// Some if the module is written in place.
    pub(crate) inline: Option<Text>,
}

/// A module's text, read.
#[derive(Debug, Default)]
pub(crate) struct Text {
    pub(crate) children: Vec<Child>,
    pub(crate) imports: Vec<Import>,
    /// Paths of two parts and more, outside of `use`.
    pub(crate) paths: Vec<Vec<String>>,
    /// Every name outside of `use`.
    pub(crate) names: BTreeSet<String>,
    /// What it has: the names behind `fn`, `struct` and the like, also of what a macro is given.
    pub(crate) items: BTreeSet<String>,
    /// Is there anything but `mod` and `use`?
    pub(crate) has_code: bool,
}

impl Text {
    /// Reads the text of a file. Errors: it is no Rust.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let tokens: TokenStream = text.parse().map_err(|error| format!("{error}"))?;
        Ok(Self::of(tokens))
    }

    fn of(tokens: TokenStream) -> Self {
        let mut text = Self::default();
        text.items(tokens);
        text
    }

    /// Reads what stands between two brackets, or in a whole module. A `mod` in a function or a macro is a child too: its
    /// `super` is this module.
    fn items(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        let mut file = None;
        while at < tokens.len() {
            if let Some((attribute, inner, end)) = attribute(&tokens, at) {
                at = end;
                if inner {
                    continue;
                }
                if is_for_tests(&attribute) {
                    at = item_end(&tokens, at);
                    file = None;
                } else {
                    file = path_attribute(&attribute).or(file);
                }
                continue;
            }
            let (is_public, start) = visibility(&tokens, at);
            let word = tokens.get(start).map(ToString::to_string).unwrap_or_default();
            let next = tokens.get(start + 1);
            match (word.as_str(), next) {
                ("use", Some(_)) => {
                    let end = (start..tokens.len()).find(|&at| is_punct(tokens.get(at), ';')).unwrap_or(tokens.len());
                    self.tree(&tokens[start + 1..end], &[], is_public);
                    at = end + 1;
                }
                ("mod", Some(TokenTree::Ident(name))) => {
                    let inline = match tokens.get(start + 2) {
                        Some(TokenTree::Group(body)) => Some(Self::of(body.stream())),
                        _ => None,
                    };
                    self.has_code |= inline.is_some();
                    self.children.push(Child { name: name.to_string(), file: file.take(), inline });
                    at = start + 3;
                }
                _ => {
                    self.has_code |= start < tokens.len();
                    at = self.expression(&tokens, start);
                }
            }
            file = None;
        }
    }

    /// Reads one token that is no item's start, or a whole path; where it goes on.
    fn expression(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        match tokens.get(at) {
            Some(TokenTree::Group(group)) => {
                self.items(group.stream());
                at + 1
            }
            Some(TokenTree::Ident(first)) => {
                let mut path = vec![first.to_string()];
                let mut end = at + 1;
                while is_colons(tokens, end)
                    && let Some(TokenTree::Ident(part)) = tokens.get(end + 2)
                {
                    path.push(part.to_string());
                    end += 3;
                }
                self.names.extend(path.iter().cloned());
                let before = at.checked_sub(1).and_then(|before| tokens.get(before));
                // `*const u8` has nothing of this name.
                let is_pointer = at >= 2 && is_punct(tokens.get(at - 2), '*');
                if matches!(before, Some(TokenTree::Ident(word)) if ITEMS.contains(&word.to_string().as_str()))
                    && !is_pointer
                {
                    self.items.insert(path[0].clone());
                }
                let goes_on =
                    [':', '.', '$', '\''].iter().any(|&mark| is_punct(before, mark)) && !is_single_colon(tokens, at);
                if path.len() > 1 && !goes_on {
                    self.paths.push(path);
                }
                end
            }
            _ => at + 1,
        }
    }

    /// Reads `a::b`, `a::{b, c::{self, d}}`, `a::*`, `a as b`.
    fn tree(&mut self, tokens: &[TokenTree], before: &[String], is_reexport: bool) {
        for tokens in tokens.split(|token| is_punct(Some(token), ',')).filter(|tokens| !tokens.is_empty()) {
            let mut path = before.to_vec();
            let mut name = None;
            let mut at = 0;
            while let Some(token) = tokens.get(at) {
                match token {
                    TokenTree::Group(group) => {
                        let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                        self.tree(&inner, &path, is_reexport);
                        path.clear();
                    }
                    TokenTree::Ident(word) if word == "as" => {
                        name = tokens.get(at + 1).map(ToString::to_string);
                        break;
                    }
                    TokenTree::Ident(word) if word == "self" && !path.is_empty() => {}
                    TokenTree::Ident(word) => path.push(word.to_string()),
                    TokenTree::Punct(mark) if mark.as_char() == '*' => {
                        self.imports.push(Import { path: std::mem::take(&mut path), name: None, is_reexport });
                    }
                    // `::name` is a crate.
                    TokenTree::Punct(_) if path.is_empty() => path.push(String::new()),
                    _ => {}
                }
                at += 1;
            }
            path.retain({
                let mut first = true;
                move |part| std::mem::take(&mut first) || !part.is_empty()
            });
            if let Some(last) = path.last() {
                let name = Some(name.unwrap_or_else(|| last.clone()));
                self.imports.push(Import { path, name, is_reexport });
            }
        }
    }
}

fn is_punct(token: Option<&TokenTree>, mark: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == mark)
}

fn is_colons(tokens: &[TokenTree], at: usize) -> bool {
    is_punct(tokens.get(at), ':') && is_punct(tokens.get(at + 1), ':')
}

/// Is what stands before `at` one colon (`name: Type`), not two?
fn is_single_colon(tokens: &[TokenTree], at: usize) -> bool {
    at >= 1 && is_punct(tokens.get(at - 1), ':') && (at < 2 || !is_punct(tokens.get(at - 2), ':'))
}

/// The attribute at `at`, if one is there: what it says, whether it is an inner one, where it ends.
fn attribute(tokens: &[TokenTree], at: usize) -> Option<(Group, bool, usize)> {
    if !is_punct(tokens.get(at), '#') {
        return None;
    }
    let inner = is_punct(tokens.get(at + 1), '!');
    let at = at + 1 + usize::from(inner);
    match tokens.get(at) {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Bracket => {
            Some((group.clone(), inner, at + 1))
        }
        _ => None,
    }
}

/// Is it `cfg(test)`, or a `cfg` that needs it?
fn is_for_tests(attribute: &Group) -> bool {
    let text: String = attribute.stream().to_string().split_whitespace().collect();
    text == "cfg(test)" || text.starts_with("cfg(all(test,")
}

/// What `path = "…"` says.
fn path_attribute(attribute: &Group) -> Option<String> {
    let text = attribute.stream().to_string();
    let path = text.strip_prefix("path")?.trim_start().strip_prefix('=')?;
    Some(path.trim().trim_matches('"').to_owned())
}

/// Is there a `pub` or `pub(…)` at `at`, and where does it end?
fn visibility(tokens: &[TokenTree], at: usize) -> (bool, usize) {
    if !matches!(tokens.get(at), Some(TokenTree::Ident(word)) if word == "pub") {
        return (false, at);
    }
    let scope = match tokens.get(at + 1) {
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
            let first = group.stream().into_iter().next().map(|token| token.to_string());
            first.is_some_and(|first| ["crate", "super", "self", "in"].contains(&first.as_str()))
        }
        _ => false,
    };
    (true, at + 1 + usize::from(scope))
}

/// Where the item (or field, or statement) ends that begins at `at`.
fn item_end(tokens: &[TokenTree], mut at: usize) -> usize {
    while let Some((_, _, end)) = attribute(tokens, at) {
        at = end;
    }
    let (_, start) = visibility(tokens, at);
    let word = tokens.get(start).map(ToString::to_string).unwrap_or_default();
    let is_function =
        (start..start + 4).any(|at| matches!(tokens.get(at), Some(TokenTree::Ident(word)) if word == "fn"));
    let (ends_with_body, ends_with_comma) = match word.as_str() {
        "use" | "static" | "let" | "type" => (false, false),
        "const" if !is_function => (false, false),
        "mod" | "struct" | "enum" | "union" | "trait" | "impl" | "macro_rules" => (true, false),
        _ if is_function => (true, false),
        _ => (true, true),
    };
    let ends = |token: &TokenTree| match token {
        TokenTree::Punct(mark) => mark.as_char() == ';' || ends_with_comma && mark.as_char() == ',',
        TokenTree::Group(group) => ends_with_body && group.delimiter() == Delimiter::Brace,
        _ => false,
    };
    (start..tokens.len()).find(|&at| ends(&tokens[at])).map_or(tokens.len(), |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(text: &str) -> Vec<String> {
        let show = |import: Import| {
            let name = import.name.unwrap_or_else(|| "*".to_owned());
            format!("{}{} as {name}", if import.is_reexport { "pub " } else { "" }, import.path.join("::"))
        };
        Text::parse(text).unwrap().imports.into_iter().map(show).collect()
    }

    fn paths(text: &str) -> Vec<String> {
        Text::parse(text).unwrap().paths.into_iter().map(|path| path.join("::")).collect()
    }

    #[test]
    fn a_tree_of_imports_is_read_to_its_leaves() {
        let text = "use a::{b, c::{self, d as e, f::*}, super::super::g,}; pub(crate) use crate::h; use ::i::j;";
        let read = ["a::b as b", "a::c as c", "a::c::d as e", "a::c::f as *", "a::super::super::g as g"];
        let more = ["pub crate::h as h", "::i::j as j"];
        assert_eq!(imports(text), [&read[..], &more[..]].concat());
    }

    #[test]
    fn paths_are_read_in_types_bodies_and_macros() {
        let text =
            "struct S(crate::a::B); fn f(x: super::T<crate::c::D>) { y::<u8>(); println!(\"{}\", crate::e::f()) }";
        assert_eq!(paths(text), ["crate::a::B", "super::T", "crate::c::D", "crate::e::f"]);
    }

    #[test]
    fn what_is_no_path_of_this_file_is_none() {
        let text = "macro_rules! m { () => { $crate::a::b() } } pub(in crate::x) fn f() {} fn g() { ::other::h() }";
        assert_eq!(paths(text), Vec::<String>::new());
    }

    #[test]
    fn what_is_only_for_tests_does_not_count() {
        let text = "
            #[cfg(test)] use crate::a::A;
            #[cfg(test)] mod tests { use crate::b::B; }
            #[cfg(test)] #[allow(x)] pub(crate) fn f<T, U>() { crate::c::c() }
            #[cfg(all(test, unix))] static S: T = { crate::d::D };
            struct S { #[cfg(test)] e: crate::e::E, f: crate::f::F }
            #[cfg(not(test))] use crate::g::G;
        ";
        assert_eq!(imports(text), ["crate::g::G as G"]);
        assert_eq!(paths(text), ["crate::f::F"]);
    }

    #[test]
    fn a_file_of_mod_and_use_has_no_code() {
        let table = "//! Docs.\n#![allow(x)]\nmod a;\n#[cfg(unix)]\npub mod b;\npub use a::A;\n#[cfg(test)] mod tests { fn f() {} }";
        assert!(!Text::parse(table).unwrap().has_code);
        assert!(Text::parse("mod a; const X: u8 = 1;").unwrap().has_code);
    }
}
