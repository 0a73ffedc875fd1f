//! A handler takes what its message declares.
include!("part/plugin.rs");
include!("part/interface.rs");

impl sums::Handler<Passive> for Plain {
    fn double(&self, _: &mut Passive, _: &(), n: u64) -> Result<u32> {
        Ok(2 * n as u32)
    }
    fn clear(&self, _: &mut Passive, _: &()) -> Result<()> {
        Ok(())
    }
}
