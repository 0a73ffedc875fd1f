//! Two devices of one plugin: an app that knows its card's bus address opens that one.
#[path = "../../kp-core/tests/test_plugin/mod.rs"]
mod test_plugin;

use kp_sim::{Sim, device::DeviceModel, edu::Edu};
use kp_user::{Connection, OpenOptions};
use std::sync::Arc;
use test_plugin::{TestPlugin, messages};

/// edu's register.
const INTERRUPT_STATUS: u64 = 0x24;

#[test]
fn an_app_opens_the_device_at_a_bus_address() {
    let sim = |address: &str| {
        let address = address.parse().expect("it is an address");
        Sim::<TestPlugin>::builder().device(Edu::new()).bus_address(address).build().expect("the device is bound")
    };
    let addresses = ["0000:03:00.0", "0000:04:00.0"];
    let sims = addresses.map(sim);
    let handles = || sims.iter().map(|sim| -> Arc<dyn Connection> { Arc::new(sim.open()) });
    let options = OpenOptions::new().interface(messages::INTERFACE);
    for (sim, address) in sims.iter().zip(addresses) {
        let plugin = options.over_at(address, handles()).expect("there is one");
        assert_eq!(plugin.bus_address().map(|at| at.map(|at| at.to_string())), Ok(Some(address.to_owned())));
        messages::Client(&plugin).raise(5).expect("the device is there");
        let raised = sim.device(|edu: &mut Edu| edu.read(0, INTERRUPT_STATUS, 4, &mut Vec::new()));
        assert_eq!(raised, 5, "{address}");
    }
    let error = options.over_at("0000:05:00.0", handles()).expect_err("there is none");
    let there =
        "0000:05:00.0: no plugin has a device at this address, but at 0000:03:00.0, 0000:04:00.0: see `lspci -nnk`";
    assert_eq!(error.to_string(), there);
}
