//! A handler takes the plugin's own session.
include!("part/plugin.rs");
include!("part/interface.rs");

impl sums::Handler<Passive, u8> for Plain {
    fn double(&self, _: &mut Passive, _: &u8, n: u32) -> Result<u32> {
        Ok(2 * n)
    }
    fn clear(&self, _: &mut Passive, _: &u8) -> Result<()> {
        Ok(())
    }
}

plugin! { Plain { name: "plain", interface: sums, callbacks: [] } }
