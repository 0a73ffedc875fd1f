//! A device's own transfers: who uses a device's memory when it is removed, what is listed for later, and what was dropped while the device had it.
use crate::{
    DmaLimits, Passive,
    host::{
        CoherentMemory, DmaId,
        dma_memory::DmaMemory,
        fake_dma::{Machine, end, stop},
        link::Link,
        read_mostly::ReadMostly,
        rundown::Rundown,
        stack::{Node, Stack},
    },
    models::model,
};
use core::{num::NonZeroUsize, ptr::NonNull};
use loom::{
    cell::UnsafeCell,
    sync::{Arc, atomic::Ordering::*},
    thread,
};

struct Guarded {
    users: Rundown,
    value: UnsafeCell<u32>,
}

/// Reads the value, if it still may.
fn read(guarded: &Guarded) -> bool {
    let Some(_inside) = guarded.users.enter() else { return false };
    // SAFETY: what the model is about: with somebody inside nobody writes. loom finds out if somebody does.
    guarded.value.with(|value| assert_eq!(unsafe { *value }, 7));
    true
}

#[test]
fn nobody_is_inside_after_the_end_of_a_rundown_and_nobody_enters() {
    model(|| {
        let guarded = Arc::new(Guarded { users: Rundown::new(), value: UnsafeCell::new(7) });
        let users: Vec<_> = (0..2)
            .map(|_| {
                let guarded = guarded.clone();
                thread::spawn(move || _ = read(&guarded))
            })
            .collect();
        guarded.users.end(thread::yield_now);
        // SAFETY: what the model is about: nobody is inside.
        guarded.value.with_mut(|value| unsafe { *value = 0 });
        assert!(!read(&guarded));
        users.into_iter().for_each(|user| user.join().unwrap());
    });
}

/// What is listed: its number is written before it is pushed, and read when it is taken.
#[repr(C)]
struct Item {
    node: Node,
    number: UnsafeCell<usize>,
}

fn push(list: &Stack, number: usize) {
    let item = Box::new(Item { node: Node::new(), number: UnsafeCell::new(0) });
    // SAFETY: nobody else has it yet.
    item.number.with_mut(|it| unsafe { *it = number });
    // SAFETY: alive until it is taken, and in no list.
    unsafe { list.push(NonNull::from(Box::leak(item)).cast()) };
}

/// Takes all, and counts how often each number was there.
fn take(list: &Stack, seen: &mut [u32; 2]) {
    list.take_all(|node| {
        // SAFETY: pushed as the first field of an item, and this thread's alone now.
        let item = unsafe { Box::from_raw(node.cast::<Item>().as_ptr()) };
        // SAFETY: what the model is about: who pushed it has written it before.
        item.number.with(|number| seen[unsafe { *number }] += 1);
    });
}

#[test]
fn a_list_without_a_lock_loses_nothing_and_gives_nothing_twice() {
    model(|| {
        let list = Arc::new(Stack::new());
        let pushers: Vec<_> = (0..2)
            .map(|number| {
                let list = list.clone();
                thread::spawn(move || push(&list, number))
            })
            .collect();
        let mut seen = [0; 2];
        take(&list, &mut seen);
        pushers.into_iter().for_each(|pusher| pusher.join().unwrap());
        take(&list, &mut seen);
        assert_eq!(seen, [1, 1]);
    });
}

/// A device that may transfer, and `N` pieces of memory that were made for it.
fn begin<const N: usize>() -> (std::sync::Arc<Machine>, Link, [DmaMemory<CoherentMemory>; N]) {
    let (machine, link, mut cx) = (Machine::start(), Link::new(), Passive);
    let dma: DmaId = link.open_dma(&mut cx, &DmaLimits).unwrap();
    let memory =
        core::array::from_fn(|_| DmaMemory::coherent(&mut cx, &link, dma, NonZeroUsize::new(4096).unwrap()).unwrap());
    (machine, link, memory)
}

/// The removal's steps, as `lifecycle` has them.
fn remove(link: &Link) {
    stop(link);
    end(link);
}

/// All was freed once, and the port was told of the end; or some is leaked, and the log says so.
fn check_end(machine: &Machine) {
    let [made, freed, closed, leaked] =
        [&machine.made, &machine.freed, &machine.closed, &machine.leaked].map(|count| count.load(Relaxed));
    assert_eq!((closed, leaked), if freed == made { (1, 0) } else { (0, 1) }, "{freed} of {made} are freed");
}

#[test]
fn what_is_dropped_on_the_device_is_freed_once_and_not_while_it_may_transfer() {
    model(|| {
        let (machine, link, [memory]) = begin();
        let device = {
            let machine = machine.clone();
            thread::spawn(move || machine.transfer(0))
        };
        let dropper = thread::spawn(move || {
            memory.keep();
            drop(memory);
        });
        remove(&link);
        device.join().unwrap();
        dropper.join().unwrap();
        check_end(&machine);
    });
}

#[test]
fn what_was_dropped_before_the_removal_is_never_leaked() {
    model(|| {
        let (machine, link, [first, second]) = begin();
        first.keep();
        second.keep();
        drop(first);
        let device = {
            let machine = machine.clone();
            thread::spawn(move || machine.transfer(0))
        };
        let dropper = thread::spawn(move || drop(second));
        stop(&link);
        dropper.join().unwrap(); // as the plugin's value is dropped
        end(&link);
        device.join().unwrap();
        assert_eq!([machine.freed.load(Relaxed), machine.closed.load(Relaxed)], [2, 1]);
    });
}

#[test]
fn a_halt_frees_what_the_device_has_no_more() {
    model(|| {
        let (machine, link, [memory]) = begin();
        let device = {
            let machine = machine.clone();
            thread::spawn(move || machine.transfer(0))
        };
        let dropper = thread::spawn(move || {
            memory.keep();
            drop(memory);
        });
        let mut cx = Passive;
        link.halt(&mut cx).unwrap();
        dropper.join().unwrap();
        device.join().unwrap();
        link.enable(&mut cx).unwrap();
        remove(&link);
        assert_eq!([machine.freed.load(Relaxed), machine.closed.load(Relaxed)], [1, 1]);
    });
}

#[test]
fn what_is_read_without_a_lock_is_changed_while_nobody_reads() {
    model(|| {
        let numbers = Arc::new(ReadMostly::new(&mut Passive, [0, 0].map(UnsafeCell::new)).unwrap());
        // SAFETY: what the model is about: nobody changes what is read. loom finds out if somebody does.
        let read = |numbers: &[UnsafeCell<u32>; 2]| numbers.each_ref().map(|number| number.with(|it| unsafe { *it }));
        let reader = {
            let numbers = numbers.clone();
            thread::spawn(move || {
                let [first, second] = numbers.read(&mut Passive, read);
                assert_eq!(first, second);
            })
        };
        numbers.change(&mut Passive, |numbers, _| {
            // SAFETY: what the model is about: nobody reads. loom finds out if somebody does.
            numbers.iter().for_each(|number| number.with_mut(|it| unsafe { *it += 1 }));
        });
        assert_eq!(numbers.read(&mut Passive, read), [1, 1]);
        reader.join().unwrap();
    });
}
