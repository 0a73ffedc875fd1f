//! Programs over the bindings, with the plugin behind a socket: what they print is what the apps in Rust print, what they send is what kp-user
//! sends, byte for byte, and their handlers end.
use crate::{bindings, examples, folder::Folder};
use cargo_kp::bindings::Language;
use kp_abi::{Error, Status};
use kp_core::Plugin as Driver;
use kp_sim::{Builder, Live, Sim, socket::Server};
use std::{
    env, fs,
    io::{BufRead, BufReader, Read},
    process::{Command, Output, Stdio},
};

/// A folder with the bindings of the examples, in which programs are built.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.put(&bindings(Language::Cpp, examples()));
    folder
}

/// Builds a program of `tests/bindings` there.
fn build(folder: &Folder, source: &str) {
    build_with(folder, source, "");
}

/// The same, with more flags.
fn build_with(folder: &Folder, source: &str, flags: &str) {
    let text = fs::read_to_string(format!("{}/../tests/bindings/{source}", env!("CARGO_MANIFEST_DIR")));
    folder.write(source, &text.expect("the source is there"));
    let (compiler, standard) = if source.ends_with(".c") { ("gcc", "c99") } else { ("g++", "c++17") };
    let words = format!("-std={standard} -Wall -Wextra -Werror -pedantic -g -pthread {flags} -o app {source}");
    folder.compile(compiler, &words);
}

/// Starts a plugin behind the folder's socket, and records what it is asked.
fn serve<P: Driver>(folder: &Folder, builder: Builder<P>) -> Server<P> {
    let (socket, record) = (folder.path().join("card.sock"), folder.path().join("record"));
    Server::start(builder, &socket, Some(&record)).unwrap_or_else(|error| panic!("the server starts: {error}"))
}

fn echo() -> Builder<echo::Echo> {
    Sim::builder()
}

fn edu() -> Builder<edu::Edu> {
    Sim::builder().device(kp_sim::edu::Edu::new())
}

/// The program that was built, with what there is behind the socket.
fn app(folder: &Folder) -> Command {
    let mut app = Command::new(folder.path().join("app"));
    app.current_dir(folder.path()).env("KP_NODE", "card.sock");
    app
}

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

const ECHO_STORY: &str = "heard      hello, kernel\nlouder     HELLO, KERNEL\nso far     1 text, 13 bytes\n";

fn tell_their_stories(language: &str) {
    let folder = folder();
    build(&folder, &format!("echo.{language}"));
    let server = serve(&folder, echo());
    let told = app(&folder).output().expect("it starts");
    assert_eq!(text(&told), (ECHO_STORY.to_owned(), String::new()));
    assert_eq!(server.end(), Live::default());

    build(&folder, &format!("edu.{language}"));
    let server = serve(&folder, edu());
    let told = app(&folder).output().expect("it starts");
    let story = include_str!("../../../examples/edu/app/tests/story.txt");
    assert_eq!(text(&told), (story.to_owned(), String::new()));
    assert_eq!(server.end(), Live::default());
}

#[test]
fn programs_in_c_tell_the_stories_of_the_apps_in_rust() {
    tell_their_stories("c");
}

#[test]
#[ignore = "needs g++; run by `cargo kp test`"]
fn programs_in_cpp_tell_the_stories_of_the_apps_in_rust() {
    tell_their_stories("cpp");
}

#[test]
#[ignore = "needs g++; run by `cargo kp test`"]
fn a_program_of_several_files_in_cpp_is_told_the_plugins_own_error() {
    let folder = folder();
    let files = ["two.cpp", "two_more.cpp"].map(|source| {
        let text = fs::read_to_string(format!("{}/../tests/bindings/{source}", env!("CARGO_MANIFEST_DIR")));
        folder.write(source, &text.expect("the source is there"));
        source
    });
    // Not optimised, so that the linker chooses one of each function.
    for order in [[files[0], files[1]], [files[1], files[0]]] {
        let words = order.join(" ");
        folder.compile("g++", &format!("-std=c++17 -Wall -Wextra -Werror -pedantic -O0 -pthread -o app {words}"));
        let server = serve(&folder, echo());
        let told = app(&folder).output().expect("it starts");
        assert_eq!(text(&told), ("PluginError 1\n".to_owned(), String::new()), "{words}");
        assert_eq!(server.end(), Live::default());
    }
}

#[test]
fn what_cannot_be_opened_is_a_sentence_that_says_what_to_do() {
    let folder = folder();
    build(&folder, "edu.c");
    let says = |node: Option<&str>, name: &str| {
        let mut app = app(&folder);
        app.arg(name).env_remove("KP_NODE").envs(node.map(|node| ("KP_NODE", node)));
        let output = app.output().expect("it starts");
        assert_eq!(output.status.code(), Some(1));
        text(&output).1
    };
    for (node, name, due) in [
        (
            None,
            "no-such-plugin",
            "/dev/kp/no-such-plugin: no such device node: is the module loaded? `kp load no-such-plugin`, or `insmod kp-no-such-plugin.ko`",
        ),
        (None, "edu.01", "\"edu.01\": not a plugin's name: use one such as `edu`, or `edu.1` for one of its devices"),
        (None, "Edu", "\"Edu\": not a plugin's name: use one such as `edu`, or `edu.1` for one of its devices"),
        (None, "/dev/null", "/dev/null: not a kp device: remove what has taken this name"),
        (
            Some("no.sock"),
            "edu",
            "no.sock: KP_NODE names this socket, and no plugin answers there (No such file or directory): start \
             `cargo kp sim -p edu --listen no.sock`, or unset KP_NODE",
        ),
    ] {
        assert_eq!(says(node, name), format!("edu-c: {due}\n"), "{name}");
    }
    let server = serve(&folder, echo());
    let other = "edu-c: card.sock: InterfaceMismatch: the app knows 6 messages, the driver 5, and they differ: \
                 build both of one interface\n";
    assert_eq!(says(Some("card.sock"), "edu"), other);
    assert_eq!(server.end(), Live::default());
}

/// How many messages are made up.
const MESSAGES: usize = 1000;

/// Set for this program when it is the app.
const CHILD: &str = "KP_BINDINGS_TEST";

/// What a run has sent of messages, and what it has printed of their answers.
fn recorded<P: Driver>(folder: &Folder, builder: Builder<P>, mut app: Command) -> (Vec<String>, Vec<String>) {
    let server = serve(folder, builder);
    let output = app.env("KP_NODE", folder.path().join("card.sock")).output().expect("it starts");
    assert!(output.status.success(), "{}", text(&output).1);
    assert_eq!(server.end(), Live::default());
    let lines = folder.read("record");
    let calls = lines.lines().filter(|line| line.starts_with("{\"request\":\"Call\",")).map(str::to_owned);
    let names = |line: &str| Status::TABLE.iter().any(|row| row.name == line);
    let said = text(&output).0;
    (calls.collect(), said.lines().filter(|line| names(line)).map(str::to_owned).collect())
}

fn send_what_kp_user_sends(source: &str) {
    let folder = folder();
    build(&folder, source);
    let rust = |plugin: &str| {
        let mut app = Command::new(env::current_exe().expect("this program"));
        app.args(["--exact", "over_a_socket::kp_user_sends_them", "--nocapture"]).env(CHILD, plugin);
        app
    };
    let other = |plugin: &str| {
        let mut app = app(&folder);
        app.args([plugin, &MESSAGES.to_string()]);
        app
    };
    let of_echo =
        ["rust", source].map(|who| recorded(&folder, echo(), if who == "rust" { rust("echo") } else { other("echo") }));
    let of_edu =
        ["rust", source].map(|who| recorded(&folder, edu(), if who == "rust" { rust("edu") } else { other("edu") }));
    for (plugin, [(due, answers), (sent, said)]) in [("echo", of_echo), ("edu", of_edu)] {
        assert_eq!((due.len(), answers.len(), sent.len()), (MESSAGES, MESSAGES, MESSAGES), "{plugin}");
        for at in 0..MESSAGES {
            assert_eq!((&sent[at], &said[at]), (&due[at], &answers[at]), "{plugin}, message {at}");
        }
        assert!(answers.iter().any(|answer| answer == "Ok") && answers.iter().any(|answer| answer != "Ok"), "{plugin}");
    }
}

#[test]
fn a_thousand_messages_from_c_are_the_bytes_that_kp_user_sends() {
    send_what_kp_user_sends("random.c");
}

#[test]
#[ignore = "needs g++; run by `cargo kp test`"]
fn a_thousand_messages_from_cpp_are_the_bytes_that_kp_user_sends() {
    send_what_kp_user_sends("random.cpp");
}

/// Nothing, unless this program is the app: then it sends what `random.c` sends.
#[test]
fn kp_user_sends_them() {
    use echo_interface::{Style, Trim};
    let Ok(plugin) = env::var(CHILD) else { return };
    let mut random = crate::random::Random(0x9E37_79B9_7F4A_7C15);
    let mut below = move |limit: u32| {
        // As `below` of random.c: 32 bits of it, and then the rest of the division.
        let wide = random.below(1 << 48);
        (wide as u32) % limit
    };
    let tell = |answer: Result<(), Error>| {
        println!("{}", answer.map_or_else(|error| error.status.to_string(), |()| "Ok".to_owned()));
    };
    let some_text = |below: &mut dyn FnMut(u32) -> u32| {
        let len = if below(50) == 0 { 65_536 } else { below(300) };
        (0..len).map(|_| below(256) as u8).collect::<Vec<u8>>()
    };
    if plugin == "echo" {
        let plugin = kp_user::Plugin::open_interface("echo", echo_interface::echo::INTERFACE, &[]).unwrap();
        let client = echo_interface::echo::Client(&plugin);
        for _ in 0..MESSAGES {
            tell(match below(5) {
                0 => client.say(&some_text(&mut below)).map(drop),
                1 => client.hear(&mut vec![0; below(400) as usize]).map(drop),
                2 => {
                    let style = [Style::Plain, Style::Loud, Style::Backwards][below(3) as usize];
                    let trim = Trim::from_bits_retain(below(4));
                    let text = some_text(&mut below);
                    client.repeat(style, trim, &text, &mut vec![0; below(400) as usize]).map(drop)
                }
                3 => client.said().map(drop),
                _ => client.nap(below(2)),
            });
        }
    } else {
        let plugin = kp_user::Plugin::open_interface("edu", edu_interface::edu::INTERFACE, &[]).unwrap();
        let client = edu_interface::edu::Client(&plugin);
        for _ in 0..MESSAGES {
            tell(match below(5) {
                0 => client.version().map(drop),
                1 => client.identity().map(drop),
                2 => client.invert(below(u32::MAX)).map(drop),
                3 => client.factorial(below(20)).map(drop),
                _ => client.defer_every(below(4)),
            });
        }
    }
}

/// Runs a program that starts and ends handlers so often, and takes the device away when it waits in one.
fn handlers_end(folder: &Folder, mut app: Command, before: &[&str]) {
    let server = serve(folder, edu());
    let mut child =
        app.env("KP_NODE", folder.path().join("card.sock")).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut said = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut lines = Vec::new();
    for line in said.by_ref().lines() {
        lines.push(line.expect("it speaks UTF-8"));
        if lines.last().is_some_and(|line| line == "waiting") {
            break;
        }
    }
    assert_eq!(lines, before);
    server.sim().remove(false);
    let mut rest = String::new();
    said.read_to_string(&mut rest).expect("it speaks UTF-8");
    assert_eq!((child.wait().expect("it was started").code(), rest.as_str()), (Some(0), "DeviceGone\n"));
    assert_eq!(server.end(), Live::default());
}

#[test]
fn a_thousand_handlers_in_c_end_and_so_does_one_whose_device_is_gone() {
    let folder = folder();
    build(&folder, "handlers.c");
    let mut app = app(&folder);
    app.arg("1000");
    handlers_end(&folder, app, &["1000 rounds", "waiting"]);
}

/// What the program in C++ says before it waits.
const IN_CPP: &[&str] = &["1000 rounds", "thrown by the handler", "waiting"];

#[test]
#[ignore = "needs g++; run by `cargo kp test`"]
fn a_thousand_handlers_in_cpp_end_and_so_does_one_whose_device_is_gone() {
    let folder = folder();
    build(&folder, "handlers.cpp");
    let mut app = app(&folder);
    app.arg("1000");
    handlers_end(&folder, app, IN_CPP);
}

#[test]
#[ignore = "needs g++ and its ThreadSanitizer; run by `cargo kp test --long`"]
fn handlers_race_with_nobody() {
    let folder = folder();
    for (source, before) in
        [("handlers.c", &["100 rounds", "waiting"][..]), ("handlers.cpp", &["100 rounds", IN_CPP[1], IN_CPP[2]])]
    {
        build_with(&folder, source, "-fsanitize=thread");
        let mut app = app(&folder);
        app.arg("100");
        handlers_end(&folder, app, before);
    }
}

#[test]
#[ignore = "needs valgrind; run by `cargo kp test --long`"]
fn handlers_leave_nothing_and_touch_nothing_that_is_gone() {
    let folder = folder();
    for (source, before) in
        [("handlers.c", &["100 rounds", "waiting"][..]), ("handlers.cpp", &["100 rounds", IN_CPP[1], IN_CPP[2]])]
    {
        build(&folder, source);
        let mut valgrind = Command::new("valgrind");
        let flags = [
            "--quiet",
            "--leak-check=full",
            "--show-leak-kinds=all",
            "--errors-for-leak-kinds=all",
            "--error-exitcode=9",
        ];
        valgrind.args(flags).arg(folder.path().join("app")).arg("100");
        handlers_end(&folder, valgrind, before);
    }
}
