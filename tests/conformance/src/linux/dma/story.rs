//! An app whose card has an engine.
use super::{machine, start};
use crate::{Unload, linux::unload, registry::guest_test};
use bmd_interface::bmd;
use kp_abi::request::dma;
use kp_user::{Access, Enable, Plugin};

/// The story of examples/bmd, behind an IOMMU: what the card does not have is not mapped for it. It takes seven seconds, so only there. Then so many
/// KiB more, to the card and back.
#[guest_test("dma story", stage = "dma", short = "0", long = "256")]
fn a_card_with_an_engine_moves_what_it_has_been_given(kib: u32) {
    if !machine::has_iommu() {
        return;
    }
    let plugin = start("bmd", bmd::INTERFACE);
    assert_eq!(plugin.query().map(|query| query.dma), Ok(dma::HAS | dma::ISOLATED));
    let mut told = Vec::new();
    bmd_app::run(&plugin, &mut told).unwrap_or_else(|error| panic!("{error}"));
    let told = String::from_utf8(told).expect("a story is text");
    assert!(told.contains("each byte as it was"), "{told}");
    print!("{told}");
    moves(&plugin, (kib as usize) << 10);
    drop(plugin);
    assert_eq!(unload("bmd"), Unload::Gone);
}

/// By interrupts, each byte compared.
fn moves(plugin: &Plugin, len: usize) {
    if len == 0 {
        return;
    }
    let [from, into] =
        [Access::Read, Access::Write].map(|access| plugin.buffer(len, access).expect("memory of its own"));
    let sent: Vec<u8> = (0..len).map(|at| (at * 13 + at / 251) as u8).collect();
    from.write(0, &sent);
    let interrupts = plugin.interrupts(Enable::any()).expect("nobody has it enabled");
    let done = bmd::Client(plugin).loop_back(from.number(), into.number(), len as u64);
    assert_eq!(done, Ok(len as u64));
    let received = interrupts.disable().expect("it is enabled").received;
    let mut got = vec![0; len];
    into.read(0, &mut got);
    assert!(got == sent, "each byte as it was");
    println!("{len} bytes to the card and back, {received} interrupts");
}
