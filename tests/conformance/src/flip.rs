//! Memory that a second thread changes while calls are made.
use crate::interrupts::until;
use std::{
    fmt::Debug,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

/// Makes calls, by `call`, while a second thread writes states `0..states` to their memory, by `write`, in turn: some thousands of calls,
/// and until each of `answers` was seen.
///
/// # Panics
/// If a call has another answer, or one of them is not seen in half a minute.
pub fn flip<A: PartialEq + Debug>(
    states: usize,
    write: impl Fn(usize) + Sync,
    answers: &[A],
    mut call: impl FnMut() -> A,
) {
    /// Has the other thread end, also if this one fails.
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Relaxed);
        }
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                (0..states).for_each(&write);
            }
        });
        let _stop = Stop(&stop);
        let mut missing: Vec<&A> = answers.iter().collect();
        let mut calls = 0;
        let mut rounds = || {
            for _ in 0..1000 {
                let answer = call();
                assert!(answers.contains(&answer), "{answer:?} is the answer of no whole call");
                missing.retain(|&other| *other != answer);
            }
            calls += 1000;
            calls >= 4000 && missing.is_empty()
        };
        until("a call with each of the answers", &mut rounds);
    });
}
