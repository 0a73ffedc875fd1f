//! What the ivshmem plugin promises, on a model of the device.
#![forbid(unsafe_code)]

mod model;

use ivshmem::{Ivshmem, SILENT, VECTORS, ivshmem as messages};
use kp_core::{Error, Status};
use kp_sim::Sim;
use kp_user::{Enable, Kind, Plugin};
use model::Model;
use std::time::Duration;

const ALL: u32 = VECTORS as u32;

fn connect() -> (Sim<Ivshmem>, Plugin) {
    let sim = Sim::<Ivshmem>::with(Model::new()).unwrap();
    let plugin = sim.connect(messages::INTERFACE).unwrap();
    (sim, plugin)
}

#[test]
fn each_vector_is_counted_and_waited_for_by_itself() {
    let (_sim, plugin) = connect();
    let client = messages::Client(&plugin);
    let interrupts = plugin.interrupts(Enable::msix(ALL..=ALL)).unwrap();
    for vector in [2, 0, 2, SILENT] {
        client.ring(vector).unwrap();
    }
    assert_eq!(client.rung(), Ok([1, 0, 2, 1]));
    assert_eq!(interrupts.wait_many(2, 9, Duration::ZERO).unwrap().got, 2);
    assert_eq!(interrupts.try_take().unwrap().vector, 0);
    assert_eq!(interrupts.try_take().unwrap_err().status, Status::TIMEOUT, "the silent vector wakes no app");
}

#[test]
fn an_app_gets_at_most_as_many_vectors_as_the_plugin_serves() {
    let (_sim, plugin) = connect();
    let interrupts = plugin.interrupts(Enable::msix(1..=64)).unwrap();
    assert_eq!((interrupts.kind(), interrupts.count()), (Kind::MsiX, ALL));
}

#[test]
fn a_vector_that_is_not_there_cannot_be_rung() {
    let (_sim, plugin) = connect();
    assert_eq!(messages::Client(&plugin).ring(ALL), Err(Error::from(Status::BAD_VALUE)));
}
