//! Tells a person on stderr that something is going on, and how long it took.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Something that takes a while. A spinner if stderr is a terminal; else one line when it is over.
pub struct Progress {
    label: String,
    start: Instant,
    spinner: Option<ProgressBar>,
}

impl Progress {
    /// Starts the clock.
    pub fn start(label: &str) -> Self {
        let spinner = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg}  {elapsed}").expect("the template is right");
            let spinner = ProgressBar::new_spinner().with_style(style).with_message(label.to_owned());
            spinner.enable_steady_tick(Duration::from_millis(100));
            spinner
        });
        Progress { label: label.to_owned(), start: Instant::now(), spinner }
    }

    /// Says how far it is, where it is seen.
    pub fn tell(&self, how_far: &str) {
        if let Some(spinner) = &self.spinner {
            spinner.set_message(format!("{}  {how_far}", self.label));
        }
    }

    /// Runs `print` with the spinner out of the way.
    pub fn suspend(&self, print: impl FnOnce()) {
        match &self.spinner {
            Some(spinner) => spinner.suspend(print),
            None => print(),
        }
    }

    /// Says how it came out, with the seconds it took.
    pub fn finish(self, how: &str) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
        eprintln!("{} {how}  {:.1} s", self.label, self.start.elapsed().as_secs_f64());
    }
}
