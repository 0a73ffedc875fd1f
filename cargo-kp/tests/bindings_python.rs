//! Python's bindings: what is made, and what Debian's Python says of it.
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cargo_kp::bindings::Language;
use kp_abi::{Field, Interface, Method, Type};
use kp_tool::schema::Schema;

#[path = "../../kp-tool/tests/schema/random.rs"]
mod random;
#[cfg(target_os = "linux")]
#[path = "bindings/refused.rs"]
mod refused;

/// Where Debian has it. A person's own Python may be a script.
const PYTHON: &str = "/usr/bin/python3";

/// The tests in Python.
const TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/bindings/python");

fn schema(interface: &Interface) -> Schema {
    let mut bytes = vec![0; interface.schema_len()];
    interface.write_schema(&mut bytes);
    Schema::decode(&bytes).expect("a schema")
}

/// A folder for one test, empty.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python").join(test);
    let _ = fs::remove_dir_all(&folder); // of an earlier run
    fs::create_dir_all(&folder).expect("a folder can be made");
    folder
}

/// Writes a package below a folder.
fn write(folder: &Path, schema: &Schema) {
    for file in Language::Python.files(schema).expect("a package") {
        let path = folder.join(file.path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
        fs::write(path, file.text).expect("a file can be written");
    }
}

/// An interface whose names are all taken: by Python, by what a device has, by the package itself, or by each other.
const TAKEN: Interface = {
    const BYTE: Type = Type::Uint(1);
    const WORD: Type = Type::Uint(4);
    const BYTES: Type = Type::Array(&BYTE, 3);
    const U8: Type = Type::Struct {
        name: "U8",
        size: 9,
        fields: &[
            Field { name: "pack", offset: 0, ty: &BYTE },
            Field { name: "bytes", offset: 1, ty: &BYTES },
            Field { name: "int", offset: 4, ty: &WORD },
            Field { name: "bool", offset: 8, ty: &Type::Bool },
        ],
    };
    const KIND: Type = Type::Enum { name: "Kind", size: 1, variants: &[("None", 1), ("name", 1), ("mro", 7)] };
    const OTHER: Type = Type::Flags { name: "Kind", size: 1, bits: &[("TRUE", 1), ("True", 4)] };
    const fn method(id: u32, name: &'static str, args: &'static [Field], reply: &'static Type) -> Method {
        Method { id, name, doc: &[" \"Text\", a \\ and \"\"\""], args, reply, retired: false }
    }
    const TWO: &[Field] = &[
        Field { name: "self", offset: 0, ty: &U8 },
        Field { name: "room", offset: 9, ty: &KIND },
        Field { name: "lambda", offset: 10, ty: &OTHER },
        Field { name: "_reply", offset: 11, ty: &Type::Slice(&WORD) },
    ];
    Interface {
        name: "import",
        version: 1,
        methods: &[
            method(1, "open", TWO, &Type::Slice(&BYTE)),
            method(2, "raise", &[], &U8),
            method(3, "int", &[], &Type::Slice(&Type::Int(2))),
            method(4, "bytes", &[], &BYTES),
            method(5, "_kp_call", &[], &KIND),
            method(6, "__init__", &[], &OTHER),
            method(7, "Open", &[], &Type::Bool),
        ],
    }
};

/// The packages of the examples that the tests in Python use.
fn examples(test: &str) -> PathBuf {
    let folder = folder(test);
    write(&folder, &schema(echo_interface::echo::INTERFACE));
    write(&folder, &schema(edu_interface::edu::INTERFACE));
    folder
}

/// Runs Python in a folder whose packages it finds, and the tests' too; what it prints, if it says that all went well.
fn python(program: &str, folder: &Path, arguments: &[&str]) -> String {
    let path = format!("{}:{TESTS}", folder.display());
    let run = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .envs([("PYTHONPATH", &*path), ("PYTHONDONTWRITEBYTECODE", "1")])
        .env_remove("KP_NODE")
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be started: apt-get install python3: {error}"));
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(run.status.success(), "{arguments:?}: {}\n{}{}", run.status, text(&run.stdout), text(&run.stderr));
    text(&run.stdout)
}

/// `KP_BLESS=1` writes what is made.
#[test]
fn the_module_is_the_one_that_the_repository_shows() {
    let files = Language::Python.files(&schema(echo_interface::echo::INTERFACE)).expect("a package");
    for name in ["__init__.py", "__init__.pyi"] {
        let path = Path::new(TESTS).join("golden/echo").join(name);
        let file = files.iter().find(|file| file.path == format!("echo/{name}")).expect("a file of the package");
        if std::env::var_os("KP_BLESS").is_some() {
            fs::write(&path, &file.text).expect("a file can be written");
        }
        let shown = fs::read_to_string(&path).expect("the repository has it").replace("\r\n", "\n");
        assert_eq!(shown, file.text, "{name}: KP_BLESS=1 cargo test -p cargo-kp --test bindings_python");
    }
}

#[test]
#[ignore = "needs python3; run by `cargo kp test`"]
fn calls_interrupts_threads_and_asyncio_are_as_the_tests_in_python_say() {
    let folder = examples("tests");
    // -X dev: what Python warns of by default, and more; -W error: a warning is an error.
    python(
        PYTHON,
        &folder,
        &["-X", "dev", "-W", "error", "-m", "unittest", "test_calls", "test_interrupts", "test_linux", "test_windows"],
    );
}

/// Word for word: it is made of the same texts.
#[cfg(target_os = "linux")]
/// Types that are called as what the module needs for itself, and plugins as modules of Python's; and what would begin with a digit.
#[test]
#[ignore = "needs python3; run by `cargo kp test`"]
fn a_package_can_be_imported_whatever_its_types_and_its_plugin_are_called() {
    use kp_tool::schema as wire;
    let folder = folder("imported");
    let word = wire::Type::Uint { size: 4 };
    let field = |name: &str, offset, ty: &wire::Type| wire::Field { name: name.to_owned(), offset, ty: ty.clone() };
    let names = [
        "StructType",
        "EnumType",
        "FlagsType",
        "ArrayType",
        "BytesType",
        "Struct",
        "Message",
        "Interface",
        "Optional",
        "Unit",
        "Bool",
    ];
    for (name, package) in [("io", "io_"), ("array", "array_"), ("typing", "typing_"), ("card", "card"), ("_7", "x7")] {
        let types = names.map(|name| wire::Type::Struct {
            name: name.to_owned(),
            size: 8,
            fields: vec![field("a", 0, &word), field("_0", 4, &word)],
        });
        let values =
            vec![wire::Value { name: "_1G".to_owned(), value: 0 }, wire::Value { name: "_10G".to_owned(), value: 1 }];
        let rate = wire::Type::Enum { name: "_Rate".to_owned(), size: 1, values };
        let methods = types.into_iter().chain([rate]).zip(1..).map(|(ty, id)| wire::Method {
            id,
            name: format!("m{id}"),
            doc: None,
            retired: false,
            args: vec![field("_0", 0, &ty)],
            reply: wire::Type::Slice { element: Box::new(ty) },
        });
        write(&folder, &Schema::of(name, 1, methods.collect()).expect("an interface"));
        let program = format!(
            "import {package}\nfrom {package} import KpError, Rate, StructType_\n\
             assert {package}.__file__.startswith({:?}), {package}.__file__\n\
             print(Rate.X10G.value, StructType_(a=1, x0=2).pack().hex())",
            folder.display().to_string()
        );
        assert_eq!(python(PYTHON, &folder, &["-c", &program]), "1 0100000002000000\n", "{name}");
    }
}

#[test]
#[ignore = "needs python3; run by `cargo kp test`"]
fn what_python_says_of_a_node_that_cannot_be_opened_is_what_kp_user_says() {
    let folder = examples("sentences");
    let program = "import sys\nfrom echo._kp import names\ntry:\n    names._refused(OSError(int(sys.argv[3]), '?'), sys.argv[2], sys.argv[1])\n\
                   except OSError as error:\n    print(f'{error.filename}: {error.strerror}')\n";
    for case in refused::refused(&folder) {
        let said = python(PYTHON, &folder, &["-c", program, refused::PLUGIN, &case.node, &case.errno.to_string()]);
        assert_eq!(said.trim_end(), case.due);
    }
}

#[test]
#[ignore = "needs mypy; run by `cargo kp test --long`"]
fn mypy_has_nothing_to_say_of_packages_and_of_apps_that_use_them() {
    let folder = folder("types");
    // Each package in a folder of its own, which is part of its name then.
    for seed in 1..=40 {
        write(&folder.join(format!("i{seed}")), &schema(&random::interface(seed)));
    }
    write(&folder, &schema(echo_interface::echo::INTERFACE));
    write(&folder, &schema(edu_interface::edu::INTERFACE));
    write(&folder, &schema(&TAKEN));
    for app in ["echo_story.py", "edu_story.py", "edu_interrupts.py", "echo_messages.py"] {
        fs::copy(Path::new(TESTS).join(app), folder.join(app)).expect("a file can be copied");
    }
    let all = ["--strict", "--namespace-packages", "--explicit-package-bases", "--no-color-output"];
    let check = |more: &[&str]| {
        let run = Command::new("mypy").args(all).args(more).arg(".").current_dir(&folder).output();
        let run = run.expect("mypy can be started: apt-get install mypy");
        assert!(run.status.success(), "{more:?}: {}", String::from_utf8_lossy(&run.stdout));
    };
    check(&[]);
    check(&["--platform", "win32"]);
    // Without the stubs it reads what runs.
    let below = |folder: &Path| {
        let entries = fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("an entry").path());
        entries.filter(|path| path.is_dir()).collect::<Vec<_>>()
    };
    let first = below(&folder);
    let second = first.iter().flat_map(|folder| below(folder));
    let stubs = first.iter().cloned().chain(second).map(|package| package.join("__init__.pyi"));
    let removed = stubs.filter(|stub| fs::remove_file(stub).is_ok()).count();
    assert_eq!(removed, 43, "of each package one");
    check(&[]);
}

#[test]
#[ignore = "needs python3; run by `cargo kp test`"]
fn random_messages_of_random_interfaces_go_as_the_schema_says() {
    let folder = folder("random");
    for (at, interface) in (1..=200).map(random::interface).chain([TAKEN]).enumerate() {
        let (schema, here) = (schema(&interface), folder.join(format!("{at:03}")));
        write(&here, &schema);
        fs::write(here.join("schema.json"), schema.to_json()).expect("a file can be written");
    }
    let program = format!("{TESTS}/random_interfaces.py");
    let said = python(PYTHON, &folder, &[&program, "."]);
    let (interfaces, calls) = said.trim().split_once(" interfaces, ").expect("two numbers");
    let calls: u32 = calls.trim_end_matches(" calls").parse().expect("a number");
    assert!(interfaces == "201" && calls > 3000, "{said}");
}

/// Apps over the socket of `cargo kp sim`, where there is one.
#[cfg(target_os = "linux")]
mod simulator {
    use super::{PYTHON, TESTS, examples};
    use echo_interface::{Style, Trim, echo};
    use kp_user::Plugin;
    use rustix::process::{Pid, Signal, kill_process};
    use std::{
        env, fs,
        io::{BufRead, BufReader, Read, Write},
        path::{Path, PathBuf},
        process::{Child, ChildStdout, Command, Stdio},
    };
    use tempfile::TempDir;

    /// The socket's name in its folder.
    const SOCKET: &str = "card.sock";

    /// A plugin behind a socket. Ended at the end.
    struct Simulator {
        child: Child,
        said: BufReader<ChildStdout>,
        folder: TempDir,
    }

    impl Simulator {
        fn start(plugin: &str, words: &[&str]) -> Self {
            Self::start_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), plugin, words)
        }

        /// Of a workspace.
        fn start_in(workspace: &Path, plugin: &str, words: &[&str]) -> Self {
            let folder = TempDir::with_prefix("kp-").expect("a folder can be made");
            let socket = folder.path().join(SOCKET);
            let mut tool = Command::new(env!("CARGO_BIN_EXE_cargo-kp"));
            tool.args(["kp", "sim", "-p", plugin, "--listen"]).arg(&socket).args(words).current_dir(workspace);
            let mut child = tool.stdout(Stdio::piped()).spawn().expect("the tool can be started");
            let said = BufReader::new(child.stdout.take().expect("it is piped"));
            let mut simulator = Simulator { child, said, folder };
            let mut line = String::new();
            simulator.said.read_line(&mut line).expect("it speaks UTF-8");
            assert!(line.starts_with(&format!("{plugin} listens: ")), "{line}");
            simulator
        }

        fn socket(&self) -> PathBuf {
            self.folder.path().join(SOCKET)
        }

        fn signal(&self, signal: Signal) {
            kill_process(Pid::from_child(&self.child), signal).expect("it runs");
        }

        /// Ends it. The plugin has to leave nothing.
        fn end(mut self) {
            self.signal(Signal::TERM);
            let mut said = String::new();
            self.said.read_to_string(&mut said).expect("it speaks UTF-8");
            let code = self.child.wait().expect("it was started").code();
            assert!(code == Some(0) && said.contains("live: 0 allocations"), "{code:?}: {said}");
        }

        /// An app in Python.
        fn app(&self, folder: &Path, program: &str) -> Command {
            let mut app = Command::new(PYTHON);
            app.args(["-W", "error"]).arg(Path::new(TESTS).join(program)).current_dir(folder);
            app.env("PYTHONPATH", folder).env("PYTHONDONTWRITEBYTECODE", "1").env("KP_NODE", self.socket());
            app
        }
    }

    impl Drop for Simulator {
        fn drop(&mut self) {
            let _ = self.child.kill(); // it has ended already, if all went well
        }
    }

    /// What a program prints; it has to end well.
    fn output(mut app: Command) -> String {
        let output = app.output().expect("it can be started");
        assert!(output.status.success(), "{app:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    #[test]
    #[ignore = "needs python3; run by `cargo kp test`"]
    fn the_stories_are_those_of_the_apps_in_rust() {
        let folder = examples("stories");
        let echo = Simulator::start("echo", &[]);
        assert_eq!(
            output(echo.app(&folder, "echo_story.py")),
            "heard      hello, kernel\nlouder     HELLO, KERNEL\nso far     1 text, 13 bytes\n"
        );
        echo.end();
        let edu = Simulator::start("edu", &[]);
        let interrupts = "raised 10: 10 received, 2 deferred to the DPC, app woken 2 times, 0 lost";
        assert_eq!(
            output(edu.app(&folder, "edu_story.py")),
            format!(
                "plugin     kp edu 1.00\ndevice     edu 1.0, alive: !0x0f0f0f0f = 0xf0f0f0f0\n\
                 factorial  5! = 120, computed by the device\nfactorial  12! = 479001600, computed by the device\n\
                 INTx       {interrupts}\nMSI        {interrupts}\n"
            )
        );
        // What the page shows.
        let page = include_str!("../../docs/bindings.md");
        let shown = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a program");
        let program = folder.join("shown.py");
        fs::write(&program, shown).expect("a file can be written");
        assert_eq!(output(edu.app(&folder, &program.display().to_string())), "120\n1\n");
        edu.end();
    }

    #[test]
    #[ignore = "needs python3; run by `cargo kp test`"]
    fn a_thousand_handlers_come_and_go_and_a_device_that_is_removed_is_gone_for_each() {
        let folder = examples("interrupts");
        let edu = Simulator::start("edu", &[]);
        let mut app = edu.app(&folder, "edu_interrupts.py");
        let mut app = app.stdout(Stdio::piped()).spawn().expect("it can be started");
        let mut said = BufReader::new(app.stdout.take().expect("it is piped"));
        let mut lines = String::new();
        while !lines.ends_with("remove it\n") {
            assert_ne!(said.read_line(&mut lines).expect("text"), 0, "{lines}");
        }
        edu.signal(Signal::USR1);
        said.read_to_string(&mut lines).expect("text");
        assert!(app.wait().expect("it was started").success(), "{lines}");
        assert_eq!(
            lines,
            "asyncio    3 taken\ndescriptor 1 taken\nthreads    1000 handlers, one after the other\nremove it\n\
             a handler  DeviceGone\na call     DeviceGone\n"
        );
        edu.end();
    }

    /// The apps of a new workspace: in Rust, and in Python.
    #[test]
    #[ignore = "needs python3, and compiles a workspace; run by `cargo kp test --long`"]
    fn the_app_of_a_new_workspace_prints_what_the_one_in_rust_prints() {
        let folder = super::folder("new");
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository");
        fs::copy(repository.join("tests/cards/edu.csv"), folder.join("edu.csv")).expect("a file can be copied");
        let kp = |words: &str| {
            let mut tool = Command::new(env!("CARGO_BIN_EXE_cargo-kp"));
            tool.args(words.split(' ')).current_dir(&folder);
            output(tool)
        };
        let target = env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| repository.join("target").display().to_string());
        // `del` is a word of Python's, and none of Rust's.
        for (name, made_of, runs) in [
            ("card", "--pci 1234:11e8 --registers edu.csv --irq-raise IRQ_RAISE", &[&[][..], &["--raise", "0x5"]][..]),
            ("del", "--software", &[&[]]),
        ] {
            kp(&format!("new {name} {made_of} --apps rust,python --no-git"));
            let workspace = folder.join(name);
            fs::copy(repository.join("Cargo.lock"), workspace.join("Cargo.lock")).expect("a file can be copied");
            let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            cargo.args(["build", "--offline", "--quiet", "-p", &format!("{name}-app")]).current_dir(&workspace);
            // As this repository builds: so its crates are there already.
            cargo.env("CARGO_TARGET_DIR", &target).env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only");
            output(cargo);
            let simulator = Simulator::start_in(&workspace, name, &[]);
            for arguments in runs {
                let mut rust = Command::new(Path::new(&target).join(format!("debug/{name}-app")));
                rust.args(*arguments).env("KP_NODE", simulator.socket());
                let mut python = Command::new(workspace.join("apps/python/main.py"));
                python.args(*arguments).env("KP_NODE", simulator.socket()).env("PYTHONDONTWRITEBYTECODE", "1");
                let due = output(rust);
                assert!(!due.is_empty());
                assert_eq!(output(python), due, "{name} {arguments:?}");
            }
            simulator.end();
            let check = Command::new(env!("CARGO_BIN_EXE_cargo-kp"))
                .args(["bindings", "--lang", "python", "--check"])
                .current_dir(&workspace)
                .output()
                .expect("the tool can be started");
            assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
        }
    }

    /// A message of echo's, with all that it is called with.
    enum Call {
        Say(Vec<u8>),
        Hear(usize),
        Repeat(Style, Trim, Vec<u8>, usize),
        Said,
        Nap(u32),
    }

    /// A thousand of them, made up.
    fn calls() -> Vec<Call> {
        let mut random = super::random::Random(0x5EED);
        let mut text = |limit| (0..random.below(limit)).map(|_| random.below(256) as u8).collect::<Vec<u8>>();
        let texts: Vec<Vec<u8>> = [40, 300, 5000].into_iter().cycle().take(1000).map(&mut text).collect();
        let mut random = super::random::Random(0xCA11);
        let mut call = |text: Vec<u8>| match random.below(5) {
            0 => Call::Say(text),
            1 => Call::Hear(random.below(65537) as usize),
            2 => Call::Said,
            3 => Call::Nap(random.below(2) as u32),
            _ => {
                let style = [Style::Plain, Style::Loud, Style::Backwards][random.below(3) as usize];
                let trim = [Trim::empty(), Trim::START, Trim::END, Trim::all()][random.below(4) as usize];
                let room = text.len() + random.below(9) as usize;
                Call::Repeat(style, trim, text, room)
            }
        };
        texts.into_iter().map(&mut call).collect()
    }

    impl Call {
        /// As `echo_messages.py` reads it.
        fn line(&self) -> String {
            let hex = |text: &[u8]| text.iter().fold("x".to_owned(), |hex, byte| hex + &format!("{byte:02x}"));
            match self {
                Call::Say(text) => format!("say {}", hex(text)),
                Call::Hear(room) => format!("hear {room}"),
                Call::Repeat(style, trim, text, room) => {
                    format!("repeat {} {} {} {room}", *style as u32, trim.bits(), hex(text))
                }
                Call::Said => "said".to_owned(),
                Call::Nap(ms) => format!("nap {ms}"),
            }
        }

        fn send(&self, plugin: &Plugin) {
            let client = echo::Client(plugin);
            // The answer is another test's.
            let _ = match self {
                Call::Say(text) => client.say(text).map(|_| ()),
                Call::Hear(room) => client.hear(&mut vec![0; *room]).map(|_| ()),
                Call::Repeat(style, trim, text, room) => {
                    client.repeat(*style, *trim, text, &mut vec![0; *room]).map(|_| ())
                }
                Call::Said => client.said().map(|_| ()),
                Call::Nap(ms) => client.nap(*ms),
            };
        }
    }

    /// The app in Rust: this test program, started by the test below.
    #[test]
    #[ignore = "started by another test"]
    fn an_app_in_rust() {
        if env::var_os("KP_NODE").is_none() {
            return;
        }
        let plugin = Plugin::open_interface("echo", echo::INTERFACE, &[]).expect("it can be opened");
        calls().iter().for_each(|call| call.send(&plugin));
    }

    #[test]
    #[ignore = "needs python3; run by `cargo kp test`"]
    fn a_thousand_random_messages_have_the_bytes_that_kp_user_sends() {
        let folder = examples("recorded");
        let recorded = |name: &str, run: &dyn Fn(&Simulator)| {
            let record = folder.join(name);
            let echo = Simulator::start("echo", &["--record", &record.display().to_string()]);
            run(&echo);
            echo.end();
            let lines = fs::read_to_string(record).expect("it was recorded");
            lines.lines().filter(|line| line.contains("\"Call\"")).map(str::to_owned).collect::<Vec<_>>()
        };
        let due = recorded("rust", &|echo| {
            let mut app = Command::new(env::current_exe().expect("this program"));
            app.args(["--exact", "--ignored", "simulator::an_app_in_rust"]).env("KP_NODE", echo.socket());
            output(app);
        });
        let sent = recorded("python", &|echo| {
            let mut app = echo.app(&folder, "echo_messages.py");
            let mut app = app.stdin(Stdio::piped()).spawn().expect("it can be started");
            let mut input = app.stdin.take().expect("it is piped");
            calls().iter().for_each(|call| writeln!(input, "{}", call.line()).expect("it reads"));
            drop(input);
            assert!(app.wait().expect("it was started").success());
        });
        assert_eq!(due.len(), 1000);
        let differs = due.iter().zip(&sent).position(|(due, sent)| due != sent);
        assert_eq!((sent.len(), differs), (1000, None), "{:?}", differs.map(|at| [&due[at], &sent[at]]));
    }
}
