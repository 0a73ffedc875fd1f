//! What a guest has left: how its programs ended, and what its modules printed when they were unloaded.
//!
//! The conformance program writes a line into the kernel's log after each unload. Before it there has to be the module's own, with how
//! many allocations, locks and mappings are still alive.
use super::{log::Log, stage::with_lines};
use crate::vm::{Report, Verdict};

/// It has to pass, and leave nothing behind.
pub fn clean(report: &Report) -> Result<(), String> {
    passed(report)?;
    freed(&report.log, false)
}

/// It has to pass.
pub fn passed(report: &Report) -> Result<(), String> {
    match &report.verdict {
        Verdict::Passed => Ok(()),
        Verdict::Failed(why) => Err(why.clone()),
    }
}

/// A reason, and below it the last of what programs and kernel have said.
pub fn with_log(why: String, report: &Report) -> String {
    with_lines(with_lines(why, &report.output), &kernel_log(report))
}

/// Keeps all that programs and kernel have said.
pub fn keep(log: &Log, name: &str, report: &Report) {
    log.keep(name, report.output.iter().chain(&kernel_log(report)));
}

fn kernel_log(report: &Report) -> Vec<String> {
    report.log.iter().map(|line| format!("kernel: {line}")).collect()
}

/// What a module prints if it has freed everything.
pub(super) const NOTHING_LIVE: &str = "unloaded; live: 0 allocations, 0 locks, 0 mappings";
/// What every module prints, whatever it has freed.
const LIVE: &str = "unloaded; live: ";
/// What the conformance program writes; the module's name follows.
const MARK: &str = "conformance: unloaded ";

/// Is each number in a list of numbers with names 0?
fn is_nothing(live: &str) -> bool {
    live.split(", ").all(|part| part.split_once(' ').is_some_and(|(number, _)| number == "0"))
}

/// Looks through a guest's log. `Err` says which unload left something behind, or did not say. `leaks`: this guest may.
pub fn freed(log: &[String], leaks: bool) -> Result<(), String> {
    let mut said: Vec<&str> = Vec::new();
    let mut unloads = 0;
    for line in log.iter().map(|line| line.trim()) {
        if let Some(module) = line.strip_prefix(MARK) {
            unloads += 1;
            let Some(at) = said.iter().position(|name| *name == module) else {
                return Err(format!("{module} was unloaded and did not print what is live"));
            };
            said.swap_remove(at);
        } else if let Some((module, rest)) = line.split_once(": ").filter(|(_, rest)| rest.starts_with(LIVE)) {
            if !is_nothing(&rest[LIVE.len()..]) && !leaks {
                return Err(format!("left behind: {line}"));
            }
            said.push(module);
        }
    }
    if unloads == 0 && !leaks {
        return Err("no module was unloaded".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDU: &str = "kp_edu: unloaded; live: 0 allocations, 0 locks, 0 mappings";
    const EDU_MARK: &str = "conformance: unloaded kp_edu";

    fn judge(lines: &[&str], leaks: bool) -> Result<(), String> {
        freed(&lines.iter().map(|&line| line.to_owned()).collect::<Vec<_>>(), leaks)
    }

    #[test]
    fn every_unload_says_that_nothing_is_left() {
        assert_eq!(judge(&["x", EDU, EDU_MARK, EDU, "x", EDU_MARK], false), Ok(()));
        let echo = "kp_echo: unloaded; live: 0 allocations, 0 locks, 0 mappings";
        assert_eq!(judge(&[EDU, echo, EDU_MARK, "conformance: unloaded kp_echo"], false), Ok(()));
    }

    #[test]
    fn a_missing_line_fails() {
        let missing = Err("kp_edu was unloaded and did not print what is live".to_owned());
        assert_eq!(judge(&[EDU_MARK], false), missing);
        assert_eq!(judge(&[EDU, EDU_MARK, EDU_MARK], false), missing);
        assert_eq!(judge(&["kp_echo: unloaded; live: 0 allocations, 0 locks, 0 mappings", EDU_MARK], true), missing);
        assert!(judge(&["x"], false).is_err());
    }

    #[test]
    fn what_is_left_behind_fails_unless_declared() {
        for left in [
            "1 allocations, 0 locks, 0 mappings",
            "0 allocations, 0 locks, 1 mappings",
            "-1 allocations, 0 locks, 0 mappings",
            "0 allocations, 0 locks, 0 mappings, 1 dma, 0 pinned",
            "0 allocations, 0 locks, 0 mappings, 0 dma, 1 pinned",
        ] {
            let line = format!("kp_edu: unloaded; live: {left}");
            assert_eq!(judge(&[&line, EDU_MARK], false), Err(format!("left behind: {line}")));
            assert_eq!(judge(&[&line, EDU_MARK], true), Ok(()));
        }
    }
}
