//! An implemented `Call` is listed.
include!("part/plugin.rs");

impl Call for Plain {
    fn call(&self, _: &mut Passive, _: &(), _: Message<'_>, _: &mut Reply<'_>) -> Result<()> {
        Ok(())
    }
}

plugin! { Plain { name: "plain", callbacks: [] } }
