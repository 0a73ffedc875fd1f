//! The tests of this program that run in a guest, on Windows or in the loader.
//!
//! Each is a function with `#[guest_test]` over it, and by that alone it is in the list: the attribute has the function registered as the
//! program starts, before `main`. [`run`] finds it by the words of the command line, and `cargo kp test` takes the tests of each stage
//! from [`list`].
pub use guest_test::{guest_test, helper};

use std::{fmt::Write, sync::Mutex};

/// The stages of `cargo kp test` that take their tests from here, and what a test of each has.
pub const STAGES: &[(&str, &str)] = &[
    ("scenario", "a guest with echo and edu, after the scenario, on each kernel"),
    ("hostile", "a guest with echo and edu, on each kernel"),
    ("tear-down", "a guest with echo, edu, trouble, clockwork and eduown, on each kernel"),
    ("msix", "a guest with ivshmem and a doorbell of 8 vectors, on each kernel"),
    (
        "nodes",
        "a guest with edu, selftest, testdev, pcie and their devices, three, one and two, and memory that is overwritten when it is freed",
    ),
    ("many-nodes", "a guest with more edu devices than there are dynamic misc numbers"),
    (
        "dma",
        "guests with e1000e, nvme, edu, loopback and bmd: as they are, with an IOMMU, and with memory that devices do not reach",
    ),
    ("dma-low", "a guest with edu28, edu and 4 GiB"),
    ("links", "a guest with three edu devices and udev"),
    ("32-bit", "a guest with echo and edu, for the program as a 32-bit app"),
    (
        "planted",
        "a guest with trouble, and clockwork and eduown where it sleeps; cargo-kp's planted.rs has its devices, and what the kernel's log must say",
    ),
    ("machine", "a guest with echo, edu and trouble, and a machine that sleeps and whose second processor can go"),
    ("sanitised", "a guest with echo, edu and trouble, and a kernel that lets what it is asked for fail"),
    ("sanitised-end", "any guest of a kernel that looks for leaks and deadlocks, after all else"),
    ("races", "a guest with echo, edu and trouble, and a kernel that looks for data races"),
    ("loader", "no guest: the folder of Windows drivers as the last argument"),
    ("apps", "no guest: the folder of Windows drivers; cargo-kp's wine.rs has what the app must say"),
    ("wine", "a machine of Wine's; cargo-kp's wine.rs has the driver"),
    ("by hand", "no stage: it needs a kernel that the stages do not have"),
];

/// A test, or what this program does for one.
pub struct Test {
    /// The words that ask for it; empty: those of its path.
    pub command: &'static str,
    /// The function's path.
    pub path: &'static str,
    /// What it takes: names, with a space between them.
    pub parameters: &'static str,
    /// The function's documentation.
    pub about: &'static str,
    /// The stages of [`STAGES`] that run it, with a space between them.
    pub stage: &'static str,
    /// The first arguments of a run that gives too few.
    pub short: &'static str,
    /// The same with `cargo kp test --long`, and on the one kernel that gets more; empty: those of `short`.
    pub long: &'static str,
    /// It is started by a test.
    pub is_helper: bool,
    /// Where it is written: the list is in this order.
    pub place: (&'static str, u32),
    /// Runs it.
    pub run: Run,
}

/// Runs a test with arguments, as many as it takes.
pub type Run = fn(&[&str]) -> Result<(), String>;

/// Registers a function; what `#[guest_test]` and `#[helper]` expand to.
#[doc(hidden)]
#[macro_export]
macro_rules! __register {
    ($function:ident, $parameters:literal, $about:expr, is_helper = $is_helper:literal;
     $($command:literal)? $(,)? $($field:ident = $value:literal),* $(,)?) => {
        const _: () = {
            static TEST: $crate::registry::Test = {
                let test = $crate::registry::Test {
                    command: concat!($($command)?),
                    path: concat!(module_path!(), "::", stringify!($function)),
                    parameters: $parameters,
                    about: $about,
                    stage: "",
                    short: "",
                    long: "",
                    is_helper: $is_helper,
                    place: (file!(), line!()),
                    run: |arguments| $crate::registry::call($function, arguments),
                };
                $crate::registry::Test { $($field: $value,)* ..test }
            };
            extern "C" fn register() {
                $crate::registry::add(&TEST);
            }
            // The C library runs what is in this section before `main`.
            #[used]
            #[cfg_attr(target_os = "linux", unsafe(link_section = ".init_array"))]
            #[cfg_attr(windows, unsafe(link_section = ".CRT$XCU"))]
            static REGISTER: extern "C" fn() = register;
        };
    };
}
pub use __register as register;

static ALL: Mutex<Vec<&'static Test>> = Mutex::new(Vec::new());

#[doc(hidden)]
pub fn add(test: &'static Test) {
    ALL.lock().expect("no panic holds this").push(test);
}

/// All of them, file by file.
pub fn all() -> Vec<&'static Test> {
    let mut all = ALL.lock().expect("no panic holds this").clone();
    all.sort_by_key(|test| test.place);
    all
}

impl Test {
    /// The words that ask for it.
    pub fn words(&self) -> Vec<&'static str> {
        match self.command {
            "" => self.path.split("::").skip(1).collect(),
            command => command.split(' ').collect(),
        }
    }

    /// The first paragraph of its documentation, in one line.
    pub fn summary(&self) -> String {
        let lines: Vec<&str> = self.about.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
        lines.join(" ")
    }

    /// It is one of this stage.
    pub fn is_of(&self, stage: &str) -> bool {
        self.stages().contains(&stage)
    }

    /// The stages that run it.
    pub fn stages(&self) -> Vec<&'static str> {
        if self.stage == "by hand" { vec![self.stage] } else { self.stage.split_whitespace().collect() }
    }

    /// How many arguments it takes.
    pub fn takes(&self) -> usize {
        self.parameters.split_whitespace().count()
    }

    /// Runs it. The first arguments may be left out where it has them itself.
    ///
    /// # Errors
    /// An argument is not what the test takes, or it fails with a text.
    pub fn run_with(&self, arguments: &[&str]) -> Result<(), String> {
        let missing = self.takes().saturating_sub(arguments.len());
        let its_own = self.short.split_whitespace().take(missing);
        let arguments: Vec<&str> = its_own.chain(arguments.iter().copied()).collect();
        (self.run)(&arguments).map_err(|error| format!("{}: {error}", self.words().join(" ")))
    }
}

/// Tests that the first words choose, and the other words: a test of just this name, or all whose name begins so.
pub fn chosen<'w>(tests: &[&'static Test], words: &'w [&'w str]) -> (Vec<&'static Test>, &'w [&'w str]) {
    for count in (1..=words.len()).rev() {
        let (asked, arguments) = words.split_at(count);
        let is_named = |test: &&&Test| test.words() == asked;
        let begins = |test: &&&Test| {
            let (name, last) = (test.words(), count - 1);
            let fits = name.len() >= count && name[..last] == asked[..last] && name[last].starts_with(asked[last]);
            fits && !test.is_helper && !asked[last].is_empty()
        };
        let named: Vec<_> = tests.iter().filter(is_named).copied().collect();
        let found = if named.is_empty() { tests.iter().filter(begins).copied().collect() } else { named };
        // Of several tests, words that none of them takes are a name that there is not.
        let takes_all = |test: &&Test| test.takes() >= arguments.len();
        if found.len() == 1 || !found.is_empty() && found.iter().all(takes_all) {
            return (found, arguments);
        }
    }
    (Vec::new(), words)
}

/// Runs the tests that the words choose, one after the other, each with what follows the name. A test that fails panics, or ends the program.
///
/// # Errors
/// The words choose no test, or what follows is not what a test takes.
pub fn run(words: &[&str]) -> Result<(), String> {
    let (tests, arguments) = chosen(&all(), words);
    if tests.is_empty() {
        return Err(format!("there is no test `{}`: `conformance list` has them all", words.join(" ")));
    }
    for test in &tests {
        if tests.len() > 1 {
            println!("{}", test.words().join(" "));
        }
        test.run_with(arguments)?;
    }
    Ok(())
}

/// What `conformance list` says. With `--stage NAME [--long]`: the command lines of that stage's tests, a line each. Else the tests whose
/// command has this part, with what they take, what they are and where they run.
///
/// # Errors
/// There is no such stage, or no such test.
pub fn list(arguments: &[&str]) -> Result<String, String> {
    let mut text = String::new();
    match *arguments {
        ["--stage", stage, ref long @ ..] if matches!(long, [] | ["--long"]) => {
            let is_long = !long.is_empty();
            for test in all().into_iter().filter(|test| test.is_of(stage)) {
                let arguments = if is_long && !test.long.is_empty() { test.long } else { test.short };
                let line = test.words().into_iter().chain(arguments.split_whitespace()).collect::<Vec<_>>();
                text.push_str(&line.join(" "));
                text.push('\n');
            }
        }
        ref words => {
            let part = words.join(" ");
            for test in all().into_iter().filter(|test| !test.is_helper) {
                let name = test.words().join(" ");
                if name.contains(&part) {
                    let _ = writeln!(text, "{}", format!("{name} {}", test.parameters.to_uppercase()).trim_end());
                    let function = test.path.rsplit("::").next().unwrap_or_default();
                    let function = if test.command.is_empty() { "" } else { function };
                    let lines = [function.replace('_', " "), test.summary(), format!("runs in: {}", test.stage)];
                    for line in lines.iter().filter(|line| !line.is_empty()) {
                        let _ = writeln!(text, "    {line}");
                    }
                }
            }
        }
    }
    if text.is_empty() { Err(format!("there is none: {}", arguments.join(" "))) } else { Ok(text) }
}

/// Calls a function with arguments from the command line.
#[doc(hidden)]
pub fn call<'a, Parameters>(function: impl Callable<'a, Parameters>, arguments: &[&'a str]) -> Result<(), String> {
    function.call(arguments)
}

/// A function that arguments from the command line can be given to.
#[doc(hidden)]
pub trait Callable<'a, Parameters> {
    fn call(&self, arguments: &[&'a str]) -> Result<(), String>;
}

macro_rules! callable {
    ($($parameter:ident $name:ident),*) => {
        impl<'a, F: Fn($($parameter),*) -> R, R: Outcome, $($parameter: Argument<'a>),*> Callable<'a, ($($parameter,)*)> for F {
            fn call(&self, arguments: &[&'a str]) -> Result<(), String> {
                let [$($name),*] = *arguments else {
                    return Err(format!("it does not take {} arguments: {}", arguments.len(), arguments.join(" ")));
                };
                self($($parameter::parse($name)?),*).outcome()
            }
        }
    };
}
callable!();
callable!(A a);
callable!(A a, B b);
callable!(A a, B b, C c);

/// What a function may take.
#[doc(hidden)]
pub trait Argument<'a>: Sized {
    fn parse(text: &'a str) -> Result<Self, String>;
}

impl<'a> Argument<'a> for &'a str {
    fn parse(text: &'a str) -> Result<Self, String> {
        Ok(text)
    }
}

impl Argument<'_> for u32 {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{text} is no number"))
    }
}

impl Argument<'_> for u64 {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| format!("{text} is no number"))
    }
}

/// What a function may give.
#[doc(hidden)]
pub trait Outcome {
    fn outcome(self) -> Result<(), String>;
}

impl Outcome for () {
    fn outcome(self) -> Result<(), String> {
        Ok(())
    }
}

impl Outcome for Result<(), String> {
    fn outcome(self) -> Result<(), String> {
        self
    }
}
