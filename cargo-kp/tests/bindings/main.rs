//! `cargo kp bindings`: what it writes compiles without a warning, also of interfaces that are made up; it writes all or nothing, and what it
//! refuses is named.
mod awkward;
mod command;
mod compile;
#[cfg(target_os = "linux")]
mod dropped;
mod folder;
#[cfg(target_os = "linux")]
mod made_up_driver;
#[cfg(target_os = "linux")]
mod over_a_socket;
#[path = "../../../kp-tool/tests/schema/random.rs"]
mod random;
#[cfg(target_os = "linux")]
mod refused;
#[cfg(target_os = "linux")]
mod sentences;

use cargo_kp::bindings::{File, Language};
use kp_abi::Interface;
use kp_tool::schema::Schema;

/// An interface's schema.
fn schema(interface: &Interface) -> Schema {
    let mut bytes = vec![0; interface.schema_len()];
    interface.write_schema(&mut bytes);
    Schema::decode(&bytes).expect("an interface's own bytes are a schema")
}

/// The three that apps are tried with.
fn examples() -> [Schema; 3] {
    [echo_interface::echo::INTERFACE, edu_interface::edu::INTERFACE, selftest_interface::selftest::INTERFACE]
        .map(schema)
}

/// Interfaces that are made up, each with a name of its own.
fn made_up() -> impl Iterator<Item = Schema> {
    (1..=200).map(|seed| schema(&Interface { name: format!("i{seed}").leak(), ..random::interface(seed) }))
}

/// The bindings of many, in one folder's files.
fn bindings(language: Language, schemas: impl IntoIterator<Item = Schema>) -> Vec<File> {
    schemas.into_iter().flat_map(|schema| language.files(&schema).expect("the templates fit")).collect()
}
