//! `every_failure`: each kernel call that can fail does so once, and what a plugin makes of it is seen.
use kp_core::*;
use kp_sim::{Builder, Sim, every_failure};
use std::{
    error::Error,
    mem,
    sync::atomic::{AtomicBool, Ordering::*},
};

/// What is wrong with a plugin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// If the second block cannot be had, the first is lost.
    Leaks,
    /// After one failure it has had enough.
    GivesUp,
    /// It does not mind.
    Swallows,
}

/// Keeps two blocks of memory for a session, by its open data.
struct Keeper {
    fault: Fault,
    gave_up: AtomicBool,
}

impl Keeper {
    fn pair(&self, cx: &mut Passive) -> kp_core::Result<(KBox<u32>, KBox<u32>)> {
        let first = KBox::new(cx, 1)?;
        match KBox::new(cx, 2) {
            Ok(second) => Ok((first, second)),
            Err(error) => {
                if self.fault == Fault::Leaks {
                    mem::forget(first);
                }
                self.gave_up.store(self.fault == Fault::GivesUp, Relaxed);
                Err(error)
            }
        }
    }
}

kp_abi::interface! {
    mod keeper, version 1 {
        fn keep() -> u32 = 1;
    }
}
impl keeper::Handler<Passive> for Keeper {
    fn keep(&self, cx: &mut Passive, _: &()) -> kp_core::Result<u32> {
        if self.gave_up.load(Relaxed) {
            return Err(Status::BUSY.into());
        }
        match self.pair(cx) {
            Ok((first, second)) => Ok(*first + *second),
            Err(_) if self.fault == Fault::Swallows => Ok(3),
            Err(error) => Err(error),
        }
    }
}

/// A plugin type with this fault.
macro_rules! plugins {
    ($($module:ident: $fault:expr;)*) => { $(
        mod $module {
            use super::*;
            pub struct Faulty(Keeper);
            impl Init for Faulty {
                type Session = ();
                type Interrupt = ();
                fn init(_: &mut Passive, _: Device) -> kp_core::Result<Self> {
                    Ok(Faulty(Keeper { fault: $fault, gave_up: AtomicBool::new(false) }))
                }
            }
            impl keeper::Handler<Passive> for Faulty {
                fn keep(&self, cx: &mut Passive, session: &()) -> kp_core::Result<u32> {
                    self.0.keep(cx, session)
                }
            }
            plugin! { Faulty { name: "keeper", interface: keeper, callbacks: [] } }
        }
    )* };
}
plugins! {
    right: Fault::None;
    leaks: Fault::Leaks;
    gives_up: Fault::GivesUp;
    swallows: Fault::Swallows;
}

/// An app opens, asks and goes.
fn asks<P: Plugin>(sim: &Sim<P>) -> std::result::Result<(), Box<dyn Error>> {
    let plugin = sim.connect(keeper::INTERFACE)?;
    assert_eq!(keeper::Client(&plugin).keep()?, 3);
    Ok(())
}

fn failures<P: Plugin>() -> Vec<Option<String>> {
    let told = every_failure(Sim::<P>::builder, asks);
    told.into_iter().map(|error| error.map(|error| error.to_string())).collect()
}

#[test]
fn opening_answers_an_error_if_no_handle_can_be_made() {
    let told = (1..20).find_map(|n| {
        let sim = Sim::<right::Faulty>::builder().fail_nth(n).build().ok()?;
        sim.connect(keeper::INTERFACE).err()
    });
    assert_eq!(told.expect("a handle takes memory").status(), Some(Status::NO_MEMORY));
}

#[test]
fn each_call_that_can_fail_fails_once_and_its_error_is_told() {
    let sim = Sim::<right::Faulty>::new().unwrap();
    asks(&sim).unwrap();
    let told = failures::<right::Faulty>();
    assert_eq!(told.len() as u64, sim.fallible_calls());
    assert!(told.iter().flatten().all(|error| error.contains("NoMemory")), "{told:?}");
    assert!(told.iter().all(Option::is_some), "{told:?}");
}

#[test]
fn a_failure_of_which_nobody_is_told_is_seen() {
    let told = failures::<swallows::Faulty>();
    assert_eq!(told.iter().filter(|error| error.is_none()).count(), 2, "{told:?}");
}

#[test]
#[should_panic(expected = "left at unload: 1 allocations")]
fn what_is_lost_at_a_failure_is_found() {
    failures::<leaks::Faulty>();
}

#[test]
#[should_panic(expected = "does not go on after it: Busy")]
fn a_plugin_that_does_not_recover_is_found() {
    failures::<gives_up::Faulty>();
}

#[test]
#[should_panic(expected = "does not go on after it, when the story is told again: it is another one")]
fn a_story_that_panics_when_it_is_told_again_says_that_it_was() {
    every_failure(Sim::<right::Faulty>::builder, |sim| {
        let told = asks(sim);
        let is_again = told.is_ok() && sim.log().iter().any(|line| line == "told");
        assert!(!is_again, "it is another one");
        sim.enter(|_| log!("told"));
        told
    });
}

#[test]
#[should_panic(expected = "fails without a failure: BadValue")]
fn a_story_that_fails_by_itself_is_no_failure_of_the_kernel() {
    let told: Vec<Option<kp_core::Error>> =
        every_failure(Sim::<right::Faulty>::builder, |_| Err(Status::BAD_VALUE.into()));
    drop(told);
}

#[test]
#[should_panic(expected = "a handle is still open")]
fn a_handle_that_outlives_the_story_is_found() {
    let kept = std::cell::RefCell::new(Vec::new());
    every_failure(Sim::<right::Faulty>::builder, |sim| -> std::result::Result<(), Box<dyn Error>> {
        kept.borrow_mut().push(sim.connect(keeper::INTERFACE)?);
        Ok(())
    });
}

#[test]
fn a_failure_in_init_ends_the_story_before_it_begins() {
    let builder: fn() -> Builder<edu_like::Mapped> = || Sim::builder().device(kp_sim::edu::Edu::new());
    let told = every_failure(builder, |_| Ok::<(), kp_core::Error>(()));
    assert!(told.iter().all(|error| *error == Some(Status::NO_MEMORY.into())), "{told:?}");
}

mod edu_like {
    use super::*;
    registers! {
        mod regs[4] {
            0 ID: u32, RO;
        }
    }
    pub struct Mapped(Bar<regs::Map>);
    impl Init for Mapped {
        type Session = ();
        type Interrupt = ();
        fn init(cx: &mut Passive, mut device: Device) -> kp_core::Result<Self> {
            let mapped = Mapped(device.map(cx, 0)?);
            let _ = mapped.0.read(regs::ID);
            Ok(mapped)
        }
    }
    plugin! { Mapped { name: "mapped", callbacks: [] } }
}
