//! Levels, locks and memory, with a plugin that uses all of them.
use kp_core::*;
use kp_sim::Sim;
use std::panic::{AssertUnwindSafe, catch_unwind};

struct Holder {
    a: SpinLock<u32, Irql>,
    b: SpinLock<u32, Irql>,
    d: SpinLock<u32, Dispatch>,
    m: Mutex<u32>,
    n: Mutex<u32>,
    slot: SpinLock<Option<KBox<u64>>, Irql>,
    pool: Pool,
    queue: SpinLock<KVec<PoolBox<u64>>, Irql>,
}

impl Init for Holder {
    type Session = ();
    type Interrupt = ();
    fn init(cx: &mut Passive, _: Device) -> Result<Self> {
        let kept = KBox::new(cx, 7)?;
        let queue = KVec::with_capacity(cx, 4)?;
        Ok(Holder {
            a: SpinLock::new(cx, 1)?,
            b: SpinLock::new(cx, 2)?,
            d: SpinLock::new(cx, 3)?,
            m: Mutex::new(cx, 4)?,
            n: Mutex::new(cx, 5)?,
            slot: SpinLock::new(cx, Some(kept))?,
            pool: Pool::new(cx, 4096)?,
            queue: SpinLock::new(cx, queue)?,
        })
    }
}

kp_abi::interface! {
    mod holder, version 1 {
        fn nest() -> u32 = 1;
        fn free_at_irql() = 2;
        fn pool() -> u32 = 3;
        fn panic_with_a_lock() = 4;
        fn twice() = 5;
        fn forwards() = 6;
        fn backwards() = 7;
        fn new_memory() -> u8 = 8;
    }
}

impl holder::Handler<Passive> for Holder {
    fn nest(&self, cx: &mut Passive, _: &()) -> Result<u32> {
        Ok(self.d.with(cx, |d, cx| self.a.with(cx, |a, cx| self.b.with(cx, |b, _| *a * 100 + *b * 10 + *d))))
    }
    fn free_at_irql(&self, cx: &mut Passive, _: &()) -> Result<()> {
        self.slot.with(cx, |slot, _| *slot = None);
        Ok(())
    }
    fn pool(&self, cx: &mut Passive, _: &()) -> Result<u32> {
        self.queue.with(cx, |queue, _| {
            queue.push_within(self.pool.alloc(11)?).map_err(|_| Status::NO_MEMORY)?;
            Ok(queue.len() as u32)
        })
    }
    fn panic_with_a_lock(&self, cx: &mut Passive, _: &()) -> Result<()> {
        self.a.with(cx, |_, _| panic!("planted"))
    }
    fn twice(&self, cx: &mut Passive, _: &()) -> Result<()> {
        self.a.with(cx, |_, cx| self.a.with(cx, |_, _| ()));
        Ok(())
    }
    fn forwards(&self, cx: &mut Passive, _: &()) -> Result<()> {
        self.m.with(cx, |_, cx| self.n.with(cx, |_, _| ()));
        Ok(())
    }
    fn backwards(&self, cx: &mut Passive, _: &()) -> Result<()> {
        self.n.with(cx, |_, cx| self.m.with(cx, |_, _| ()));
        Ok(())
    }
    fn new_memory(&self, cx: &mut Passive, _: &()) -> Result<u8> {
        let memory = KVec::<u8>::with_capacity(cx, 16)?;
        // SAFETY: allocated for 16 bytes, and the simulator has filled them.
        Ok(unsafe { memory.as_ptr().read() })
    }
}

plugin! { Holder { name: "holder", interface: holder, callbacks: [] } }

/// What a simulator's verdict says.
fn verdict(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("the simulator let it pass");
    payload.downcast_ref::<String>().expect("a verdict has a text").clone()
}

#[test]
fn locks_nest_up_to_the_highest_level() {
    let sim = Sim::<Holder>::new().unwrap();
    let plugin = sim.connect(holder::INTERFACE).unwrap();
    assert_eq!(holder::Client(&plugin).nest(), Ok(123));
}

#[test]
fn a_free_at_irql_is_put_off_and_counted() {
    let sim = Sim::<Holder>::new().unwrap();
    let before = sim.live().allocations;
    let plugin = sim.connect(holder::INTERFACE).unwrap();
    let open = sim.live().allocations;
    assert_eq!(sim.deferred_frees(), 0);
    holder::Client(&plugin).free_at_irql().unwrap();
    assert_eq!(sim.deferred_frees(), 1);
    assert_eq!(sim.live().allocations, open - 1, "it was freed once the level had fallen");
    drop(plugin);
    assert_eq!(sim.live().allocations, before - 1);
}

#[test]
fn a_pool_is_allocated_from_at_irql() {
    let sim = Sim::<Holder>::new().unwrap();
    let plugin = sim.connect(holder::INTERFACE).unwrap();
    let client = holder::Client(&plugin);
    assert_eq!((client.pool(), client.pool()), (Ok(1), Ok(2)));
    assert_eq!(sim.deferred_frees(), 0);
}

#[test]
fn a_panic_poisons_its_kernel_and_no_other() {
    let (sim, other) = (Sim::<Holder>::new().unwrap(), Sim::<Holder>::new().unwrap());
    let plugin = sim.connect(holder::INTERFACE).unwrap();
    let client = holder::Client(&plugin);
    assert_eq!(client.panic_with_a_lock(), Err(Status::POISONED.into()));
    assert_eq!(client.nest(), Err(Status::POISONED.into()));
    let log = sim.log();
    let line = log.iter().find(|line| line.contains("panicked at")).expect("the panic is in the log");
    assert!(line.contains("levels.rs:") && line.ends_with(": planted"), "{line}");
    assert!(sim.is_poisoned() && !other.is_poisoned());
    drop(plugin);
    assert_eq!(sim.unload(), Ok(()));

    let plugin = other.connect(holder::INTERFACE).unwrap();
    assert_eq!(holder::Client(&plugin).nest(), Ok(123));
}

#[test]
fn taking_a_lock_twice_is_found_at_once() {
    let sim = Sim::<Holder>::new().unwrap();
    let plugin = sim.connect(holder::INTERFACE).unwrap();
    let text = verdict(|| _ = holder::Client(&plugin).twice());
    assert!(text.contains("holds the lock already"), "{text}");
    assert!(!sim.is_poisoned(), "the simulator panicked, not the plugin");
}

#[test]
fn two_locks_in_two_orders_are_found_without_a_deadlock() {
    let sim = Sim::<Holder>::new().unwrap();
    let plugin = sim.connect(holder::INTERFACE).unwrap();
    let client = holder::Client(&plugin);
    client.forwards().unwrap();
    client.forwards().unwrap();
    let text = verdict(|| _ = client.backwards());
    assert!(text.starts_with("lock order: lock #") && text.matches("(Mutex, made at ").count() == 2, "{text}");
    assert_eq!(text.matches("levels.rs:").count(), 2, "it says where they are made: {text}");
}

#[test]
fn new_memory_holds_the_poison_pattern() {
    let sim = Sim::<Holder>::new().unwrap();
    let plugin = sim.connect(holder::INTERFACE).unwrap();
    assert_eq!(holder::Client(&plugin).new_memory(), Ok(0xA5));
}

#[test]
fn entering_from_inside_is_refused() {
    let sim = Sim::<Holder>::new().unwrap();
    let text = verdict(|| sim.enter(|_| sim.enter(|_| ())));
    assert!(text.contains("a system call from inside the kernel"), "{text}");
}

#[test]
fn a_pool_box_outlives_its_pool() {
    let sim = Sim::<Holder>::new().unwrap();
    sim.enter(|cx| {
        let pool = Pool::new(cx, 100).unwrap();
        let kept = pool.alloc([3u64; 4]).unwrap();
        drop(pool);
        assert_eq!(kept[3], 3);
    });
}
