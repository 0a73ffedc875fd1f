//! The pages' links lead somewhere.
#![forbid(unsafe_code)]

use house::repository;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The README and the pages under `docs`, with their texts.
fn pages() -> BTreeMap<PathBuf, String> {
    let root = repository("");
    let docs = fs::read_dir(root.join("docs")).expect("docs").map(|entry| entry.expect("an entry").path());
    let pages = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages
        .chain([root.join("README.md")])
        .map(|path| (path.clone(), fs::read_to_string(path).expect("a page")))
        .collect()
}

/// A page's lines outside of blocks of code.
fn prose(page: &str) -> Vec<&str> {
    let mut is_code = false;
    let lines = page.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        is_code ^= fence;
        !fence && !is_code && !line.starts_with("    ")
    });
    lines.collect()
}

/// The names by which a page's headings are linked to, as GitHub makes them.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = prose(page).into_iter().filter_map(|line| line.strip_prefix('#'));
    let name = |heading: &str| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(name).collect()
}

/// The targets of a page's links: `](…)`, and `[…]: …`.
fn targets(page: &str) -> Vec<&str> {
    let lines = prose(page);
    let inline = lines.iter().flat_map(|line| line.split("](").skip(1)).filter_map(|rest| rest.split(')').next());
    let named = lines.iter().filter(|line| line.starts_with('[')).filter_map(|line| line.split_once("]: "));
    inline.chain(named.map(|(_, target)| target)).collect()
}

#[test]
fn every_link_of_a_page_leads_somewhere() {
    let pages = pages();
    assert!(pages.len() > 10, "the pages are found");
    let mut dead = Vec::new();
    for (path, page) in &pages {
        for target in targets(page).into_iter().filter(|target| !target.contains("://")) {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { path.clone() } else { path.parent().unwrap_or(Path::new("")).join(file) };
            let Ok(file) = file.canonicalize() else {
                dead.push(format!("{}: {target}", path.display()));
                continue;
            };
            let has_anchor = pages.iter().any(|(page, text)| {
                page.canonicalize().is_ok_and(|page| page == file) && anchors(text).contains(anchor)
            });
            if !anchor.is_empty() && !has_anchor {
                dead.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(dead.is_empty(), "links that lead nowhere:\n{}", dead.join("\n"));
}
