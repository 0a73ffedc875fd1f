//! Judges a kernel's log, line by line as it comes.
//!
//! Lines arrive with their level (`console_msg_format=syslog`). Whatever tells of a crash fails the run at once, and so does a
//! line of level warning or worse that nobody allowed or expected, once the boot is over. The patterns that are allowed always are
//! in `kernel-log.allow`.

use crate::guest::plan::{LOG_START, NEEDS_END, NEEDS_START};
use kp_tool::pattern::{begins, fits};

/// Parts of lines that tell of a crash or of a broken rule of the kernel, at whatever level.
const BAD: &[&str] = &[
    "Kernel panic",
    "panic - not syncing",
    "BUG: ",
    "kernel BUG at",
    "WARNING: ",
    "Oops",
    "Call Trace",
    "general protection",
    "invalid opcode",
    "Unable to handle kernel",
    "unable to handle page fault",
    "stack-protector",
    "hung_task:",
    "blocked for more than",
    "soft lockup",
    "hard LOCKUP",
    "KASAN:",
    "KFENCE:",
    "UBSAN:",
    "scheduling while atomic",
    "possible circular locking dependency",
    "possible recursive locking",
    "possible irq lock inversion",
    "inconsistent lock state",
    "suspicious RCU usage",
    "held lock freed",
    "objects remaining in",
    "nobody cared",
    "new suspected memory leaks",
    // From then on what looks for mistakes sees none.
    "memory leak detector disabled",
    "turning off the locking correctness validator",
];

/// Part of a line of kp's own, which tells of a broken rule of a plugin's: the storm guard's. It may be allowed.
const NEVER_ENDS: &str = ": an interrupt never ends: ";

/// Comes in front of every `BUG` and `WARNING` report. The next line says what it is about.
const CUT_HERE: &str = "------------[ cut here ]------------";

/// The worst level that needs no permission: `LOGLEVEL_NOTICE`. Numbers below it are worse.
const NOTICE: u8 = 5;

/// Something that a test brings about on purpose. It has to happen exactly once, or any number of times if the variant says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// One line that fits a pattern; each `*` in it stands for anything. At any level.
    Line(String),
    /// Lines that fit a pattern, none or many. One that tells of a crash is not among them.
    Lines(String),
    /// A whole crash report that the kernel survives: from the line that fits the pattern, through the trace, to the registers
    /// after `end trace`. A panic of the kernel is no part of it.
    Oops(String),
    /// Such reports, none or many.
    Oopses(String),
    /// What the kernel says of memory that it could not have, none or many times: from the line that fits the pattern, through the trace and
    /// the state of all memory.
    NoMemory(String),
    /// Reports of data races of the kernel's own, none or many: of the two functions that a report names none is a module's.
    Races,
    /// What the kernel says of an interrupt that nobody handles: from the line that fits the pattern, through the trace, to the one that says
    /// that the line is off.
    Unhandled(String),
}

impl Expected {
    /// One line that fits `pattern`.
    pub fn line(pattern: &str) -> Self {
        Expected::Line(pattern.to_owned())
    }

    /// Lines that fit `pattern`, none or many.
    pub fn lines(pattern: &str) -> Self {
        Expected::Lines(pattern.to_owned())
    }

    /// A crash report that begins with a line that fits `pattern`.
    pub fn oops(pattern: &str) -> Self {
        Expected::Oops(pattern.to_owned())
    }

    /// Crash reports that begin with a line that fits `pattern`, none or many.
    pub fn oopses(pattern: &str) -> Self {
        Expected::Oopses(pattern.to_owned())
    }

    /// Reports of memory that could not be had, which begin with a line that fits `pattern`, none or many.
    pub fn no_memory(pattern: &str) -> Self {
        Expected::NoMemory(pattern.to_owned())
    }

    /// A report of an interrupt that nobody handles, which begins with a line that fits `pattern`.
    pub fn unhandled(pattern: &str) -> Self {
        Expected::Unhandled(pattern.to_owned())
    }

    /// It need not come, and may come again.
    fn is_optional(&self) -> bool {
        matches!(self, Expected::Lines(_) | Expected::Oopses(_) | Expected::NoMemory(_) | Expected::Races)
    }

    fn pattern(&self) -> &str {
        match self {
            Expected::Line(pattern)
            | Expected::Lines(pattern)
            | Expected::Oops(pattern)
            | Expected::Oopses(pattern)
            | Expected::NoMemory(pattern)
            | Expected::Unhandled(pattern) => pattern,
            Expected::Races => "BUG: KCSAN: * in *",
        }
    }

    /// Whether this is a line of it, or its first one.
    fn fits(&self, text: &str) -> bool {
        // A module's name stands behind the function's.
        fits(self.pattern(), text) && !(matches!(self, Expected::Races) && text.contains('['))
    }
}

/// Where in an expected crash report the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Outside,
    Trace,
    Registers,
    /// The last line has this.
    Until(&'static str),
}

/// Follows one guest's log.
#[derive(Debug)]
pub struct Judge {
    allowed: Vec<String>,
    /// Each with how often it was seen.
    expected: Vec<(Expected, u32)>,
    place: Place,
    booting: bool,
    /// The kernel has said while it booted that it does not get on.
    slow: bool,
    verdict: Option<String>,
}

impl Judge {
    /// A judge that expects `expected`, and allows what `kernel-log.allow` lists.
    pub fn new(expected: &[Expected]) -> Self {
        let list = include_str!("../../kernel-log.allow");
        let always = list.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let (many, once): (Vec<_>, Vec<_>) = expected.iter().partition(|one| matches!(one, Expected::Lines(_)));
        Judge {
            allowed: always.chain(many.into_iter().map(Expected::pattern)).map(str::to_owned).collect(),
            expected: once.into_iter().map(|one| (one.clone(), 0)).collect(),
            place: Place::Outside,
            booting: true,
            slow: false,
            verdict: None,
        }
    }

    /// Looks at one line. `Err` names the first line that fails the run, from then on for every line.
    pub fn line(&mut self, line: &LogLine) -> Result<(), &str> {
        if self.verdict.is_none() {
            self.verdict = self.look(line).err();
        }
        self.so_far()
    }

    /// What the lines up to now amount to.
    pub fn so_far(&self) -> Result<(), &str> {
        self.verdict.as_deref().map_or(Ok(()), Err)
    }

    /// The end of the log: names what was expected and did not come.
    pub fn finish(&self) -> Result<(), String> {
        if let Some(why) = &self.verdict {
            return Err(why.clone());
        }
        match self.expected.iter().find(|(one, seen)| *seen == 0 && !one.is_optional()) {
            Some((expected, _)) => Err(format!("expected in the kernel's log, but not there: {}", expected.pattern())),
            None => Ok(()),
        }
    }

    fn look(&mut self, line: &LogLine) -> Result<(), String> {
        let text = line.text.trim();
        self.booting = (self.booting || text == NEEDS_START) && ![LOG_START, NEEDS_END].contains(&text);
        let panic = text.contains("Kernel panic");
        if !panic {
            if let Some((expected, seen)) = self.expected.iter_mut().find(|(one, _)| one.fits(text)) {
                *seen += 1;
                if *seen > 1 && !expected.is_optional() {
                    return Err(format!("expected once in the kernel's log, but there again: {text}"));
                }
                match expected {
                    Expected::Line(_) | Expected::Lines(_) => {}
                    Expected::Oops(_) | Expected::Oopses(_) => self.place = Place::Trace,
                    Expected::NoMemory(_) => self.place = Place::Until(" pages reserved"),
                    Expected::Races => self.place = Place::Until("=========="),
                    Expected::Unhandled(_) => self.place = Place::Until("Disabling IRQ #"),
                }
                return Ok(());
            }
            if self.inside_expected_report(text) {
                return Ok(());
            }
        }
        if is_bad(text) && !self.is_of_a_slow_boot(text) {
            return Err(format!("kernel log: {text}"));
        }
        // A line without a level is not from the kernel's log (firmware, QEMU).
        let is_low = line.level.is_none_or(|level| level >= NOTICE) && !text.contains(NEVER_ENDS);
        let harmless = self.booting || is_frame(text) || is_low;
        if harmless || self.allowed.iter().any(|pattern| fits(pattern, text)) || self.is_start_of_expected(text) {
            return Ok(());
        }
        Err(format!("kernel log: {text}"))
    }

    /// Whether the kernel says, while it boots, that it does not get on, and where. So does any for which its host has no time; how long it may take
    /// is limited otherwise.
    fn is_of_a_slow_boot(&mut self, text: &str) -> bool {
        let stands_still = is_stall(text) || text.contains("soft lockup") || text.contains("workqueue lockup");
        self.slow |= self.booting && stands_still;
        self.booting && (stands_still || self.slow && text.contains("Call Trace"))
    }

    /// An RT kernel in trouble stops printing in the middle of a line, and prints that line anew.
    fn is_start_of_expected(&self, text: &str) -> bool {
        self.expected.iter().any(|(one, _)| begins(one.pattern(), text))
    }

    fn inside_expected_report(&mut self, text: &str) -> bool {
        match self.place {
            Place::Outside => false,
            Place::Trace => {
                if text.starts_with("---[ end trace") {
                    self.place = Place::Registers;
                }
                true
            }
            Place::Until(last) => {
                if text.contains(last) {
                    self.place = Place::Outside;
                }
                true
            }
            Place::Registers => {
                // 6.1 and 6.12 print the registers once more after the trace's end.
                const REGISTERS: &[&str] = &[
                    "RIP:", "RSP:", "RAX:", "RDX:", "RBP:", "R10:", "R13:", "FS:", "CS:", "CR2:", "DR0:", "DR3:",
                    "PKRU:", "Code:",
                ];
                // Another CPU's line may stand between them.
                REGISTERS.iter().any(|register| text.starts_with(register))
            }
        }
    }
}

/// Whether a line only sets a report apart, as those of KASAN and lockdep: the next one says what it is about.
fn is_frame(text: &str) -> bool {
    text == CUT_HERE || text.bytes().all(|byte| byte == b'=')
}

/// Whether a line tells of a crash or of a broken rule of the kernel. Nothing allows one that was not expected.
pub(super) fn is_bad(text: &str) -> bool {
    is_stall(text) || BAD.iter().any(|part| text.contains(part))
}

/// As in "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks".
fn is_stall(text: &str) -> bool {
    text.contains("rcu") && text.contains("stall")
}

/// A line of the kernel's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// 0 (emergency) to 7 (debug); `None` for what comes from firmware or from QEMU.
    pub level: Option<u8>,
    /// The text, without level and time.
    pub text: String,
}

impl LogLine {
    /// Takes apart `<14>[    1.234567] text`. The number is the level, plus eight times the facility.
    pub fn parse(line: &str) -> Self {
        let plain = || LogLine { level: None, text: without_escapes(line) };
        // The firmware clears the screen in front of the first line.
        let Some(start) = line.find('<') else { return plain() };
        let Some((number, rest)) = line[start + 1..].split_once(">[") else { return plain() };
        let (Ok(number), Some((_, text))) = (number.parse::<u16>(), rest.split_once(']')) else { return plain() };
        // CONFIG_PRINTK_CALLER adds `[T123]` or `[C0]` in its own brackets.
        let text = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((_, text)) => text,
            None => text,
        };
        LogLine { level: Some((number % 8) as u8), text: text.strip_prefix(' ').unwrap_or(text).to_owned() }
    }
}

/// Removes what the firmware sends to paint a terminal.
fn without_escapes(line: &str) -> String {
    let mut text = String::new();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\x1b' {
            // A sequence ends with its first letter.
            chars.by_ref().find(char::is_ascii_alphabetic);
        } else if !c.is_control() {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(expected: &[Expected], lines: &[&str]) -> Result<(), String> {
        let mut judge = Judge::new(expected);
        judge.line(&LogLine { level: Some(6), text: LOG_START.into() }).unwrap();
        for line in lines {
            judge.line(&LogLine::parse(line)).map_err(str::to_owned)?;
        }
        judge.finish()
    }

    #[test]
    fn every_sign_of_a_crash_fails_the_run_even_at_info_level() {
        for bad in [
            "Kernel panic - not syncing: Attempted to kill init!",
            "BUG: kernel NULL pointer dereference, address: 0000000000000000",
            "BUG: sleeping function called from invalid context at x.c:1",
            "WARNING: CPU: 0 PID: 1 at x.c:3 f+0x1/0x2 [x]",
            "Oops: 0000 [#1] PREEMPT SMP NOPTI",
            "Call Trace:",
            "general protection fault, probably for non-canonical address",
            "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
            "INFO: task x:12 blocked for more than 120 seconds.",
            "BUG: KASAN: use-after-free in f+0x1/0x2",
            "WARNING: possible circular locking dependency detected",
            "watchdog: BUG: soft lockup - CPU#0 stuck for 22s!",
            "kernel BUG at mm/slub.c:379!",
            "UBSAN: shift-out-of-bounds in a.c:3:1",
            "WARNING: inconsistent lock state",
            "[ BUG: Invalid wait context ]",
            "BUG: KCSAN: data-race in f [x] / g [x]",
            "kmemleak: 1 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
            "kmemleak: Kernel memory leak detector disabled",
            "BUG: MAX_LOCKDEP_ENTRIES too low!",
            "turning off the locking correctness validator.",
        ] {
            let why = judge(&[], &[&format!("<6>[    1.000000] {bad}")]).unwrap_err();
            assert_eq!(why, format!("kernel log: {bad}"));
        }
    }

    #[test]
    fn an_interrupt_that_never_ends_fails_the_run_unless_it_is_allowed() {
        let line = "<6>[    1.000000] kp_card: an interrupt never ends: masked until it is disabled";
        let why = "kernel log: kp_card: an interrupt never ends: masked until it is disabled";
        assert_eq!(judge(&[], &[line]), Err(why.into()));
        assert_eq!(judge(&[Expected::lines("kp_card: an interrupt never ends: *")], &[line, line]), Ok(()));
    }

    #[test]
    fn a_warning_nobody_allowed_fails_the_run_and_lower_levels_do_not() {
        assert_eq!(judge(&[], &["<4>[    1.000000] hm"]), Err("kernel log: hm".into()));
        assert_eq!(judge(&[], &["<12>[    1.000000] hm"]), Err("kernel log: hm".into()), "user-level facility");
        assert_eq!(
            judge(&[], &["<5>[    1.000000] hm", "<6>[    1.000000] hm", "<7>[    1.000000] hm", "SeaBIOS"]),
            Ok(())
        );
    }

    #[test]
    fn the_start_of_an_expected_line_passes_and_the_line_itself_is_still_due() {
        let mut judge = Judge::new(&[Expected::line("kp_x: panicked at a.rs:1:*: index is 4")]);
        judge.booting = false;
        let line = |text: &str| LogLine { level: Some(0), text: text.to_owned() };
        assert!(judge.line(&line("kp_x: pan")).is_ok());
        assert!(judge.line(&line("kp_x: panicked at a.rs:1:32: index is")).is_ok());
        assert!(judge.finish().is_err());
        assert!(judge.line(&line("kp_x: panicked at a.rs:1:32: index is 4")).is_ok());
        assert!(judge.finish().is_ok());
        assert!(judge.line(&line("kp_y")).is_err());
    }

    #[test]
    fn lines_that_may_come_need_not_and_a_crash_is_none_of_them() {
        let port = [Expected::lines("pcieport *")];
        let line = "<3>[    1.000000] pcieport 0000:00:02.0: AER: hm";
        assert_eq!(judge(&port, &[]), Ok(()));
        assert_eq!(judge(&port, &[line, line]), Ok(()));
        assert!(judge(&port, &["<3>[    1.000000] hm"]).is_err());
        assert!(judge(&port, &["<3>[    1.000000] pcieport 0000:00:02.0: WARNING: hm"]).is_err());
    }

    #[test]
    fn while_booting_a_warning_passes_and_a_crash_does_not() {
        let mut judge = Judge::new(&[]);
        assert_eq!(judge.line(&LogLine::parse("<4>[    1.000000] tsc: hm")), Ok(()));
        assert!(judge.line(&LogLine::parse("<4>[    1.000000] WARNING: CPU: 0")).is_err());
    }

    #[test]
    fn a_boot_that_its_host_has_no_time_for_fails_by_its_limit_and_not_by_what_the_kernel_says_of_it() {
        let mut judge = Judge::new(&[]);
        let mut passes = |text: &str| judge.line(&LogLine::parse(&format!("<6>[    1.000000] {text}"))).is_ok();
        let slow = [
            "BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 45s!",
            "rcu: INFO: rcu_preempt self-detected stall on CPU",
            "watchdog: BUG: soft lockup - CPU#0 stuck for 22s!",
            "Call Trace:",
            LOG_START,
        ];
        assert!(slow.into_iter().all(&mut passes));
        assert!(!passes(slow[1]), "a plugin may be it from here on");
        let mut judge = Judge::new(&[]);
        assert!(judge.line(&LogLine::parse("<6>[    1.000000] Call Trace:")).is_err(), "of something else");
    }

    #[test]
    fn while_modules_of_the_kernels_own_are_loaded_a_warning_passes_and_a_crash_does_not() {
        let mark = |mark: &str| format!("<6>[    1.000000] {mark}");
        let (start, end) = (mark(NEEDS_START), mark(NEEDS_END));
        let warning = "<4>[    1.000000] videodev: hm";
        assert_eq!(judge(&[], &[&start, warning, &end]), Ok(()));
        assert!(judge(&[], &[&start, &end, warning]).is_err());
        assert!(judge(&[], &[&start, "<4>[    1.000000] WARNING: CPU: 0", &end]).is_err());
    }

    #[test]
    fn the_failing_line_is_the_one_that_says_something() {
        let why =
            judge(&[], &["<4>[    1.0] ------------[ cut here ]------------", "<4>[    1.0] WARNING: x"]).unwrap_err();
        assert_eq!(why, "kernel log: WARNING: x");
        let why = judge(&[], &["<4>[    1.0] ", "<3>[    1.0] ======", "<3>[    1.0] BUG: KASAN: x"]).unwrap_err();
        assert_eq!(why, "kernel log: BUG: KASAN: x");
    }

    #[test]
    fn taint_notices_are_allowed() {
        assert_eq!(judge(&[], &["<4>[    1.000000] kp_edu: loading out-of-tree module taints kernel."]), Ok(()));
    }

    #[test]
    fn the_allow_list_cannot_hide_a_crash() {
        let line = "<4>[    1.0] BUG: loading out-of-tree module taints kernel.";
        assert!(judge(&[], &[line]).is_err());
    }

    #[test]
    fn an_expected_line_has_to_come_exactly_once() {
        let expected = [Expected::line("kp_edu: panic at *")];
        let line = "<0>[    1.000000] kp_edu: panic at src/lib.rs:7";
        assert_eq!(judge(&expected, &[line]), Ok(()));
        assert!(judge(&expected, &[line, line]).unwrap_err().contains("there again"));
        assert!(judge(&expected, &[]).unwrap_err().contains("not there"));
    }

    const OOPS: &[&str] = &[
        "<4>[    1.000000] invalid opcode: 0000 [#1] PREEMPT SMP NOPTI",
        "<4>[    1.000000] Call Trace:",
        "<4>[    1.000000]  <TASK>",
        "<4>[    1.000000] ---[ end trace 0000000000000000 ]---",
        "<4>[    1.000000] RIP: 0010:f+0x1/0x2 [x]",
        "<4>[    1.000000] CR2: 0000000000000000",
    ];

    #[test]
    fn an_expected_oops_covers_its_report_and_nothing_after_it() {
        let expected = [Expected::oops("invalid opcode: *")];
        assert_eq!(judge(&expected, OOPS), Ok(()));
        let twice: Vec<_> = OOPS.iter().chain(OOPS).copied().collect();
        assert!(judge(&expected, &twice).is_err());
        let (trace, registers) = OOPS.split_at(4);
        let between: Vec<_> = trace.iter().chain(&["<6>[    1.000000] hm"]).chain(registers).copied().collect();
        assert_eq!(judge(&expected, &between), Ok(()));
        let warned: Vec<_> = OOPS.iter().copied().chain(["<4>[    1.000000] hm"]).collect();
        assert_eq!(judge(&expected, &warned), Err("kernel log: hm".into()));
        assert!(judge(&[], OOPS).is_err());
    }

    #[test]
    fn an_oops_that_may_come_need_not_and_may_come_again() {
        let expected = [Expected::oopses("invalid opcode: *")];
        assert_eq!(judge(&expected, &[]), Ok(()));
        let twice: Vec<_> = OOPS.iter().chain(OOPS).copied().collect();
        assert_eq!(judge(&expected, &twice), Ok(()));
        let other = "<4>[    1.000000] WARNING: hm";
        assert!(judge(&expected, &[&twice[..], &[other]].concat()).is_err());
    }

    #[test]
    fn memory_that_could_not_be_had_covers_its_report_and_nothing_after_it() {
        const REPORT: &[&str] = &[
            "<4>[    1.0] program: vmalloc error: size 264904, vm_struct allocation failed",
            "<4>[    1.0] Call Trace:",
            "<4>[    1.0] Mem-Info:",
            "<4>[    1.0] 98020 pages reserved",
        ];
        let expected = [Expected::no_memory("*: vmalloc error: *")];
        let then = |line| REPORT.iter().chain(REPORT).copied().chain([line]).collect::<Vec<_>>();
        assert_eq!(judge(&expected, &[]), Ok(()));
        assert_eq!(judge(&expected, &then("<6>[    1.0] hm")), Ok(()));
        assert_eq!(judge(&expected, &then("<4>[    1.0] hm")), Err("kernel log: hm".into()));
        assert!(judge(&[], REPORT).is_err());
    }

    #[test]
    fn races_of_the_kernels_own_are_passed_over_and_those_of_a_module_are_not() {
        let report = |functions: &str| {
            let lines =
                ["====", &format!("BUG: KCSAN: data-race in {functions}"), "write to 0x1 of 4 bytes:", "============"];
            lines.map(|line| format!("<3>[    1.0] {line}")).to_vec()
        };
        let judged = |reports: &[Vec<String>], expected: &[Expected]| {
            let lines = reports.concat();
            judge(expected, &lines.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let (own, theirs) = (report("tick_do / tick_do"), report("tick_do / kp_open [kp_x]"));
        assert_eq!(judged(&[own.clone(), own.clone()], &[Expected::Races]), Ok(()));
        assert_eq!(
            judged(std::slice::from_ref(&own), &[]),
            Err("kernel log: BUG: KCSAN: data-race in tick_do / tick_do".into())
        );
        let why = judged(&[own, theirs], &[Expected::Races]).expect_err("a module's");
        assert_eq!(why, "kernel log: BUG: KCSAN: data-race in tick_do / kp_open [kp_x]");
    }

    #[test]
    fn an_expected_interrupt_that_nobody_handles_covers_its_report_and_nothing_after_it() {
        const REPORT: &[&str] = &[
            "<3>[    1.0] irq 20: nobody cared (try booting with the \"irqpoll\" option)",
            "<4>[    1.0] Call Trace:",
            "<3>[    1.0] handlers:",
            "<3>[    1.0] [<000000007dd9c2c9>] kp_irq [kp_x]",
            "<0>[    1.0] Disabling IRQ #20",
        ];
        let expected = [Expected::unhandled("irq *: nobody cared *")];
        assert_eq!(judge(&expected, REPORT), Ok(()));
        let warned: Vec<_> = REPORT.iter().copied().chain(["<4>[    1.0] hm"]).collect();
        assert_eq!(judge(&expected, &warned), Err("kernel log: hm".into()));
        let twice: Vec<_> = REPORT.iter().chain(REPORT).copied().collect();
        assert!(judge(&expected, &twice).is_err());
        assert!(judge(&[], REPORT).is_err());
    }

    #[test]
    fn no_expectation_covers_a_panic() {
        let expected = [Expected::oops("*")];
        assert!(judge(&expected, &["<0>[    1.0] Kernel panic - not syncing: x"]).is_err());
        let expected = [Expected::oops("invalid opcode: *")];
        assert!(judge(&expected, &[OOPS[0], "<0>[    1.0] Kernel panic - not syncing: x"]).is_err());
    }

    #[test]
    fn lines_are_taken_apart() {
        let line = |level, text: &str| LogLine { level, text: text.into() };
        assert_eq!(LogLine::parse("<14>[   12.345678] a <b>[c]"), line(Some(6), "a <b>[c]"));
        assert_eq!(LogLine::parse("<4>[    1.000000][    T1] hm"), line(Some(4), "hm"));
        assert_eq!(LogLine::parse("\x1b[2J<6>[    0.000000] Linux"), line(Some(6), "Linux"));
        assert_eq!(LogLine::parse("\x1bc\x1b[?7l\x1b[2JSeaBIOS (x)"), line(None, "SeaBIOS (x)"));
        assert_eq!(LogLine::parse("<6>[    0.000000]  indented"), line(Some(6), " indented"));
    }
}
