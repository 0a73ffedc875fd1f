//! Python's bindings: what is made, and what Debian's Python says of it.
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cargo_kp::bindings::Language;
use kp_abi::Interface;
use kp_tool::schema::Schema;

#[path = "../../kp-tool/tests/schema/random.rs"]
mod random;

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
    python(PYTHON, &folder, &["-X", "dev", "-W", "error", "-m", "unittest", "test_calls", "test_interrupts"]);
}

#[test]
#[ignore = "needs python3; run by `cargo kp test`"]
fn random_messages_of_random_interfaces_go_as_the_schema_says() {
    let folder = folder("random");
    for seed in 1..=200 {
        let (schema, here) = (schema(&random::interface(seed)), folder.join(format!("{seed:03}")));
        write(&here, &schema);
        fs::write(here.join("schema.json"), schema.to_json()).expect("a file can be written");
    }
    let program = format!("{TESTS}/random_interfaces.py");
    let said = python(PYTHON, &folder, &[&program, "."]);
    let (interfaces, calls) = said.trim().split_once(" interfaces, ").expect("two numbers");
    let calls: u32 = calls.trim_end_matches(" calls").parse().expect("a number");
    assert!(interfaces == "200" && calls > 3000, "{said}");
}
