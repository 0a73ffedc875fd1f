//! Bulk transfers by rings of descriptors, each byte compared.
use super::{machine, start};
use crate::{
    Unload,
    linux::unload,
    loopback::{Frames, Pair, story},
    registry::guest_test,
};
use kp_abi::request::dma;
use kp_user::Enable;
use loopback_interface::{BLOCK, loopback};
use std::time::Instant;

/// The blocks of a round.
const BLOCKS: usize = 1024;

/// Frames of all shapes, by each kind of interrupt; then so many MiB each way. The kernel's word on what the device reaches is the plugin's.
#[guest_test("dma bulk", stage = "dma", short = "8", long = "512")]
fn each_byte_of_bulk_transfers_comes_back(mib: u32) {
    let plugin = start("loopback", loopback::INTERFACE);
    let is_isolated = machine::has_iommu();
    assert_eq!(machine::was_told("intel_iommu=on"), is_isolated, "the kernel has it as the machine has it");
    let has = plugin.query().expect("a plugin can be asked").dma;
    assert_eq!(has, dma::HAS | if is_isolated { dma::ISOLATED } else { 0 }, "QUERY says so");
    assert_eq!(loopback::Client(&plugin).is_isolated(), Ok(is_isolated.into()), "and so does the plugin");
    for enable in [Enable::line(), Enable::msi()] {
        story(&plugin, enable);
    }

    let mut pair = Pair::new(&plugin, BLOCKS);
    // The device has 32 bits.
    let is_above = pair.highest(machine::highest) >= 1 << 32;
    let is_direct = is_isolated || !is_above && !machine::was_told("swiotlb=force");
    assert_eq!(pair.is_direct(), is_direct, "pages above 4 GiB: {is_above}");
    let interrupts = plugin.interrupts(Enable::msi()).expect("nobody has it enabled");
    let start = Instant::now();
    let rounds = (mib as usize) << 20 >> 22;
    for round in 0..rounds {
        let len = BLOCK as usize - round % 7;
        pair.go_round(Frames { from_at: round % 5, into: 0, len, count: BLOCKS - 1 });
    }
    let seconds = start.elapsed().as_secs_f64();
    let received = interrupts.disable().expect("it is enabled").received;
    println!(
        "{mib} MiB each way in {seconds:.1} s, {received} interrupts; isolated: {is_isolated}, above 4 GiB: {is_above}, direct: {is_direct}"
    );
    drop(pair);
    drop(plugin);
    assert_eq!(unload("loopback"), Unload::Gone);
}
