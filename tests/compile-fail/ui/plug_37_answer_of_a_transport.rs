//! What only a transport answers, a handler cannot: the app would take it for the kernel's.

kp_abi::interface! {
    pub mod refusals, version 1 {
        fn named() = 1;
        fn converted() = 2;
    }
}
include!("part/plugin.rs");

impl refusals::Handler<Passive> for Plain {
    fn named(&self, _: &mut Passive, _: &()) -> Result<()> {
        Err(Status::DENIED.into())
    }
    fn converted(&self, _: &mut Passive, _: &()) -> Result<()> {
        Err(kp_abi::TransportStatus::DENIED.into())
    }
}

plugin! { Plain { name: "plain", interface: refusals, callbacks: [] } }
