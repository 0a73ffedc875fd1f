//! The part on echo: opening, calls good and bad, two clients, unload while open.
use crate::{
    transcript::{Transcript, answer, outcome, text},
    world::{Subject, World},
};
use echo_interface::{Style, Trim, echo};
use kp_abi::{Transport, limits};
use kp_user::Plugin;

/// Runs it.
pub fn run(world: &mut dyn World, t: &mut Transcript) {
    t.part("calls");
    world.load(Subject::Echo);
    let first = world.connect(Subject::Echo);
    good_calls(&first, t);
    bad_calls(&first, t);
    let second = world.connect(Subject::Echo);
    two_clients(&first, &second, t);
    no_interrupt(&first, t);
    unload(world, first, second, t);
}

fn good_calls(plugin: &Plugin, t: &mut Transcript) {
    let client = echo::Client(plugin);
    t.step("hear before anything was said", text(client.hear(&mut [0; 16])), "Ok \"\"");
    t.step("say hello", answer(client.say(b"hello")), "Ok 5");
    t.step("hear", text(client.hear(&mut [0; 16])), "Ok \"hello\"");
    t.step("say nothing", answer(client.say(b"")), "Ok 0");
    t.step("hear", text(client.hear(&mut [0; 16])), "Ok \"\"");
    let loud = client.repeat(Style::Loud, Trim::empty(), b" kp ", &mut [0; 8]).map(<[u8]>::to_vec);
    t.step("repeat loud", text(loud.as_deref().map_err(|e| *e)), "Ok \" KP \"");
    let trimmed = client.repeat(Style::Backwards, Trim::all(), b" kp ", &mut [0; 8]).map(<[u8]>::to_vec);
    t.step("repeat backwards, trimmed", text(trimmed.as_deref().map_err(|e| *e)), "Ok \"pk\"");

    let long: Vec<u8> = (0..limits::MAX_DATA).map(|i| (i % 251) as u8).collect();
    t.step("say as much as fits", answer(client.say(&long)), "Ok 65536");
    let mut room = vec![0; limits::MAX_DATA];
    let heard = client.hear(&mut room).map(|heard| heard == &long[..]);
    t.step("hear all of it", answer(heard), "Ok true");
    let said = client.said().map(|said| format!("{} texts, {} bytes", said.texts, said.bytes));
    t.step("said so far", answer(said), "Ok 3 texts, 65541 bytes");
    t.step("nap", outcome(&client.nap(1)), "Ok");
}

fn bad_calls(plugin: &Plugin, t: &mut Transcript) {
    let client = echo::Client(plugin);
    t.step("hear with no room for it", outcome(&client.hear(&mut [0; 16]).map(|_| ())), "OutputLength (65536)");
    t.step("say more than fits", outcome(&client.say(&vec![0; limits::MAX_DATA + 1])), "PayloadTooLarge");
    t.step("nap for too long", outcome(&client.nap(3_600_000)), "PluginError (1)");
    let mut raw = |what: &str, id: u32, args: &[u8], data: &[u8], room: usize, want: &str| {
        let result = plugin.connection().call(id, 0, args, data, &mut vec![0; room]);
        t.step(what, outcome(&result), want);
    };
    raw("message 0", 0, &[], &[], 0, "UnknownMessage");
    raw("message 6", 6, &[], &[], 0, "UnknownMessage");
    raw("say with arguments it has not", 1, &[1], b"x", 4, "InputLength");
    raw("say without room for the answer", 1, &[], b"x", 3, "OutputLength (4)");
    raw("nap with 3 bytes", 5, &[1, 0, 0], &[], 0, "InputLength");
    raw("nap with 5 bytes", 5, &[1, 0, 0, 0, 0], &[], 0, "InputLength");
    raw("repeat in no style there is", 3, &[9, 0, 0, 0, 0, 0, 0, 0], b"x", 8, "BadValue");
    raw("repeat with a trim that there is not", 3, &[0, 0, 0, 0, 4, 0, 0, 0], b"x", 8, "BadValue");
    raw("arguments above the limit", 1, &[0; 257], &[], 8, "PayloadTooLarge");
    let said = client.said().map(|said| format!("{} texts, {} bytes", said.texts, said.bytes));
    t.step("said so far: nothing changed", answer(said), "Ok 3 texts, 65541 bytes");
    t.step("is message 5 known", plugin.knows(5), "true");
    t.step("is message 6 known", plugin.knows(6), "false");
}

fn two_clients(first: &Plugin, second: &Plugin, t: &mut Transcript) {
    let (first, second) = (echo::Client(first), echo::Client(second));
    t.step("second client hears", text(second.hear(&mut [0; 16])), "Ok \"\"");
    t.step("second client says two", answer(second.say(b"two")), "Ok 3");
    t.step("first client says one", answer(first.say(b"one")), "Ok 3");
    t.step("second client hears", text(second.hear(&mut [0; 16])), "Ok \"two\"");
    t.step("first client hears", text(first.hear(&mut [0; 16])), "Ok \"one\"");
}

fn no_interrupt(plugin: &Plugin, t: &mut Transcript) {
    let connection = plugin.connection();
    t.step("enable an interrupt it has not", outcome(&connection.int_enable(7, 1, 1, &[])), "NoInterrupt");
    t.step("wait for it", outcome(&connection.int_wait(0, u32::MAX, 1)), "NotEnabled");
    let counters = connection.int_count(u32::MAX).map(|(generation, counters)| {
        format!("generation {generation}, received {}, notified {}", counters.received, counters.notified)
    });
    t.step("count it", answer(counters), "Ok generation 0, received 0, notified 0");
}

fn unload(world: &mut dyn World, first: Plugin, second: Plugin, t: &mut Transcript) {
    t.step("unload while open: module", world.unload(Subject::Echo), "stays");
    t.step("close the first client", outcome(&first.connection().close()), "Ok");
    t.step("close it again", outcome(&first.connection().close()), "Closed");
    t.step("say on it", outcome(&echo::Client(&first).say(b"x")), "Closed");
    t.step("the second client hears", text(echo::Client(&second).hear(&mut [0; 16])), "Ok \"two\"");
    drop(first);
    drop(second);
    t.step("unload after the last close: module", world.unload(Subject::Echo), "gone");
}
