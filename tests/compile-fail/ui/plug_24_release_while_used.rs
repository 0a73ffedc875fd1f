//! Only a port gives a session back: it knows that no request of it is in flight.
use core::ptr::NonNull;
use kp_core::*;

pub fn close<P: Plugin>(session: &host::Session<P>, cx: &mut Passive) {
    host::Session::release(NonNull::from(session), cx);
}
