//! Each rule that the loader holds drivers to says where it is written, and docs/windows-rules.md lists them.
use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};
use windows_loader::{Rule, Source};

fn here(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// KP_BLESS=1 writes the page anew.
#[test]
fn the_page_of_rules_is_what_the_loader_holds() {
    let mut page = String::from(
        "# What the loader holds a Windows driver to\n\n\
         A run in `tests/windows-loader` ends when a driver breaks one of these. Each is written on a page of Microsoft's, whose title\n\
         is named, or is the loader's own. `tests/rules.rs` there keeps this list.\n\n\
         | rule | where it is written |\n|---|---|\n",
    );
    for rule in Rule::ALL {
        writeln!(page, "| {} | {} |", rule.says(), rule.source()).expect("a text can be written to");
    }
    let file = here("../../docs/windows-rules.md");
    if std::env::var_os("KP_BLESS").is_some() {
        fs::write(&file, &page).expect("the page can be written");
    }
    let is = fs::read_to_string(&file).unwrap_or_default();
    assert!(is == page, "docs/windows-rules.md is out of date: KP_BLESS=1 cargo test -p windows-loader --test rules");
}

#[test]
fn a_rule_is_said_in_one_sentence_and_its_page_by_title() {
    for rule in Rule::ALL {
        assert!(rule.says().ends_with('.') && !rule.says().contains('|'), "{rule:?}: {}", rule.says());
        if let Source::Page(title) = rule.source() {
            assert!(!title.contains("//") && !title.is_empty(), "{rule:?}: {title}");
        }
    }
    let said: BTreeSet<_> = Rule::ALL.iter().map(|rule| rule.says()).collect();
    assert_eq!(said.len(), Rule::ALL.len(), "no rule is there twice");
}

#[test]
fn every_rule_is_held_somewhere() {
    let mut sources = String::new();
    for folder in ["src", "src/exports"] {
        for entry in fs::read_dir(here(folder)).expect("the sources are there") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("rule.rs") {
                sources += &fs::read_to_string(path).expect("a source");
            }
        }
    }
    for rule in Rule::ALL {
        assert!(sources.contains(&format!("Rule::{rule:?}")), "nothing holds a driver to {rule:?}");
    }
}
