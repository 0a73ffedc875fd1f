//! Only a port says what a device's BARs are.
use kp_core::*;

pub fn call() {
    let bar = host::RawBar { len: 0x1000, kind: host::BarKind::Memory };
    let _ = host::RawDevice::new(host::DeviceId::new(1).unwrap(), [Some(bar); 6], 0);
}
