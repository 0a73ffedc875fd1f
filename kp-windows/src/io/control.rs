//! DeviceIoControl: which request it is, where its bytes are, and whether the two fit.
use crate::{
    io::{
        buffered_request::BufferedRequest,
        device_object::DeviceObject,
        handle::Handle,
        irp::{DeviceControl, Irp},
        node::Node,
        outcome::Outcome,
        pinned,
    },
    kernel::critical_region::CriticalRegion,
    nt::NtStatus,
};
use kp_abi::{
    Status, TransportStatus,
    request::{self, Request},
};
use kp_core::{
    Passive, Plugin,
    host::{Session, passive},
};

/// DeviceIoControl. Passive.
pub(crate) fn dispatch<P: Plugin>(device: DeviceObject<'_, Node>, irp: Irp<DeviceControl>) -> NtStatus {
    let _region = CriticalRegion::enter();
    // SAFETY: device controls come at Passive.
    unsafe { passive(|cx| serve::<P>(cx, device, irp)) }.complete()
}

fn serve<P: Plugin>(cx: &mut Passive, device: DeviceObject<'_, Node>, irp: Irp<DeviceControl>) -> Outcome {
    let Some(handle) = Handle::<P>::of(device.extension(), &irp) else {
        return Outcome::Done(irp, Err(TransportStatus::WRONG_CONTEXT.status()));
    };
    match request::of_control_code(irp.parameters().io_control_code) {
        Some(request::IntWait::NR) => handle.waits.serve(cx, irp),
        Some(request::BufferRegister::NR) => pinned::serve(cx, device, handle.session(), irp),
        Some(nr) => {
            let reply = reply(cx, handle.session(), nr, &irp);
            Outcome::Done(irp, reply)
        }
        None => Outcome::Done(irp, Err(TransportStatus::UNKNOWN_REQUEST.status())),
    }
}

/// Serves a request that is over at once. How much is the reply.
fn reply<P: Plugin>(
    cx: &mut Passive,
    session: &Session<P>,
    nr: u32,
    irp: &Irp<DeviceControl>,
) -> Result<usize, Status> {
    let mut user = BufferedRequest::of(irp)?;
    session.request(cx, nr, &mut user)?;
    Ok(user.written())
}
