//! What the handler made is gone when it returns.

kp_abi::interface! {
    pub mod texts, version 1 {
        fn loud(text: &[u8]) -> [u8] = 1;
    }
}
include!("part/plugin.rs");

impl texts::Handler<Passive> for Plain {
    fn loud<'m>(&self, _: &mut Passive, _: &(), text: &'m [u8], out: &mut Out<'_, 'm, u8>) -> Result<()> {
        let mut loud = [0; 16];
        loud[..text.len()].copy_from_slice(text);
        loud.make_ascii_uppercase();
        out.lend(&loud)
    }
}

plugin! { Plain { name: "plain", interface: texts, callbacks: [] } }
