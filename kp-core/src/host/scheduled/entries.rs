//! What runs when a timer's time has come, and when a thread of the kernel's takes a work item.
use super::{timer::TimerRecord, work_item::WorkRecord};
use crate::{Dispatch, Passive, Plugin, host::device::DeviceRecord};

/// Runs the plugin's `timer_at_dpc`: what a port that knows its plugin's type calls rather than [`TimerEntry`](crate::host::TimerEntry).
///
/// # Safety
/// At Dispatch, between `timer_new` and the return of `timer_free`; `cookie` is the entry's.
pub unsafe fn timer<P: Plugin>(cookie: *const ()) {
    let Some(callback) = P::TABLE.timer_at_dpc else { return };
    // SAFETY: the cookie is a record's address, and the record outlives the port's timer.
    let timer = unsafe { &*cookie.cast::<TimerRecord>() };
    // SAFETY: the caller's promise: at Dispatch until this returns.
    let mut cx = unsafe { Dispatch::assume() };
    let Some(_run) = timer.begin(&mut cx) else { return };
    // SAFETY: inside the gate: the record of the device of the same plugin.
    let device = unsafe { &*timer.runs().device().cast::<DeviceRecord<P>>() };
    // SAFETY: inside the gate: removal waits for it before it takes the plugin.
    callback(unsafe { device.plugin() }, &mut cx, timer.number);
    timer.end_run(&mut cx);
}

/// Runs the plugin's `work`: what a port that knows its plugin's type calls rather than [`WorkEntry`](crate::host::WorkEntry).
///
/// # Safety
/// At Passive with no level on the stack, between `work_item_new` and the return of `work_item_free`; `cookie` is the entry's.
pub unsafe fn work<P: Plugin>(cookie: *const ()) {
    let Some(callback) = P::TABLE.work else { return };
    // SAFETY: the cookie is a record's address, and the record outlives the port's work item.
    let item = unsafe { &*cookie.cast::<WorkRecord>() };
    // SAFETY: the caller's promise: at Passive until this returns.
    let mut cx = unsafe { Passive::assume() };
    let Some(_run) = item.begin(&mut cx) else { return };
    // SAFETY: inside the gate: the record of the device of the same plugin.
    let device = unsafe { &*item.runs().device().cast::<DeviceRecord<P>>() };
    // SAFETY: inside the gate: removal waits for it before it takes the plugin.
    let plugin = unsafe { device.plugin() };
    cx.in_session(&item.runs().context, |cx| callback(plugin, cx, item.number));
    item.end_run(&mut cx);
}
