//! Lets the n-th thing fail that a thread asks the kernel's allocators for, or copies from or to its memory.
//!
//! The kernel counts for one thread, in a file of it: `/proc/thread-self/fail-nth`.
use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt,
};

/// What can fail, and the conditions on it that are taken away: what is only asked for where the kernel may sleep, and single pages.
const KINDS: [(&str, &[&str]); 3] = [
    ("failslab", &["ignore-gfp-wait"]),
    ("fail_page_alloc", &["ignore-gfp-wait", "min-order"]),
    ("fail_usercopy", &[]),
];

/// This thread's file.
pub struct FailNth(File);

impl FailNth {
    /// For the thread that calls it.
    ///
    /// # Panics
    /// This kernel does not let things fail.
    pub fn of_this_thread() -> Self {
        for (kind, conditions) in KINDS {
            let set = |name: &str| {
                let path = format!("/sys/kernel/debug/{kind}/{name}");
                fs::write(&path, "0").unwrap_or_else(|error| panic!("this kernel lets nothing fail: {path}: {error}"));
            };
            conditions.iter().for_each(|condition| set(condition));
            // It would tell of each, with a backtrace.
            set("verbose");
        }
        let file = OpenOptions::new().read(true).write(true).open("/proc/thread-self/fail-nth");
        FailNth(file.expect("this kernel lets things fail"))
    }

    /// Does something, and lets the `n`-th fail, counted from 1. Also says whether there were as many.
    pub fn at<T>(&self, n: u32, act: impl FnOnce() -> T) -> (T, bool) {
        self.0.write_at(n.to_string().as_bytes(), 0).expect("a number can be set");
        let result = act();
        let mut left = [0; 12];
        // If it fails, it was this copy's turn.
        let failed = self.0.read_at(&mut left, 0).is_ok_and(|count| left[..count].trim_ascii() == b"0");
        // The same: what fails ends the counting too.
        let _ = self.0.write_at(b"0", 0);
        (result, failed)
    }

    /// Lets the first fail of what `act` asks for, then the second, until there are no more. Each time `prepare` comes before it, and `check`
    /// behind it looks at what it has come to; in these nothing fails. Gives how many have failed.
    pub fn each<C, T>(
        &self,
        what: &str,
        prepare: impl FnMut() -> C,
        act: impl FnMut(&mut C) -> T,
        check: impl FnMut(C, T),
    ) -> u32 {
        self.chosen(what, |n| n + 1, prepare, act, check)
    }

    /// The same for some of them. `next` says which one comes after each.
    pub fn chosen<C, T>(
        &self,
        what: &str,
        next: impl Fn(u32) -> u32,
        mut prepare: impl FnMut() -> C,
        mut act: impl FnMut(&mut C) -> T,
        mut check: impl FnMut(C, T),
    ) -> u32 {
        let (mut n, mut times) = (1, 0);
        loop {
            let mut context = prepare();
            let (result, failed) = self.at(n, || act(&mut context));
            check(context, result);
            if !failed {
                println!("{what}: {times} have failed, of less than {n}");
                return times;
            }
            times += 1;
            n = next(n);
        }
    }
}
