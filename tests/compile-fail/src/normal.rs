//! Makes a compiler's text independent of where things lie: machine, folder, line numbers of other files.
//!
//! Of a file that is no case only the name is kept: a compiler may have its source at hand, or not.

/// What is said of a type whose name is cut.
const LONG_TYPE: [&str; 2] =
    ["the full name for the type has been written to", "to print the full type name to the console"];

/// The text of a case's errors, as it is kept in a snapshot.
pub fn normal(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut in_case = true;
    for line in text.lines() {
        let trimmed = line.trim_start();
        let (number, rest) = gutter(trimmed);
        let indented = line != trimmed && !trimmed.is_empty();
        if LONG_TYPE.iter().any(|part| rest.contains(part)) {
            // A file of this machine.
        } else if let Some((arrow, path)) = location(trimmed) {
            let (kept, is_case) = name(path);
            in_case = is_case;
            lines.push(format!("   {arrow} {kept}"));
        } else if rest.starts_with('|') || trimmed == "..." {
            if in_case {
                lines.push(format!("{number:>3} {rest}"));
            }
        } else if indented && rest.starts_with('=') {
            lines.push(format!("    {rest}"));
        } else if trimmed.starts_with("and ") && trimmed.ends_with(" others") {
            // How many types have a trait is nothing that an author is told by it.
            lines.push("        and … others".to_owned());
        } else if indented {
            // Goes on with a note, as far to the right as the gutter is wide.
            lines.push(format!("        {trimmed}"));
        } else {
            in_case |= line.is_empty();
            lines.push(line.to_owned());
        }
    }
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// A line's number, and the rest of it.
fn gutter(line: &str) -> (&str, &str) {
    let end = line.find(|character: char| !character.is_ascii_digit()).unwrap_or(line.len());
    let (number, rest) = line.split_at(end);
    (number, rest.trim_start())
}

/// The two parts of `--> path:line:column`.
fn location(line: &str) -> Option<(&str, &str)> {
    let (arrow, path) = line.split_once(' ')?;
    (arrow == "-->" || arrow == ":::").then_some((arrow, path))
}

/// A path as it is kept, and whether it is the case's, or of something that cases include.
fn name(path: &str) -> (String, bool) {
    let path = path.replace('\\', "/");
    let file = path.split_once(".rs:").map_or(path.as_str(), |(file, _)| file);
    for ours in ["kp-core/src/", "kp-abi/src/"] {
        if let Some(at) = file.rfind(ours) {
            return (format!("{}.rs", &file[at..]), false);
        }
    }
    if let Some(at) = file.find("/library/") {
        return (format!("$RUST{}.rs", &file[at..]), false);
    }
    if file.starts_with('/') || file.get(1..2) == Some(":") {
        return (format!("$DEPENDENCY/{}.rs", file.rsplit('/').next().unwrap_or_default()), false);
    }
    (path, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_do_not_depend_on_the_machine() {
        let here = "error[E0277]: no
   --> case.rs:5:9
    |
  5 |     read(x)
    |     ^^^^ cannot
    |
note: required by a bound in `read`
   --> /home/me/kp-core/src/regs.rs:198:7
    |
198 |     fn read()
    |        ^^^^
   ::: /home/me/rust/library/core/src/ops.rs:10:1
    |
 10 |     trait Fn
    = note: long
            goes on
";
        let there =
            here.replace("/home/me/", "/srv/").replace("198", " 98").replace("            goes", "           goes");
        assert_eq!(normal(here), normal(&there));
        let kept = normal(here);
        for part in ["  5 |     read(x)\n", "--> kp-core/src/regs.rs\n", "::: $RUST/library/core/src/ops.rs\n"] {
            assert!(kept.contains(part), "{part:?} in {kept}");
        }
        assert!(!kept.contains("trait Fn") && !kept.contains("fn read()"));
    }
}
