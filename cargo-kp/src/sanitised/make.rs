//! Builds a kernel with its own build files.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::build::kernels_make;
use crate::vm::progress::Progress;

/// The compiler of Debian's kernels of this source.
const COMPILER: &str = "gcc-12";
/// About how many files such a kernel has to compile and link.
const FILES: usize = 1600;

/// make, for a kernel that is built in `dir`.
pub fn command(source: &Path, dir: &Path) -> Command {
    let mut make = kernels_make();
    make.arg("-C").arg(source).arg(format!("O={}", dir.display()));
    make.args([format!("CC={COMPILER}"), format!("HOSTCC={COMPILER}")]);
    // Who has built it, and where, is nobody's business.
    make.env("KBUILD_BUILD_USER", "kp").env("KBUILD_BUILD_HOST", "kp");
    make
}

/// Builds the image, and what modules are built with. What an earlier run has made stays.
pub fn run(name: &str, source: &Path, dir: &Path) -> Result<()> {
    let path = dir.join("make.log");
    let mut log = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    let (reader, writer) = std::io::pipe().context("no pipe")?;
    let twin = writer.try_clone().context("no pipe")?;
    let mut make = command(source, dir);
    make.args(["bzImage", "modules"]).stdout(writer).stderr(twin);
    let mut child = make.spawn().context("cannot run make")?;
    // The command holds the pipe's writing ends; the reader would wait for them forever.
    drop(make);

    let progress = Progress::start(&format!("building {name}"));
    let (mut made, mut why) = (0, None);
    let mut lines = BufReader::new(reader);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        log.write_all(&line).with_context(|| format!("cannot write {}", path.display()))?;
        let text = String::from_utf8_lossy(&line);
        if is_step(&text) {
            made += 1;
            progress.tell(&format!("{made} of about {FILES} files"));
        }
        if why.is_none() && tells_why(&text) {
            why = Some(text.trim().to_owned());
        }
        line.clear();
    }
    let status = child.wait().context("cannot wait for make")?;
    progress.finish(if status.success() { "done" } else { "failed" });
    if !status.success() {
        let why = why.unwrap_or_else(|| status.to_string());
        bail!("{name} does not build: {why}; all that make said is in {}", path.display());
    }
    // Of use to nobody once it has gone well.
    let _ = fs::remove_file(&path);
    Ok(())
}

/// Whether a line tells of a file that is being made, as `  CC      mm/slub.o`.
fn is_step(line: &str) -> bool {
    line.strip_prefix("  ").is_some_and(|rest| rest.starts_with(|letter: char| letter.is_ascii_uppercase()))
}

/// Whether a line says why a build failed. What make adds, of targets, tells less.
fn tells_why(line: &str) -> bool {
    let line = line.to_lowercase();
    ["error:", "no space left on device", "not found", "killed"].iter().any(|part| line.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_make_says_the_files_are_counted_and_the_reason_is_found() {
        let said = "make: Entering directory\n  GEN     Makefile\n  CC      mm/slub.o\nmm/slub.c:7:1: error: hm\n\
                    make[3]: *** [x] Error 1\nfatal error: error writing to /tmp/x.s: No space left on device\n";
        assert_eq!(said.lines().filter(|line| is_step(line)).count(), 2);
        let why: Vec<&str> = said.lines().filter(|line| tells_why(line)).collect();
        assert_eq!(why[0], "mm/slub.c:7:1: error: hm");
        assert_eq!(why.len(), 2);
    }
}
