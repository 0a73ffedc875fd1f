//! A stage of the tests: what it runs, and what it counts.
use anyhow::Result;
use std::time::Instant;

/// Some tests under one name.
pub struct Stage {
    /// What a person sees.
    pub name: &'static str,
    /// Runs them. An error is a failure of the stage as a whole.
    pub run: Box<dyn Fn(bool) -> Result<Tally>>,
}

/// How many tests came out how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// As they should.
    pub passed: usize,
    /// Not so.
    pub failed: usize,
}

impl Tally {
    /// Adds another.
    pub fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    /// Counts one test.
    pub fn count(&mut self, passed: bool) {
        self.add(Tally { passed: usize::from(passed), failed: usize::from(!passed) });
    }
}

/// Runs one stage, and says how it went and how long it took.
pub fn run(stage: &Stage, setup: bool) -> Tally {
    let start = Instant::now();
    println!("{} …", stage.name);
    let tally = match (stage.run)(setup) {
        Ok(Tally { passed: 0, failed: 0 }) => {
            println!("FAILED     {}: there was no test in it", stage.name);
            Tally { passed: 0, failed: 1 }
        }
        Ok(tally) => tally,
        Err(error) => {
            println!("FAILED     {}: {error:#}", stage.name);
            Tally { passed: 0, failed: 1 }
        }
    };
    let seconds = start.elapsed().as_secs_f64();
    println!("{}: {} passed, {} failed, {seconds:.0} s", stage.name, tally.passed, tally.failed);
    tally
}
