//! What is done later: DPCs, timers, work items.
use crate::{
    cpu::{self, checked},
    dispatcher::kind,
    exports::{exports, sync},
    nt::{DeviceObject, Header, Kdpc, Ktimer, ListEntry},
    rule::Rule,
};
use std::{ffi::c_void, ptr};

/// As many as run DPCs.
const PROCESSORS: u32 = 2;

/// Sets a timer: `due` in the kernel's way.
fn set_timer(timer: *mut Ktimer, due: i64, period: i32, dpc: *mut Kdpc) -> u8 {
    let kernel = cpu::kernel();
    let Some(due) = sync::deadline(&due) else { return 0 };
    kernel.timers.set(&kernel, timer, due, period.max(0) as u32, dpc).into()
}

fn initialize_timer(timer: *mut Ktimer, kind: u8) {
    let list = timer.expose_provenance() + 8;
    let header = Header { kind, _control: [0; 3], signal_state: 0, wait_list: ListEntry { flink: list, blink: list } };
    if cpu::kernel().timers.cancel(timer) {
        cpu::fail(Rule::TimerSet.broken("KeInitializeTimer: of a timer that is set"));
    }
    // SAFETY: the driver's memory for a timer.
    unsafe {
        ptr::write_bytes(timer, 0, 1);
        (*timer).header = header;
    }
}

exports! {
    [0..=15] fn KeInitializeDpc(dpc: *mut Kdpc, routine: usize, context: usize) {
        const DPC: u32 = 19;
        // SAFETY: the driver's memory for a DPC.
        unsafe {
            ptr::write_bytes(dpc, 0, 1);
            (*dpc).kind_and_importance = DPC;
            (*dpc).routine = routine;
            (*dpc).context = context;
        }
    }

    [0..=15] fn KeInsertQueueDpc(dpc: *mut Kdpc, argument1: usize, argument2: usize) -> u8 {
        cpu::kernel().dpcs.queue(dpc, argument1, argument2).into()
    }

    [0..=15] fn KeRemoveQueueDpc(dpc: *mut Kdpc) -> u8 {
        cpu::kernel().dpcs.remove(dpc).into()
    }

    /// Both processors take DPCs as they come: a target is one of them all the same.
    [0..=15] fn KeSetTargetProcessorDpc(dpc: *mut Kdpc, number: i8) {
        if !(0..PROCESSORS as i8).contains(&number) {
            cpu::fail(Rule::DpcProcessor.broken(format!("KeSetTargetProcessorDpc: the DPC {dpc:p} is for processor {number}, which there is not")));
        }
    }

    [0..=15] fn KeSetImportanceDpc(_dpc: *mut Kdpc, _importance: i32) {}

    [0..=15] fn KeQueryActiveProcessorCount(affinity: *mut usize) -> u32 {
        if !affinity.is_null() {
            // SAFETY: the driver's place for the mask.
            unsafe { *affinity = (1 << PROCESSORS) - 1 };
        }
        PROCESSORS
    }

    [0..=15] fn KeGetCurrentProcessorNumberEx(number: *mut u32) -> u32 {
        if !number.is_null() {
            // SAFETY: the driver's place for group and number, four bytes.
            unsafe { *number = 0 };
        }
        0
    }

    [0..=0] fn KeFlushQueuedDpcs() {
        let kernel = cpu::kernel();
        if kernel.dpcs.flush(&kernel).is_none() {
            cpu::abandon();
        }
    }

    [0..=2] fn KeInitializeTimer(timer: *mut Ktimer) {
        initialize_timer(timer, kind::NOTIFICATION_TIMER);
    }

    [0..=2] fn KeInitializeTimerEx(timer: *mut Ktimer, kind: i32) {
        if kind != 0 && kind != 1 {
            cpu::fail(Rule::TimerKind.broken(format!("KeInitializeTimerEx: {kind} is no kind of timer")));
        }
        initialize_timer(timer, kind::NOTIFICATION_TIMER + kind as u8);
    }

    [0..=2] fn KeSetTimer(timer: *mut Ktimer, due: i64, dpc: *mut Kdpc) -> u8 {
        set_timer(timer, due, 0, dpc)
    }

    [0..=2] fn KeSetTimerEx(timer: *mut Ktimer, due: i64, period: i32, dpc: *mut Kdpc) -> u8 {
        set_timer(timer, due, period, dpc)
    }

    [0..=2] fn KeCancelTimer(timer: *mut Ktimer) -> u8 {
        cpu::kernel().timers.cancel(timer).into()
    }

    [0..=2] fails null fn IoAllocateWorkItem(device: *mut DeviceObject) -> *mut c_void {
        let kernel = cpu::kernel();
        let item = kernel.allocate(64, b"Work", false);
        kernel.works.allocate(item, device.expose_provenance());
        ptr::with_exposed_provenance_mut(item)
    }

    [0..=2] fn IoQueueWorkItem(item: *mut c_void, routine: usize, _queue: i32, context: usize) {
        checked(cpu::kernel().works.queue(item.expose_provenance(), routine, context, false));
    }

    /// Drivers use it for what is no request's: it may last.
    [0..=2] fn IoQueueWorkItemEx(item: *mut c_void, routine: usize, _queue: i32, context: usize) {
        checked(cpu::kernel().works.queue(item.expose_provenance(), routine, context, true));
    }

    [0..=2] fn IoFreeWorkItem(item: *mut c_void) {
        let kernel = cpu::kernel();
        checked(kernel.works.free(item.expose_provenance()));
        checked(kernel.pool.free(item.expose_provenance(), None));
    }
}
