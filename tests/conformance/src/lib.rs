//! One scenario, run on every host, with one transcript; and what every host must refuse.
//!
//! [`scenario`] is the same code everywhere, over the client library and a small [`World`]. `simulated` is the simulator's world;
//! `linux` that of a guest, whose modules it loads and unloads; `windows` that of Windows and Wine, whose drivers are services; `loader` that of a
//! simulated NT kernel, which runs the same drivers in this process.
//!
//! What is tested in one of these worlds alone is a function there, with `#[guest_test]` over it: see [`registry`].
pub mod asleep;
pub mod bad_input;
pub mod buffers;
pub mod calls;
#[cfg(any(target_os = "linux", windows))]
pub mod child;
pub mod codes;
pub mod direct;
pub mod flip;
pub mod fuzz;
pub mod interrupts;
#[cfg(any(target_os = "linux", windows))]
pub mod kernel;
pub mod limits;
#[cfg(target_os = "linux")]
pub mod linux;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod loader;
pub mod loopback;
pub mod no_mmap;
pub mod pcie;
pub mod raw_ioctl;
pub mod registry;
pub mod rings;
#[cfg(all(target_pointer_width = "64", not(windows)))]
pub mod simulated;
pub mod testdev;
pub mod transcript;
pub mod transfers;
#[cfg(windows)]
pub mod windows;
pub mod world;

pub use world::{Subject, Unload, Victim, World};

/// The transcript that every host gives.
pub const SNAPSHOT: &str = include_str!("../transcript.txt");

/// A part of the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// On echo.
    Calls,
    /// On edu.
    Interrupts,
    /// On bmd.
    Transfers,
    /// All of them.
    All,
}

impl Part {
    /// Its transcript in the snapshot.
    ///
    /// # Panics
    /// If the snapshot lacks a part.
    pub fn snapshot(self) -> &'static str {
        let at = |title| SNAPSHOT.find(title).expect("the snapshot has all parts");
        let (interrupts, transfers) = (at("# interrupts\n"), at("# transfers\n"));
        match self {
            Part::Calls => &SNAPSHOT[..interrupts],
            Part::Interrupts => &SNAPSHOT[interrupts..transfers],
            Part::Transfers => &SNAPSHOT[transfers..],
            Part::All => SNAPSHOT,
        }
    }
}

impl std::str::FromStr for Part {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "calls" => Ok(Part::Calls),
            "interrupts" => Ok(Part::Interrupts),
            "transfers" => Ok(Part::Transfers),
            "all" => Ok(Part::All),
            _ => Err(format!("no such part: {name}; there are calls, interrupts, transfers and all")),
        }
    }
}

/// Runs the scenario and gives its transcript.
///
/// # Panics
/// At the first line that is not what it should be.
pub fn scenario(world: &mut dyn World, part: Part) -> String {
    let mut transcript = transcript::Transcript::new();
    if matches!(part, Part::Calls | Part::All) {
        calls::run(world, &mut transcript);
    }
    if matches!(part, Part::Interrupts | Part::All) {
        interrupts::run(world, &mut transcript);
    }
    if matches!(part, Part::Transfers | Part::All) {
        transfers::run(world, &mut transcript);
    }
    transcript.text()
}
