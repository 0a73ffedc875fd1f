//! Modules are built on machines, for kernels and in folders other than those at hand here.
//!
//! In need of a kernel's headers and its compiler: `cargo test -p cargo-kp --test modules -- --ignored`.
#![cfg(unix)]
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use cargo_kp::build::{self, Info, Object, Plugin};
use cargo_kp::kernels::{self, Kernel};

/// A module's C half. What it defines shows for which kernel it was compiled.
const SOURCE: &str = r"
#include <linux/module.h>
MODULE_LICENSE(KP_LICENSE);
MODULE_DESCRIPTION(KP_DESCRIPTION);
#ifdef CONFIG_KP_TRIAL
int kp_trial;
#endif
";

/// The kernel that is built for.
fn kernel() -> Kernel {
    kernels::get("6.12-cloud", false).unwrap()
}

/// A new, empty folder for a test.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("modules").join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A plugin that is built into this folder: echo's package, with halves that compile fast.
fn small(output: &Path) -> (Plugin, Object) {
    let mut plugin = build::select(Some("echo"), Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    plugin.output = output.to_owned();
    let kbuild = output.join("kbuild");
    fs::create_dir_all(&kbuild).unwrap();
    let ports = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kp-linux/kbuild/Kbuild");
    fs::copy(ports, kbuild.join("Kbuild")).unwrap();
    fs::write(kbuild.join("kp.c"), format!("#include \"kp_plugin.h\"{SOURCE}")).unwrap();
    fs::write(kbuild.join("kp_calls.h"), "").unwrap();
    let path = output.join("rust.o");
    fs::write(output.join("rust.c"), "int kp_rs_nothing;\n").unwrap();
    let cc = Command::new("gcc").args(["-c", "-fno-pic", "rust.c"]).current_dir(output).status().unwrap();
    assert!(cc.success());
    let info = Info { name: "echo".into(), devices: Vec::new(), max_vectors: 0 };
    (plugin, Object { path, info, license: "GPL", calls: Vec::new(), kbuild })
}

/// A copy of a kernel's headers that can be changed.
fn copied(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-aL").args([from, to]).status().unwrap();
    assert!(copied.success());
}

/// Changes a file, and keeps its date.
fn edit(file: &Path, change: impl Fn(&str) -> String) {
    let date = fs::metadata(file).unwrap().modified().unwrap();
    fs::write(file, change(&fs::read_to_string(file).unwrap())).unwrap();
    fs::File::options().append(true).open(file).unwrap().set_modified(date).unwrap();
}

/// A text without the lines that have this in it.
fn without(text: &str, part: &str) -> String {
    text.lines().filter(|line| !line.contains(part)).map(|line| format!("{line}\n")).collect()
}

/// Whether a module was compiled for a kernel that has what [`configure`] adds.
fn is_configured(module: &Path) -> bool {
    let module = fs::read(module).unwrap();
    module.windows(8).any(|name| name == b"kp_trial")
}

/// Gives headers an option more, and leaves the dates as they are.
fn configure(headers: &Path) {
    edit(&headers.join("include/generated/autoconf.h"), |text| format!("{text}#define CONFIG_KP_TRIAL 1\n"));
}

#[test]
#[ignore = "compiles for a kernel"]
fn two_kernels_of_one_release_have_two_modules_and_each_is_compiled_for_its_own() {
    let dir = folder("two");
    let (plugin, object) = small(&dir);
    let [a, b] = ["a", "b"].map(|name| Kernel { headers: dir.join(name), ..kernel() });
    copied(&kernel().headers, &a.headers);
    copied(&kernel().headers, &b.headers);
    configure(&b.headers);
    let of_a = build::module(&plugin, &object, &a).unwrap();
    let of_b = build::module(&plugin, &object, &b).unwrap();
    assert_ne!(of_a, of_b);
    assert!(!is_configured(&of_a) && is_configured(&of_b));
    configure(&a.headers);
    let again = build::module(&plugin, &object, &a).unwrap();
    assert_eq!(again, of_a);
    assert!(is_configured(&of_a), "it is the module of the headers as they were");
}

#[test]
#[ignore = "compiles for a kernel"]
fn a_module_is_built_in_a_folder_that_make_cannot_take() {
    for name in ["my card (2)", "50%: #1 $x 'ü' \"q\""] {
        let dir = folder(name);
        let (plugin, object) = small(&dir);
        let module = build::module(&plugin, &object, &kernel()).unwrap();
        assert_eq!(module, dir.join("echo").join(kernel().release).join("kp-echo.ko"));
        assert!(module.exists());
        fs::write(object.kbuild.join("kp.c"), "int broken = ;\n").unwrap();
        let why = format!("{:#}", build::module(&plugin, &object, &kernel()).expect_err("it does not compile"));
        let place = module.with_file_name("kp.c:1:14: error:").display().to_string();
        assert!(why.contains(&place), "the author's own file is not named: {why}");
    }
}

#[test]
#[ignore = "compiles for a kernel"]
fn the_module_of_before_stays_until_there_is_another() {
    let dir = folder("earlier");
    let (plugin, object) = small(&dir);
    let module = build::module(&plugin, &object, &kernel()).unwrap();
    let before = fs::read(&module).unwrap();
    let source = object.kbuild.join("kp.c");
    let text = fs::read_to_string(&source).unwrap();
    for broken in [
        "int broken = ;",
        "static int unused;",
        "void kp_nowhere(void);\nint kp_calls_it(void);\nint kp_calls_it(void) { kp_nowhere(); return 0; }",
    ] {
        fs::write(&source, format!("{text}{broken}\n")).unwrap();
        build::module(&plugin, &object, &kernel()).expect_err(broken);
        assert!(fs::read(&module).unwrap() == before, "{broken}");
    }
    fs::write(&source, format!("{text}int kp_trial;\n")).unwrap();
    build::module(&plugin, &object, &kernel()).unwrap();
    assert!(is_configured(&module), "it is the one of before still");
}

#[test]
#[ignore = "compiles for a kernel"]
fn a_clock_that_is_behind_fails_no_build() {
    let dir = folder("clock");
    let (plugin, object) = small(&dir);
    let module = build::module(&plugin, &object, &kernel()).unwrap();
    let source = fs::File::options().append(true).open(module.with_file_name("kp.c")).unwrap();
    source.set_modified(SystemTime::now() + Duration::from_secs(7200)).unwrap();
    build::module(&plugin, &object, &kernel()).unwrap();
}

#[test]
#[ignore = "compiles for a kernel"]
fn a_module_is_compiled_by_its_kernels_own_compiler_whatever_gcc_and_the_environment_are() {
    let dir = folder("compiler");
    let headers = dir.join("headers");
    copied(&kernel().headers, &headers);
    edit(&headers.join(".kernelvariables"), |text| without(text, "CC = "));
    // An older gcc, which does not know all that this kernel's build asks of it.
    let programs = dir.join("programs");
    fs::create_dir_all(&programs).unwrap();
    for name in ["gcc", "x86_64-linux-gnu-gcc"] {
        let script =
            "#!/bin/sh\ntest \"$1\" = -dumpversion && echo 11 && exit\necho 'unrecognized option' >&2\nexit 1\n";
        fs::write(programs.join(name), script).unwrap();
        fs::set_permissions(programs.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let build = |more: &[&str]| {
        let mut tool = Command::new(env!("CARGO_BIN_EXE_cargo-kp"));
        tool.args(["kp", "build", "-p", "echo", "--target"]).arg(&headers).args(more);
        // What the author has set for other builds has no say in this one.
        for flags in ["KCPPFLAGS", "KAFLAGS", "CFLAGS_MODULE", "LDFLAGS_MODULE"] {
            tool.env(flags, "--no-such-option");
        }
        let output = tool.env("PATH", &path).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (built, said) = build(&[]);
    assert!(built && !said.contains("stands in"), "{said}");
    // What is named by hand is used, and here it is one that cannot.
    let (built, said) = build(&["--cc", "gcc"]);
    assert!(!built && said.contains("unrecognized option"), "{said}");
}

#[test]
#[ignore = "compiles for a kernel"]
fn a_build_that_is_refused_leaves_the_module_and_the_driver_of_an_earlier_one_and_says_so() {
    let output = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/kp/panics-at-irql");
    let earlier = [
        output.join(kernel().release).join("kp-panics-at-irql.ko"),
        output.join("windows-x86_64/kp-panics-at-irql.sys"),
    ];
    for file in &earlier {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "of an earlier build").unwrap();
    }
    let mut build = Command::new(env!("CARGO_BIN_EXE_cargo-kp"));
    let arguments = ["kp", "build", "-p", "panics-at-irql", "--target", "6.12-cloud", "--target", "windows"];
    let said = build.args(arguments).current_dir(output.join("../../..")).output().unwrap();
    assert!(!said.status.success() && said.stdout.is_empty(), "its handler can panic");
    assert!(String::from_utf8_lossy(&said.stderr).contains("kp-panics-at-irql.ko is of an earlier build"), "{said:?}");
    assert_eq!(earlier.map(|file| fs::read_to_string(file).unwrap()), ["of an earlier build"; 2]);
}
