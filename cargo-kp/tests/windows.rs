//! What `cargo kp build --target windows` makes: a driver that passes its checks for both processors, signed if asked, with a guard
//! around every access to an app's memory.
//!
//! In need of Debian's compiler, osslsigncode, openssl and LLVM's objdump: `cargo test -p cargo-kp --test windows -- --ignored`.
#![cfg(unix)]
#[path = "windows/reader.rs"]
mod reader;
#[path = "windows/signature.rs"]
mod signature;

use cargo_kp::build::{self, Arch, Signer, pe};
use object::LittleEndian as LE;
use object::read::pe::{ImageNtHeaders, ImageOptionalHeader, PeFile64};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every test builds the same file: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn echo(arch: Arch, signer: &Signer) -> PathBuf {
    build("echo", arch, signer).unwrap()
}

fn build(plugin: &str, arch: Arch, signer: &Signer) -> anyhow::Result<PathBuf> {
    build::driver(&build::select(Some(plugin), &workspace())?, arch, signer, &|_| {})
}

/// What a plugin's driver was linked from.
fn object(plugin: &str, arch: Arch) -> PathBuf {
    linked(plugin, arch).join(format!("deps/kp_{}.o", plugin.replace('-', "_")))
}

/// Where Cargo has linked it.
fn linked(plugin: &str, arch: Arch) -> PathBuf {
    build::built_in(&build::select(Some(plugin), &workspace()).unwrap(), arch).unwrap()
}

/// Runs a tool to its end, and gives what it said.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|_| panic!("there is no {program}"));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{program}: {said}");
    said
}

/// A certificate for this test alone, and its key, in files that begin with `name`.
fn throw_away(name: &str) -> (PathBuf, PathBuf) {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (certificate, key) = (dir.join(format!("{name}-certificate.pem")), dir.join(format!("{name}-key.pem")));
    let names = [certificate.to_str().unwrap(), key.to_str().unwrap()];
    let subject = ["-subj", "/CN=kp test", "-days", "2", "-addext", "extendedKeyUsage=codeSigning"];
    let files = ["-out", names[0], "-keyout", names[1]];
    run("openssl", &[&["req", "-x509", "-newkey", "rsa:2048", "-nodes"][..], &subject, &files].concat());
    (certificate, key)
}

#[test]
#[ignore = "needs Debian's compiler, and a kernel; run by `cargo kp test`"]
fn the_paths_of_what_is_built_come_in_the_order_of_the_targets() {
    let _alone = alone();
    let mut build = Command::new(env!("CARGO_BIN_EXE_cargo-kp"));
    build.args(["kp", "build", "-p", "echo", "--target", "6.12-cloud", "--target", "windows"]);
    let built = build.current_dir(workspace()).output().unwrap();
    let said = String::from_utf8_lossy(&built.stdout);
    let files: Vec<_> = said.lines().filter_map(|line| Path::new(line).file_name()?.to_str()).collect();
    assert_eq!(files, ["kp-echo.ko", "kp-echo.sys"], "{}", String::from_utf8_lossy(&built.stderr));
}

#[test]
#[ignore = "needs Debian's compiler, osslsigncode and openssl; run by `cargo kp test`"]
fn a_driver_is_signed_with_the_certificate_given_and_any_change_shows() {
    let _alone = alone();
    let (certificate, key) = throw_away("signer");
    let authority = certificate.to_str().unwrap().to_owned();
    let signer = Signer { certificate: Some(certificate), key: Some(key), password: None };
    let driver = echo(Arch::X64, &signer);
    let bytes = std::fs::read(&driver).unwrap();
    assert_eq!(pe::driver(&bytes, Arch::X64), Ok(()));
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("signed.sys");
    let verify = |bytes: &[u8]| {
        std::fs::write(&copy, bytes).unwrap();
        let mut command = Command::new("osslsigncode");
        command.args(["verify", "-CAfile", &authority, "-in"]).arg(&copy);
        command.output().unwrap().status.success()
    };
    assert!(verify(&bytes));
    // In the header, in the first section, and in the last one.
    let end = bytes.len() - 0x2000;
    for at in [0x88, 0x500, end] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(!verify(&changed), "changed at {at:#x}, and it still counts as signed");
    }
    let unsigned = std::fs::read(echo(Arch::X64, &Signer::default())).unwrap();
    assert!(!verify(&unsigned), "an unsigned driver counts as signed");
}

#[test]
#[ignore = "needs Debian's compiler and osslsigncode; run by `cargo kp test`"]
fn what_cannot_be_signed_is_refused_in_one_line_that_says_what_to_do() {
    let _alone = alone();
    let (certificate, key) = throw_away("signer");
    echo(Arch::X64, &Signer::default()); // what is built already needs no other tool
    let kp = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cargo-kp"));
        command.current_dir(workspace()).args(["kp", "build", "-p", "echo"]).args(arguments);
        command
    };
    let refused = |mut command: Command| {
        let output = command.output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned()
    };
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let windows = ["--target", "windows", "--certificate", certificate];
    assert_eq!(refused(kp(&windows)), "error: a certificate signs nothing without its private key: give it with --key");
    let wrong = refused(kp(&[&windows[..], &["--key", certificate]].concat()));
    assert!(wrong.starts_with(&format!("error: osslsigncode doesn't sign with {certificate}: ")), "{wrong}");
    assert!(wrong.ends_with("; check certificate, key and password"), "{wrong}");
    assert_eq!(
        refused(kp(&["--kernel", "6.1-cloud", "--certificate", certificate])),
        "error: --certificate signs drivers for Windows: add --target windows"
    );

    // A search path with nothing but Rust in it.
    let rust = Path::new(env!("CARGO_TARGET_TMPDIR")).join("only-rust");
    let _ = std::fs::remove_dir_all(&rust);
    std::fs::create_dir_all(&rust).unwrap();
    for name in ["rustc", "cargo"] {
        let found = run("which", &[name]);
        std::os::unix::fs::symlink(found.trim(), rust.join(name)).unwrap();
    }
    let mut without = kp(&[&windows[..], &["--key", key]].concat());
    without.env("PATH", &rust);
    assert_eq!(refused(without), "error: cannot sign: there is no osslsigncode here; apt-get install osslsigncode");
}

#[test]
#[ignore = "needs Debian's compiler; run by `cargo kp test`"]
fn a_driver_that_is_linked_again_is_the_same_byte_for_byte_and_its_symbols_stay_its_own() {
    let _alone = alone();
    let driver = echo(Arch::X64, &Signer::default());
    let first = std::fs::read(&driver).unwrap();
    let linked = linked("echo", Arch::X64);
    let program = linked.join("kp-echo.exe");
    let before = std::fs::read(&program).unwrap();
    // Cargo makes what is gone.
    for gone in [&program, &linked.join("deps/kp_echo.exe")] {
        std::fs::remove_file(gone).unwrap();
    }
    let second = std::fs::read(echo(Arch::X64, &Signer::default())).unwrap();
    assert!(first == second, "two builds differ");
    assert!(before != std::fs::read(&program).unwrap(), "the linker makes the same by itself: nothing was tested");
    let identity = pdb_info(&second);
    let symbols = std::fs::read(driver.with_file_name("kp_echo.pdb")).unwrap();
    assert!(symbols.windows(identity.len()).any(|bytes| bytes == identity), "the symbols are another driver's");
}

/// The identity of a driver's symbols.
fn pdb_info(driver: &[u8]) -> &[u8] {
    let at = driver.windows(4).position(|bytes| bytes == b"RSDS").unwrap();
    &driver[at + 4..at + 20]
}

#[test]
#[ignore = "needs Debian's compiler; run by `cargo kp test`"]
fn a_driver_says_of_itself_what_its_inf_and_its_package_say() {
    use pelite::pe64::{Pe, PeFile};
    let _alone = alone();
    for arch in Arch::ALL {
        let driver = build("edu", arch, &Signer::default()).unwrap();
        let inf = std::fs::read_to_string(driver.with_extension("inf")).unwrap();
        let of_inf = |start: &str| {
            let found = inf.lines().find_map(|line| line.strip_prefix(start));
            found.unwrap_or_else(|| panic!("no {start}in {inf}")).trim_matches('"').to_owned()
        };
        let (_, version) =
            of_inf("DriverVer = ").split_once(',').map(|(day, version)| (day.to_owned(), version.to_owned())).unwrap();

        let bytes = std::fs::read(&driver).unwrap();
        let file = PeFile::from_bytes(&bytes).unwrap();
        let resource = file.resources().unwrap().version_info().unwrap();
        let fixed = resource.fixed().expect("the numbers");
        for there in [fixed.dwFileVersion, fixed.dwProductVersion] {
            assert_eq!(
                [there.Major, there.Minor, there.Patch, there.Build].map(|part| part.to_string()).join("."),
                version
            );
        }
        // VS_FFI_SIGNATURE, version 1.0; no flags; for Windows NT: a driver, of the system's kind; no date.
        assert_eq!((fixed.dwSignature, fixed.dwStrucVersion), (0xFEEF_04BD, 0x1_0000));
        let kind = [fixed.dwFileFlagsMask, fixed.dwFileFlags, fixed.dwFileOS, fixed.dwFileType, fixed.dwFileSubtype];
        assert_eq!((kind, fixed.dwFileDateMS, fixed.dwFileDateLS), ([0x3F, 0, 0x4_0004, 3, 7], 0, 0));

        let [language] = resource.translation() else { panic!("{:?}", resource.translation()) };
        assert_eq!((language.lang_id, language.charset_id), (0x0409, 1200));
        let mut texts = Vec::new();
        resource.strings(*language, |key, text| texts.push((key.to_owned(), text.to_owned())));
        let expected = [
            ("CompanyName", of_inf("Provider = \"")),
            ("FileDescription", of_inf("Description = \"")),
            ("FileVersion", version.clone()),
            ("InternalName", "kp-edu".to_owned()),
            ("OriginalFilename", "kp-edu.sys".to_owned()),
            ("ProductName", "kp-edu".to_owned()),
            ("ProductVersion", version),
        ];
        assert_eq!(texts, expected.map(|(key, text)| (key.to_owned(), text)));
        assert_eq!(resource.value(*language, "FileDescription").as_deref(), Some("The edu plugin."));
    }
}

/// One `__try` of a driver: where its function is, and the scope that its handler watches. Addresses are relative to the image.
struct Guarded {
    function: std::ops::Range<u32>,
    scope: std::ops::Range<u32>,
    /// 1: whatever it is, execution goes on at `target`.
    filter: u32,
    target: u32,
}

/// Reads the exception directory: each function with a handler, and the table of scopes behind it.
fn guarded(bytes: &[u8], arch: Arch) -> Vec<Guarded> {
    let file = PeFile64::parse(bytes).unwrap();
    let sections = file.section_table();
    let word = |rva: u32| {
        let data = sections.pe_data_at(bytes, rva).unwrap();
        u32::from_le_bytes(data[..4].try_into().unwrap())
    };
    let directory = file.data_directory(object::pe::IMAGE_DIRECTORY_ENTRY_EXCEPTION).unwrap();
    let (start, len) = (directory.virtual_address.get(LE), directory.size.get(LE));
    let entry = if arch == Arch::X64 { 12 } else { 8 };
    let mut found = Vec::new();
    for at in (start..start + len).step_by(entry) {
        // "x64 exception handling", UNWIND_INFO; "ARM64 exception handling", .xdata records.
        let (function, after) = if arch == Arch::X64 {
            let info = word(at + 8);
            let (flags, codes) = (word(info) >> 3 & 0x1F, word(info) >> 16 & 0xFF);
            ((word(at)..word(at + 4)), (flags & 1 != 0).then_some(info + 4 + 2 * codes.next_multiple_of(2)))
        } else {
            let info = word(at + 4);
            if info & 3 != 0 {
                continue; // packed into the entry, without a handler
            }
            let header = word(info);
            let (epilogues, codes) = (header >> 22 & 0x1F, header >> 27);
            assert!(epilogues != 0 || codes != 0, "no handler of ours needs the long form");
            let scopes = if header >> 21 & 1 != 0 { 0 } else { epilogues };
            let function = word(at)..word(at) + 4 * (header & 0x3_FFFF);
            (function, (header >> 20 & 1 != 0).then_some(info + 4 + 4 * (scopes + codes)))
        };
        let Some(handler) = after else { continue };
        assert_eq!(word(handler + 4), 1, "one scope in each");
        let [begin, end, filter, target] = [8, 12, 16, 20].map(|offset| word(handler + offset));
        found.push(Guarded { function, scope: begin..end, filter, target });
    }
    found
}

/// The instructions at these addresses, without address and bytes.
fn disassemble(driver: &Path, range: &std::ops::Range<u32>) -> Vec<String> {
    let bytes = std::fs::read(driver).unwrap();
    let base = PeFile64::parse(bytes.as_slice()).unwrap().nt_headers().optional_header().image_base();
    let address = |rva: u32| format!("{:#x}", base + u64::from(rva));
    let limits =
        [format!("--start-address={}", address(range.start)), format!("--stop-address={}", address(range.end))];
    let plain = ["-d", "--no-show-raw-insn", "--no-leading-addr", "--x86-asm-syntax=intel"];
    let limits = limits.each_ref().map(String::as_str);
    let text = run("llvm-objdump", &[&plain[..], &limits, &[driver.to_str().unwrap()]].concat());
    let code = text.lines().filter(|line| line.starts_with(['\t', ' ']));
    let plain = code.map(|line| line.split('<').next().unwrap_or(line));
    plain.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
#[ignore = "needs Debian's compiler and LLVM's objdump; run by `cargo kp test --long`"]
fn the_guarded_copy_and_call_of_both_processors_catch_what_they_do_and_return() {
    let _alone = alone();
    let x64: (&[&str], &[&str]) = (
        &["mov rdi, rcx", "mov rsi, rdx", "mov rcx, r8", "rep movsb byte ptr es:[rdi], byte ptr [rsi]", "nop"],
        &["mov rax, rcx", "mov rcx, rdx", "mov rdx, r8", "mov r8, r9", "call rax", "nop"],
    );
    let arm: (&[&str], &[&str]) = (
        &[
            "cmp x2, #16",
            "b.lo",
            "ldp x3, x4, [x1], #16",
            "stp x3, x4, [x0], #16",
            "sub x2, x2, #16",
            "cmp x2, #16",
            "b.hs",
            "cbz x2,",
            "ldrb w3, [x1], #1",
            "strb w3, [x0], #1",
            "subs x2, x2, #1",
            "b.ne",
            "nop",
        ],
        &["mov x9, x0", "mov x0, x1", "mov x1, x2", "mov x2, x3", "blr x9", "nop"],
    );
    for (arch, wanted, epilogue) in
        [(Arch::X64, x64, ["ret", "ret"]), (Arch::Arm64, arm, ["ldp x29, x30, [sp], #16", "ret"])]
    {
        let driver = echo(arch, &Signer::default());
        let bytes = std::fs::read(&driver).unwrap();
        assert_eq!(pe::driver(&bytes, arch), Ok(()));
        let guarded = guarded(&bytes, arch);
        let found: Vec<Vec<String>> = guarded.iter().map(|guarded| disassemble(&driver, &guarded.scope)).collect();
        for wanted in [wanted.0, wanted.1] {
            let is_it = |code: &&Vec<String>| {
                code.len() == wanted.len() && code.iter().zip(wanted).all(|(there, wanted)| there.starts_with(wanted))
            };
            assert!(found.iter().any(|code| is_it(&code)), "{arch:?}: no {wanted:?} in {found:#?}");
        }
        assert_eq!(guarded.len(), 2, "{arch:?}: a handler that this test doesn't know");
        for guarded in guarded {
            assert_eq!(guarded.filter, 1, "every exception is caught");
            assert!(guarded.function.contains(&guarded.scope.start) && guarded.function.contains(&guarded.scope.end));
            assert!(guarded.function.contains(&guarded.target) && !guarded.scope.contains(&guarded.target));
            let after = disassemble(&driver, &(guarded.scope.end..guarded.function.end));
            assert!(epilogue.iter().all(|wanted| after.iter().any(|there| there == wanted)), "{arch:?}: {after:?}");
        }
    }
}

#[test]
#[ignore = "needs Debian's compiler; run by `cargo kp test`"]
fn a_driver_whose_handlers_can_panic_or_free_is_refused_and_edus_are_among_those_looked_at() {
    let _alone = alone();
    for (plugin, path) in [
        ("panics-at-irql", "isr::<panics_at_irql::Panics> can reach __imp_KeBugCheckEx: "),
        ("frees-at-irql", "isr::<frees_at_irql::Frees> can reach __imp_ExFreePoolWithTag: "),
    ] {
        let refusal = build(plugin, Arch::X64, &Signer::default()).unwrap_err().to_string();
        assert!(refusal.starts_with(&format!("kp_core::host::isr::{path}")), "{refusal}");
        assert!(refusal.ends_with("; take the call off this path"), "{refusal}");
    }
    for arch in Arch::ALL {
        build("edu", arch, &Signer::default()).unwrap();
        let handlers = pe::paths::handlers(&[std::fs::read(object("edu", arch)).unwrap()], true).unwrap();
        for wanted in [
            "kp_core::host::isr::isr::<edu::Edu>",
            "kp_core::host::isr::dpc::<edu::Edu>",
            "kp_windows::io::wait::step_all::<edu::Edu>",
            "kp_windows::io::wait::on_timer::<edu::Edu>",
            "kp_windows::io::wait::on_cancel::<edu::Edu>",
        ] {
            assert!(handlers.iter().any(|name| name == wanted), "{arch:?}: {wanted} isn't among {handlers:?}");
        }
    }
}

#[test]
#[ignore = "needs Debian's compiler; run by `cargo kp test --long`"]
fn a_plugin_with_two_pages_on_its_stack_builds_for_both_processors_and_brings_what_touches_them() {
    let _alone = alone();
    for arch in Arch::ALL {
        let driver = build("deep-stack", arch, &Signer::default()).unwrap();
        let imported = std::fs::read(&driver).unwrap().windows(9).any(|bytes| bytes == b"__chkstk\0");
        assert!(!imported, "{arch:?}: it asks the kernel for it");
        let large = pe::frames::large(&std::fs::read(object("deep-stack", arch)).unwrap()).unwrap();
        let [(function, size)] = large.as_slice() else { panic!("{arch:?}: {large:?}") };
        assert_eq!(function, "deep_stack::fill");
        assert!((8192..9000).contains(size), "{arch:?}: {size}");
    }
}
