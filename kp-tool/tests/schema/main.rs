//! What a driver tells of its messages is what its interface says, by bytes and by JSON; and bytes of anybody's are taken apart with care.
mod fingerprint;
mod forms;
mod hostile;
mod random;

use kp_abi::Interface;

/// The interfaces of all examples.
const EXAMPLES: [&Interface; 7] = [
    bmd_interface::bmd::INTERFACE,
    echo_interface::echo::INTERFACE,
    edu_interface::edu::INTERFACE,
    ivshmem_interface::ivshmem::INTERFACE,
    selftest_interface::selftest::INTERFACE,
    sleeper_interface::sleeper::INTERFACE,
    ticker::ticker::INTERFACE,
];

/// They, and 200 that are made up.
fn interfaces() -> impl Iterator<Item = Interface> {
    EXAMPLES.into_iter().copied().chain((1..=200).map(random::interface))
}

/// An interface as bytes.
fn bytes(interface: &Interface) -> Vec<u8> {
    let mut bytes = vec![0; interface.schema_len()];
    interface.write_schema(&mut bytes);
    bytes
}
