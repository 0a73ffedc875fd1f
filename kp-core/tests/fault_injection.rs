//! Every kernel call that can fail does so once: the app gets an error, and nothing is left behind.
mod test_plugin;

use kp_abi::{
    Status,
    request::{ANY_VECTOR, kind},
};
use kp_core::{Error, KVec, Mutex, Open, Passive, Plugin, plugin};
use kp_sim::{Builder, Mode, Process, Sim, edu::Edu, every_failure};
use test_plugin::{TestPlugin, messages};

/// Tells the story with every failure: each is told as what it is. How many there were.
fn failures<P: Plugin>(builder: impl Fn() -> Builder<P>, story: impl Fn(&Sim<P>) -> Result<(), Error>) -> usize {
    let told = every_failure(builder, story);
    let expected = [Status::NO_MEMORY, Status::NO_INTERRUPT, Status::CONNECT_FAILED];
    for (n, error) in (1..).zip(&told) {
        let error = error.as_ref().unwrap_or_else(|| panic!("call {n} failed, and nobody was told"));
        assert!(expected.contains(&error.status), "call {n}: {error}");
    }
    told.len()
}

/// What opening over the wire answers, without the text for people.
fn connect<P: Plugin>(sim: &Sim<P>, interface: &kp_abi::Interface) -> Result<kp_user::Plugin, Error> {
    let app = sim.open_in(&Process::new(1), Mode::ReadWrite)?;
    let over = kp_user::Plugin::over(std::sync::Arc::new(app), interface, b"hello");
    over.map_err(|error| error.status().unwrap_or(Status::PROTOCOL).into())
}

#[test]
fn every_failure_of_a_plugin_with_interrupts() {
    let calls = failures(
        || Sim::<TestPlugin>::builder().device(Edu::new()),
        |sim| {
            let plugin = connect(sim, messages::INTERFACE)?;
            let (app, client) = (plugin.connection(), messages::Client(&plugin));
            client.keep(&[1; 3000])?;
            app.int_enable(kind::ANY, 1, 1, &[9; 100])?;
            client.raise(1)?;
            app.int_wait(0, ANY_VECTOR, 1)?;
            app.int_disable()?;
            client.factorial(5)?;
            let mut batch = client.batch()?;
            let text = batch.keep(&[2; 6000])?;
            let kept = batch.run().get(text)?;
            assert_eq!(kept, 6000);
            Ok(())
        },
    );
    assert!(calls > 15, "the story makes only {calls} calls that can fail");
}

/// A plugin without hardware.
struct Echo;
struct Said(Mutex<KVec<u8>>);
impl kp_core::Init for Echo {
    type Session = Said;
    type Interrupt = ();
    fn init(_: &mut Passive, _: kp_core::Device) -> kp_core::Result<Self> {
        Ok(Echo)
    }
}
impl Open for Echo {
    fn open(&self, cx: &mut Passive, _: &kp_core::Caller, data: &[u8]) -> kp_core::Result<Said> {
        let mut text = KVec::new();
        text.extend(cx, data)?;
        Ok(Said(Mutex::new(cx, text)?))
    }
}
kp_abi::interface! {
    mod echo, version 1 {
        fn say(text: &[u8]) -> u32 = 1;
        fn hear() -> [u8] = 2;
    }
}
impl echo::Handler<Passive, Said> for Echo {
    fn say(&self, cx: &mut Passive, session: &Said, text: &[u8]) -> kp_core::Result<u32> {
        session.0.with(cx, |said, cx| said.extend(cx, text))?;
        Ok(text.len() as u32)
    }
    fn hear(&self, cx: &mut Passive, session: &Said, out: &mut kp_core::Out<'_, '_, u8>) -> kp_core::Result<()> {
        session.0.with(cx, |said, _| out.extend(said))
    }
}
plugin! { Echo { name: "echo", interface: echo, callbacks: [Open] } }

#[test]
fn every_failure_of_a_plugin_without_hardware() {
    let calls = failures(Sim::<Echo>::builder, |sim| {
        let plugin = connect(sim, echo::INTERFACE)?;
        let client = echo::Client(&plugin);
        client.say(&[b'x'; 1000])?;
        let mut room = [0; 2000];
        assert_eq!(client.hear(&mut room)?.len(), 1005);
        Ok(())
    });
    assert!(calls > 8, "the story makes only {calls} calls that can fail");
}
