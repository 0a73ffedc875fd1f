//! An app whose card has an engine.
use super::{machine, start};
use crate::{Unload, linux::unload, registry::guest_test};
use bmd_interface::bmd;
use kp_abi::request::dma;

/// The story of examples/bmd, behind an IOMMU: what the card does not have is not mapped for it. It takes seven seconds, so only there.
#[guest_test("dma story", stage = "dma")]
fn a_card_with_an_engine_moves_what_it_has_been_given() {
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
    drop(plugin);
    assert_eq!(unload("bmd"), Unload::Gone);
}
