//! With an interface, calls go to its handler alone.
include!("part/plugin.rs");
include!("part/interface.rs");

impl sums::Handler<Passive> for Plain {
    fn double(&self, _: &mut Passive, _: &(), n: u32) -> Result<u32> {
        Ok(2 * n)
    }
    fn clear(&self, _: &mut Passive, _: &()) -> Result<()> {
        Ok(())
    }
}
impl Call for Plain {
    fn call(&self, _: &mut Passive, _: &(), _: Message<'_>, _: &mut Reply<'_>) -> Result<()> {
        Ok(())
    }
}

plugin! { Plain { name: "plain", interface: sums, callbacks: [] } }
