//! Requests of other drivers, with file objects that no CREATE of this driver has seen, or that belong to another of its devices: nothing of
//! them is looked at, and nobody's handle suffers.
use super::{Loaded, Loader, open, path};
use crate::{Subject, registry::guest_test};
use edu_interface::edu;
use kp_abi::{
    TransportStatus,
    request::{self, Query, Request},
    zerocopy::IntoBytes,
};
use windows_loader::{
    Assigned, Buffer, Done, Stranger,
    nt::{NtStatus, STATUS_INVALID_DEVICE_REQUEST, STATUS_SUCCESS, major},
};

/// Both drivers, for as long as `test` runs. One that has counted its handles wrongly does not unload.
fn loaded(drivers: &str, test: impl FnOnce(&Loader)) {
    let mut world = Loader::loaded(drivers);
    test(&world);
    world.unload_all();
}

/// A request by a driver, to the subject's device.
fn send(loaded: &Loaded, path: &str, major: u8, stranger: Stranger<'_>) -> Done {
    let mut query = Query::new();
    query.head.size = size_of::<Query>() as u32;
    let input = query;
    let code = request::control_code(Query::NR).expect("QUERY has a code");
    let buffers = (code, Buffer::input(input.as_bytes()), Buffer::output(query.as_mut_bytes()));
    loaded.machine.request_by_a_driver(path, major, stranger, buffers).expect("the device is there")
}

fn wrong_context() -> NtStatus {
    TransportStatus::WRONG_CONTEXT.status().ntstatus() as NtStatus
}

/// A driver with a device, and one with none.
#[guest_test(stage = "loader")]
fn a_stranger_is_told_so_and_nothing_of_it_is_looked_at(drivers: &str) {
    loaded(drivers, |world| {
        for subject in [Subject::Echo, Subject::Edu] {
            is_told_so(world.get(subject), subject);
        }
    });
}

fn is_told_so(loaded: &Loaded, subject: Subject) {
    let handle = open(&loaded.process, subject);
    for stranger in [Stranger::Nothing, Stranger::Elsewhere, Stranger::ThisDevice] {
        for (major, answer) in [
            (major::CREATE, wrong_context()),
            (major::DEVICE_CONTROL, wrong_context()),
            (major::READ, STATUS_INVALID_DEVICE_REQUEST),
            (major::WRITE, STATUS_INVALID_DEVICE_REQUEST),
            (major::CLEANUP, STATUS_SUCCESS),
            (major::CLOSE, STATUS_SUCCESS),
        ] {
            let done = send(loaded, path(subject), major, stranger);
            assert_eq!(done, Done { status: answer, information: 0 }, "{}: {major}", subject.name());
        }
    }
    // A driver above that passes an app's file object on is no stranger.
    let done = send(loaded, path(subject), major::DEVICE_CONTROL, Stranger::Handle(&handle));
    assert_eq!(done, Done { status: STATUS_SUCCESS, information: size_of::<Query>() });
    handle.close();
}

/// Two devices of one driver: their contexts are of one kind, and still only one of them is meant.
#[guest_test(stage = "loader")]
fn a_handle_of_another_device_is_a_stranger(drivers: &str) {
    loaded(drivers, |world| is_of_another_device(world.get(Subject::Edu)));
}

fn is_of_another_device(loaded: &Loaded) {
    let second = loaded.machine.plug(kp_sim::edu::Edu::new());
    second.add(&loaded.driver).expect("AddDevice");
    second.start(Assigned::Line).expect("START_DEVICE");
    let handle = open(&loaded.process, Subject::Edu);
    for (major, answer) in
        [(major::DEVICE_CONTROL, wrong_context()), (major::CLEANUP, STATUS_SUCCESS), (major::CLOSE, STATUS_SUCCESS)]
    {
        let done = send(loaded, r"\\.\kp-edu.1", major, Stranger::Handle(&handle));
        assert_eq!(done, Done { status: answer, information: 0 }, "{major}");
    }
    let done = send(loaded, path(Subject::Edu), major::DEVICE_CONTROL, Stranger::Handle(&handle));
    assert_eq!(done.status, STATUS_SUCCESS, "the handle is what it was");
    // One that was counted wrongly could not be stopped.
    second.stop().expect("nobody has it open");
    second.remove().expect("nobody has it open");
    handle.close();
}

/// A CREATE with a file object that is open already must not have its handle forgotten.
#[guest_test(stage = "loader")]
fn a_file_is_opened_once(drivers: &str) {
    loaded(drivers, |world| is_opened_once(world.get(Subject::Edu)));
}

fn is_opened_once(loaded: &Loaded) {
    let handle = open(&loaded.process, Subject::Edu);
    let done = send(loaded, path(Subject::Edu), major::CREATE, Stranger::Handle(&handle));
    assert_eq!(done.status, wrong_context());
    let node = std::sync::Arc::new(kp_user::ControlNode::over(handle));
    let plugin = kp_user::Plugin::over(node, edu::INTERFACE, &[]).expect("the handle is what it was");
    assert_eq!(edu::Client(&plugin).invert(1), Ok(!1));
}
