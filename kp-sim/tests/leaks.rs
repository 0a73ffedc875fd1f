//! What a plugin or its host does not give back is found at unload.
#[path = "../../kp-core/tests/test_plugin/mod.rs"]
mod test_plugin;

use kp_core::*;
use kp_sim::{Busy, Live, Mode, Process, Sim, edu::Edu};
use std::panic::{AssertUnwindSafe, catch_unwind};
use test_plugin::{TestPlugin, messages};

/// A plugin that leaks a box.
struct Leaky;
impl Init for Leaky {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, _: Device) -> Result<Self> {
        core::mem::forget(KBox::new(cx, 1u64)?);
        Ok(Leaky)
    }
}
plugin! { Leaky { name: "leaky", callbacks: [] } }

fn panic_text(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("the leak was not found");
    payload.downcast_ref::<String>().expect("a panic with a text").clone()
}

#[test]
fn a_leak_fails_the_test_at_unload_and_at_drop() {
    let sim = Sim::<Leaky>::new().unwrap();
    assert!(panic_text(|| _ = sim.unload()).contains("1 allocations, 0 locks"));
    let sim = Sim::<Leaky>::new().unwrap();
    assert!(panic_text(|| drop(sim)).starts_with("left at unload: 1 allocations"));
}

#[test]
fn unload_is_refused_while_an_app_holds_a_handle() {
    let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
    let app = sim.open();
    assert_eq!(sim.live().handles, 1);
    assert_eq!(sim.unload(), Err(Busy));
    drop(app);
    assert_eq!(sim.unload(), Ok(()));
    assert_eq!(sim.live(), Live::default());
    assert_eq!(sim.unload(), Ok(()), "unloaded already");
}

#[test]
fn the_last_app_unloads_a_kernel_whose_sim_is_gone() {
    let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    drop(sim);
    assert_eq!(messages::Client(&plugin).keep(b"still here"), Ok(10));
}

#[test]
fn an_app_that_only_drops_its_handle_leaves_nothing() {
    let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
    let use_it = || {
        let app = sim.connect(messages::INTERFACE).unwrap().connection().clone();
        let plugin = sim.connect(messages::INTERFACE).unwrap();
        plugin.connection().int_enable(kp_abi::request::kind::ANY, 1, 1, &[]).unwrap();
        messages::Client(&plugin).keep(&[7; 5000]).unwrap();
        drop((plugin, app));
    };
    use_it();
    // Counters of the last enabling stay readable, so the first time is not the last.
    let used = sim.live();
    use_it();
    assert_eq!((sim.live(), used.handles), (used, 0));
}

#[test]
fn a_removed_device_reads_all_ones_and_leaves_nothing() {
    let sim = Sim::<TestPlugin>::with(Edu::new()).unwrap();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    sim.remove(false);
    assert_eq!(messages::Client(&plugin).seen(), Err(Status::DEVICE_GONE.into()));
    assert_eq!(sim.live().mappings, 0);
    let opened = sim.open_in(&Process::new(1), Mode::ReadWrite);
    assert!(opened.is_err_and(|error| error == Status::DEVICE_GONE));
}
