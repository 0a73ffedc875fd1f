//! A stage of the tests: what it runs, and what it counts.
use super::log::Log;
use anyhow::Result;
use std::{path::Path, sync::Mutex, thread, time::Instant};

/// Some tests under one name.
pub struct Stage {
    /// What a person sees.
    pub name: &'static str,
    run: Box<Run>,
    beside: bool,
}

/// Runs a stage's tests; given whether missing packages may be installed, and where to keep what programs print. An error is a failure
/// of the stage as a whole.
type Run = dyn Fn(bool, &Log) -> Result<Tally> + Sync;

impl Stage {
    /// Tests that have the machine to themselves.
    pub fn new(name: &'static str, run: impl Fn(bool, &Log) -> Result<Tally> + Sync + 'static) -> Self {
        Stage { name, run: Box::new(run), beside: false }
    }

    /// One that counts no time, and mostly waits or is long: it runs beside such a neighbour, so that no processor is idle.
    pub fn beside_another(self) -> Self {
        Stage { beside: true, ..self }
    }
}

/// How many tests passed, and which did not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    passed: usize,
    /// A line each: the test, and the first line of why.
    failures: Vec<String>,
}

impl Tally {
    /// How many passed.
    pub fn passed(&self) -> usize {
        self.passed
    }

    /// Those that failed, a line each.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Adds another.
    pub fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failures.extend(other.failures);
    }

    /// Counts tests that passed, and prints nothing.
    pub fn pass(&mut self, how_many: usize) {
        self.passed += how_many;
    }

    /// Counts a test that failed, and prints nothing. `why` may have several lines.
    pub fn fail(&mut self, name: &str, why: &str) {
        let why = why.lines().next().unwrap_or_default();
        self.failures.push(format!("{name}: {}", why.trim_end_matches(':')));
    }

    /// Counts a test, and prints how it came out.
    pub fn report(&mut self, name: &str, came_out: Result<(), String>) {
        if came_out.is_ok() {
            println!("passed     {name}");
        }
        self.check(name, came_out);
    }

    /// Counts a test, and prints it if it failed.
    pub fn check(&mut self, name: &str, came_out: Result<(), String>) {
        match came_out {
            Ok(()) => self.pass(1),
            Err(why) => {
                println!("FAILED     {name}: {why}");
                self.fail(name, &why);
            }
        }
    }
}

/// Does something with each, two at a time, and adds up what came of all. `next` has one to itself: what is made there is made for one after the
/// other, while the one before is run.
pub fn two_at_a_time<T, N: Send>(
    todo: impl Iterator<Item = T> + Send,
    next: impl Fn(T) -> N + Sync,
    run: impl Fn(N) -> Tally + Sync,
) -> Tally {
    let (todo, all) = (Mutex::new(todo), Mutex::new(Tally::default()));
    let take = || {
        let mut todo = todo.lock().expect("no panic holds this");
        todo.next().map(&next)
    };
    let worker = || {
        while let Some(one) = take() {
            let tally = run(one);
            all.lock().expect("no panic holds this").add(tally);
        }
    };
    thread::scope(|scope| {
        scope.spawn(worker);
        scope.spawn(worker);
    });
    all.into_inner().expect("no panic holds this")
}

/// Runs all in their order, but that of neighbours that may run beside another two do.
pub fn run_all(stages: &[Stage], setup: bool, logs: &Path) -> Tally {
    let mut all = Tally::default();
    for neighbours in stages.chunk_by(|one, next| one.beside && next.beside) {
        all.add(two_at_a_time(neighbours.iter(), |stage| stage, |stage| run(stage, setup, logs)));
    }
    all
}

/// Runs one stage, and says how it went and how long it took. What its programs print goes to a file in the folder `logs`.
fn run(stage: &Stage, setup: bool, logs: &Path) -> Tally {
    let start = Instant::now();
    println!("{} …", stage.name);
    let log = Log::default();
    let mut tally = (stage.run)(setup, &log).unwrap_or_else(|error| {
        let mut failed = Tally::default();
        failed.report(stage.name, Err(format!("{error:#}")));
        failed
    });
    if let Err(error) = log.write(logs, stage.name) {
        tally.report(stage.name, Err(format!("{error:#}")));
    }
    if tally == Tally::default() {
        tally.report(stage.name, Err("there was no test in it".into()));
    }
    let (passed, failed, seconds) = (tally.passed, tally.failures.len(), start.elapsed().as_secs_f64());
    println!("{}: {passed} passed, {failed} failed, {seconds:.0} s", stage.name);
    tally
}

/// A reason, and below it the last lines of what was said, each indented.
pub fn with_lines<'a>(mut why: String, said: impl IntoIterator<Item = &'a String>) -> String {
    let said: Vec<&String> = said.into_iter().collect();
    for line in said.iter().skip(said.len().saturating_sub(40)) {
        why.push_str("\n    ");
        why.push_str(line);
    }
    why
}

/// What the first panic said, in one line: its message, and the two sides of a comparison.
pub fn first_panic<'a>(said: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let is_panic = |line: &&str| line.starts_with("thread '") && line.contains(" panicked at ");
    let mut lines = said.into_iter().skip_while(|line| !is_panic(line));
    lines.next()?;
    let message = lines.next()?;
    let message = message.strip_prefix("assertion `left == right` failed: ").unwrap_or(message);
    let mut whole = message.trim_end_matches("; so far:").to_owned();
    let is_side = |line: &&str| line.starts_with("  left: ") || line.starts_with(" right: ");
    let sides = lines.take_while(|line| !is_panic(line)).filter(is_side);
    for (at, side) in sides.take(2).enumerate() {
        whole.push_str(if at == 0 { "; " } else { " " });
        whole.push_str(side.trim_start());
    }
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn a_stage_without_a_test_is_a_failure_and_so_is_one_that_cannot_run() {
        let logs = TempDir::with_prefix("kp-").unwrap();
        let logs = logs.path();
        let run = |run: fn(&Log) -> Result<Tally>| super::run(&Stage::new("s", move |_, log| run(log)), false, logs);
        assert_eq!(run(|_| Ok(Tally::default())).failures(), ["s: there was no test in it"]);
        let stopped = run(|log| {
            log.keep("p", &["so far".to_owned()]);
            anyhow::bail!("no disk\nat all")
        });
        assert_eq!(stopped.failures(), ["s: no disk"]);
        assert_eq!(std::fs::read_to_string(logs.join("s.log")).unwrap(), "== p\nso far\n");
    }

    #[test]
    fn neighbours_that_may_run_beside_each_other_and_others_alone() {
        static MEET: std::sync::Barrier = std::sync::Barrier::new(2);
        static RUNNING: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let logs = TempDir::with_prefix("kp-").unwrap();
        let beside = |name| {
            let run = |_, _: &Log| {
                MEET.wait();
                Ok(Tally { passed: 1, failures: Vec::new() })
            };
            Stage::new(name, run).beside_another()
        };
        let alone = |name| {
            Stage::new(name, |_, _| {
                let others = RUNNING.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                std::thread::yield_now();
                RUNNING.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                Ok(Tally { passed: usize::from(others == 0), failures: Vec::new() })
            })
        };
        let all = run_all(&[alone("a"), alone("b"), beside("c"), beside("d"), alone("e")], false, logs.path());
        assert_eq!(all, Tally { passed: 5, failures: Vec::new() });
    }

    #[test]
    fn a_failure_is_kept_with_the_first_line_of_why() {
        let mut tally = Tally::default();
        tally.report("a", Ok(()));
        tally.report("b", Err(with_lines("it says something else:".into(), &["x".to_owned()])));
        assert_eq!((tally.passed(), tally.failures()), (1, &["b: it says something else".to_owned()][..]));
    }

    #[test]
    fn the_first_panic_is_told_in_one_line() {
        let said = "\nthread 'a' (7) panicked at x.rs:1:2:\nassertion `left == right` failed: wait; so far:\n# calls\n\n  \
                    left: \"Ok\"\n right: \"Closed\"\nnote: run with\n\nthread 'b' panicked at y.rs:1:1:\nother\n";
        assert_eq!(first_panic(said.lines()).as_deref(), Some("wait; left: \"Ok\" right: \"Closed\""));
        assert_eq!(first_panic("thread 'a' panicked at x.rs:1:2:\nbare\n".lines()).as_deref(), Some("bare"));
        assert_eq!(first_panic(["no more memory"]), None);
    }
}
