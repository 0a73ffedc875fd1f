//! Every message has a handler.
include!("part/plugin.rs");
include!("part/interface.rs");

impl sums::Handler<Passive> for Plain {
    fn double(&self, _: &mut Passive, _: &(), n: u32) -> Result<u32> {
        Ok(2 * n)
    }
}

plugin! { Plain { name: "plain", interface: sums, callbacks: [] } }
