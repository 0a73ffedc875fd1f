//! Only a port says what a device's BARs are.
use kp_core::*;

pub fn call() {
    let _ = host::RawDevice::new(host::DeviceId::new(1).unwrap(), [Some(0x1000); 6], 0);
}
