//! Each check of an object refuses one that was made to break it, and lets a good one pass.
//!
//! The objects are compiled here from a few lines, so the tests need `cc` for x86-64.
#![cfg(unix)]
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use cargo_kp::build::check::{self, Exports, Refusal};
use cargo_kp::build::make_direct;

/// A source that passes every check. The handlers count, and call only what the port's C glue has.
const GOOD: &str = r"
    extern void kp_c_wake(void);
    extern void kp_c_panic(void);
    static unsigned count;
    __attribute__((noinline)) static unsigned next(void) { return ++count; }
    unsigned kp_rs_isr(void) { return next(); }
    void kp_rs_dpc(void) { kp_c_wake(); }
    unsigned kp_rs_call(unsigned at) { if (at > 3) kp_c_panic(); return count; }
";

/// Compiles C as the kernel's code is: no vector registers, direct references, each function in its own section.
fn compile(name: &str, source: &str, flags: &[&str]) -> Vec<u8> {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (input, output) = (dir.join(format!("{name}.c")), dir.join(format!("{name}.o")));
    fs::write(&input, source).expect("the test folder is writable");
    let mut cc = Command::new("cc");
    cc.args([
        "-c",
        "-O2",
        "-w",
        "-fno-pic",
        "-mcmodel=kernel",
        "-mno-red-zone",
        "-ffunction-sections",
        "-fdata-sections",
    ]);
    cc.args(["-fno-asynchronous-unwind-tables", "-mgeneral-regs-only", "-fcf-protection=none"]).args(flags);
    let status = cc.arg("-o").arg(&output).arg(&input).status().expect("cc is installed");
    assert!(status.success(), "cc refused {name}");
    fs::read(&output).expect("cc wrote the object")
}

/// What a check said.
fn refusal(result: Result<(), Refusal>) -> String {
    result.expect_err("a bad object passed").to_string()
}

#[test]
fn a_good_object_passes_every_check() {
    let object = compile("good", GOOD, &[]);
    assert_eq!(check::object(&object, &[]), Ok(()));
    for entry in ["kp_rs_isr", "kp_rs_dpc"] {
        assert_eq!(check::no_path(&object, entry, "kp_c_panic"), Ok(()));
    }
}

/// The names in an object that stand for code or data of it, and the bytes of the section that functions are in.
fn names_and_code(object: &[u8]) -> (Vec<String>, Vec<u8>) {
    use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};
    let file = object::File::parse(object).expect("an object");
    let is_named = |kind| matches!(kind, SymbolKind::Text | SymbolKind::Data | SymbolKind::Unknown);
    let symbols = file.symbols().filter(|symbol| is_named(symbol.kind()));
    let mut names: Vec<String> = symbols.filter_map(|symbol| symbol.name().ok().map(str::to_owned)).collect();
    names.sort();
    let code = file.sections().filter(|section| section.name().is_ok_and(|name| name.starts_with(".text")));
    (names, code.flat_map(|section| section.data().expect("code").to_vec()).collect())
}

#[test]
fn a_module_without_its_debug_information_has_the_same_code_and_names_and_a_signed_one_is_left_as_it_is() {
    use kp_tool::strip::{Stripped, has_debug, without_debug};
    let with = compile("with-debug", GOOD, &["-g"]);
    let Stripped::Done(without) = without_debug(&with).expect("strip likes it") else { panic!("it has some") };
    assert!(has_debug(&with) && !has_debug(&without) && without.len() < with.len());
    assert_eq!(names_and_code(&without), names_and_code(&with));
    assert!(names_and_code(&without).0.contains(&"next".to_owned()), "a backtrace has local names too");
    assert_eq!(without_debug(&with).expect("again"), Stripped::Done(without.clone()), "the same bytes");
    assert_eq!(without_debug(&without).expect("once more"), Stripped::AsItWas);
    let signed = [&with[..], b"~Module signature appended~\n"].concat();
    assert_eq!(without_debug(&signed).expect("it is not touched"), Stripped::AsItWas);
}

#[test]
fn a_reference_through_a_global_offset_table_is_refused() {
    let source = "extern int kp_c_count; int kp_rs_call(void) { return kp_c_count; }";
    let object = compile("got", source, &["-fPIC", "-mcmodel=small"]);
    assert_eq!(
        refusal(check::relocations(&object)),
        "relocation type 42 at kp_rs_call+0x3: modules may have only R_X86_64_64, 32S, PC32 and PLT32"
    );
}

#[test]
fn every_reference_through_a_global_offset_table_can_be_made_direct() {
    let source = r#"
        extern long kp_c_count; extern int kp_c_ask(void);
        long kp_rs_load(void) { return kp_c_count; }
        int kp_rs_call(void) { return kp_c_ask() + 1; }
        int kp_rs_jump(void) { return kp_c_ask(); }
        __asm__(".text\n.globl kp_rs_compare\n.type kp_rs_compare,@function\nkp_rs_compare:\n"
                "cmpq kp_c_count@GOTPCREL(%rip), %r9\nret\n.size kp_rs_compare,.-kp_rs_compare");
    "#;
    let mut object = compile("direct", source, &["-fPIC", "-mcmodel=small", "-fno-plt"]);
    assert!(check::relocations(&object).is_err());
    assert_eq!(make_direct(&mut object).expect("all four have a direct form"), 4);
    assert_eq!(check::relocations(&object), Ok(()));
    assert_eq!(make_direct(&mut object).expect("nothing is left to do"), 0);
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("direct-after.o");
    fs::write(&path, object).expect("the test folder is writable");
    let listing = Command::new("objdump").args(["-dr", "--no-show-raw-insn"]).arg(path).output().expect("objdump runs");
    let listing = String::from_utf8_lossy(&listing.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    for instruction in [
        "R_X86_64_PC32 kp_c_count-0x4",
        "addr32 call",
        "R_X86_64_PLT32 kp_c_ask-0x4",
        "cmp $0x0,%r9",
        "R_X86_64_32S kp_c_count",
    ] {
        assert!(listing.contains(instruction), "no {instruction} in: {listing}");
    }
}

/// What is said of a function that the kernel lacks and `kp_rs_call` calls.
fn missing(symbol: &str) -> String {
    let library = "of C's library there are memcpy, memmove, memset, memcmp and strlen";
    format!("{symbol} isn't in the kernel: remove what calls it, kp_rs_call; {library}")
}

#[test]
fn a_symbol_that_the_kernel_lacks_is_refused_by_name() {
    let object =
        compile("unresolved", "extern void pthread_exit(void); void kp_rs_call(void) { pthread_exit(); }", &[]);
    assert_eq!(refusal(check::object(&object, &[])), missing("pthread_exit"));
}

#[test]
fn a_module_may_use_only_what_its_kernel_exports() {
    let object = compile("exports", "extern void b(void); void kp_rs_call(void) { b(); }", &[]);
    let line = |name: &str| format!("0x00000000\t{name}\tvmlinux\tEXPORT_SYMBOL_GPL\t\n");
    let without = Exports::parse(&line("a"));
    assert_eq!(refusal(check::only_exports(&object, &without)), missing("b"));
    let with = Exports::parse(&(line("a") + &line("b")));
    assert_eq!(check::only_exports(&object, &with), Ok(()));
}

#[test]
fn vector_and_floating_point_instructions_are_refused() {
    let cases = [
        ("sse", "addsd %xmm1, %xmm0"),
        ("sse-load", "movups (%rdi), %xmm0"),
        ("avx", "vaddps %ymm0, %ymm1, %ymm2"),
        ("avx512", "kmovw %eax, %k1"),
        ("mmx", "paddb %mm1, %mm0"),
        ("x87", "faddp"),
        ("x87-load", "flds (%rdi)"),
    ];
    for (name, instruction) in cases {
        let source = format!("void kp_rs_call(void) {{ __asm__ volatile(\"nop\\n{instruction}\"); }}");
        assert_eq!(
            refusal(check::object(&compile(name, &source, &[]), &[])),
            "floating-point or vector instruction at kp_rs_call+0x1: use integers in kernel code",
            "{instruction}"
        );
    }
}

#[test]
fn fences_and_hints_of_the_vector_groups_are_no_vector_instructions() {
    let source = "void kp_rs_call(void) { __asm__ volatile(\"mfence; lfence; pause; prefetcht0 (%rdi)\"); }";
    assert_eq!(check::object(&compile("fences", source, &[]), &[]), Ok(()));
}

#[test]
fn a_section_both_writable_and_executable_is_refused() {
    let source = "__asm__(\".section .text.both,\\\"awx\\\",@progbits\\nnop\");";
    let object = compile("both", source, &[]);
    assert_eq!(refusal(check::object(&object, &[])), "section .text.both is both writable and executable");
}

#[test]
fn a_path_from_a_handler_to_the_panic_entry_is_refused_and_printed() {
    let source = r#"
        extern void kp_c_panic(void);
        __attribute__((noinline)) static void fail(void) { kp_c_panic(); __asm__ volatile(""); }
        __attribute__((noinline)) static int get(unsigned at) { if (at > 3) fail(); __asm__ volatile(""); return at; }
        int kp_rs_isr(unsigned at) { return get(at) + 1; }
        void kp_rs_dpc(void) {}
    "#;
    let object = compile("panics", source, &[]);
    assert_eq!(
        refusal(check::no_path(&object, "kp_rs_isr", "kp_c_panic")),
        "kp_rs_isr can reach kp_c_panic: kp_rs_isr → get → fail → kp_c_panic; take the call off this path"
    );
    assert_eq!(check::no_path(&object, "kp_rs_dpc", "kp_c_panic"), Ok(()));
}

#[test]
fn a_function_in_a_table_counts_as_called() {
    let source = r#"
        extern void kp_c_free(void), keep(const void *);
        static void drop(void) { kp_c_free(); __asm__ volatile(""); }
        static void (*const table[])(void) = { drop, 0 };
        void kp_rs_dpc(void) { keep(table); __asm__ volatile(""); }
    "#;
    let object = compile("table", source, &[]);
    assert_eq!(
        refusal(check::no_path(&object, "kp_rs_dpc", "kp_c_free")),
        "kp_rs_dpc can reach kp_c_free: kp_rs_dpc → table → drop → kp_c_free; take the call off this path"
    );
}

#[test]
fn a_call_through_a_pointer_is_refused_with_and_without_retpolines() {
    let source = r#"
        void (*hook)(void);
        __attribute__((noinline)) static void run(void) { hook(); __asm__ volatile(""); }
        void kp_rs_dpc(void) { run(); __asm__ volatile(""); }
    "#;
    let thunks: &[&str] = &["-mindirect-branch=thunk-extern", "-mindirect-branch-register"];
    for (name, flags) in [("pointer", &[][..]), ("retpoline", thunks)] {
        assert_eq!(
            refusal(check::no_path(&compile(name, source, flags), "kp_rs_dpc", "kp_c_panic")),
            "kp_rs_dpc can reach a call through a pointer in run: kp_rs_dpc → run; call a known function there",
            "{name}"
        );
    }
}

#[test]
fn a_path_to_the_panic_entry_is_told_rather_than_a_call_through_a_pointer() {
    let source = r#"
        extern void kp_c_panic(void);
        void (*hook)(void);
        __attribute__((noinline)) static void fail(void) { hook(); kp_c_panic(); __asm__ volatile(""); }
        void kp_rs_isr(unsigned at) { if (at > 3) fail(); __asm__ volatile(""); }
    "#;
    assert_eq!(
        refusal(check::no_path(&compile("both-ways", source, &[]), "kp_rs_isr", "kp_c_panic")),
        "kp_rs_isr can reach kp_c_panic: kp_rs_isr → fail → kp_c_panic; take the call off this path"
    );
}

#[test]
fn an_object_without_the_entry_is_refused() {
    let object = compile("no-entry", "void kp_rs_dpc(void) {}", &[]);
    assert_eq!(
        refusal(check::no_path(&object, "kp_rs_isr", "kp_c_panic")),
        "the object has no kp_rs_isr: kp-linux and cargo-kp aren't of one version"
    );
}

#[test]
fn a_file_that_is_no_object_is_refused() {
    assert!(matches!(check::object(b"\x7fELF", &[]), Err(Refusal::Malformed(_))));
}
