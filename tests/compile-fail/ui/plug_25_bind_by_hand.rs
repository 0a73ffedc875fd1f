//! Only a port drives a driver's life: a removal drops the plugin, whoever borrows it.
use kp_core::*;

pub fn bind<P: Plugin>(cx: &mut Passive) {
    let _ = host::BoundDevice::<P>::bind(cx, host::RawDevice::none());
}

pub fn tell<P: Plugin>(driver: &host::BoundDevice<P>, cx: &mut Passive) {
    driver.suspend(cx, 0);
    driver.resume(cx);
    driver.remove(cx, true);
}
