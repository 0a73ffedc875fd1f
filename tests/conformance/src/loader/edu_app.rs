//! What edu's app tells of QEMU's device.
use super::Loader;
use crate::{Subject, Unload, World, registry::guest_test};
use kp_abi::request::kind;

/// Tells it once for each way in which Windows may assign the device's interrupts. The stages `apps` and `demos`, and the demo, read it.
#[guest_test("loader story", stage = "apps")]
fn the_edu_app_tells_its_story(drivers: &str) -> Result<(), String> {
    let mut world = Loader::with_qemu(drivers);
    world.load(Subject::Edu);
    for (what, kinds) in [("its line", kind::LINE), ("messages", kind::MSI)] {
        world.assign(kinds);
        println!("started    with {what} as its interrupt");
        let plugin = world.connect(Subject::Edu);
        edu_app::run(&plugin, &mut std::io::stdout()).map_err(|error| format!("edu-app: {error}"))?;
    }
    match world.unload(Subject::Edu) {
        Unload::Gone => Ok(()),
        Unload::Stays => Err("the driver is still in use".into()),
    }
}
