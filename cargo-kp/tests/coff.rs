//! The call graph's check of a Windows driver's object refuses one that was made to break it, and lets a good one pass.
//!
//! The objects are compiled here from a few lines by mingw-w64's compiler: `apt-get install gcc-mingw-w64-x86-64`.
use cargo_kp::build::pe::{frames, no_path, paths};
use std::path::Path;
use std::process::Command;

/// kp-core's handlers, as Rust's symbols name them for `edu::Edu`.
const ISR: &str = "_RINvNtNtCsdeadbeef_7kp_core4host3isr3isrNtCscafe_3edu3EduE";
const DPC: &str = "_RINvNtNtCsdeadbeef_7kp_core4host3isr3dpcNtCscafe_3edu3EduE";

/// A function of the port, by Rust's name for it.
const PORT: &str = "_RNvNtNtCsdeadbeef_10kp_windows6kernel4irql5raise";

fn compile(name: &str, source: &str) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (input, output) = (dir.join(format!("coff-{name}.c")), dir.join(format!("coff-{name}.o")));
    let source = source.replace("ISR", ISR).replace("DPC", DPC).replace("PORT", PORT);
    std::fs::write(
        &input,
        format!("#define KERNEL __declspec(dllimport)\n#define APART __attribute__((noinline))\n{source}"),
    )
    .unwrap();
    let mut gcc = Command::new("x86_64-w64-mingw32-gcc");
    gcc.args(["-c", "-O2", "-w", "-ffunction-sections", "-fdata-sections", "-fno-asynchronous-unwind-tables", "-o"]);
    let status = gcc.arg(&output).arg(&input).status().expect("apt-get install gcc-mingw-w64-x86-64");
    assert!(status.success(), "the compiler refused {name}");
    std::fs::read(output).unwrap()
}

const GOOD: &str = r#"
    KERNEL void KeInsertQueueDpc(void), KeBugCheckEx(void), ExFreePoolWithTag(void);
    void (*found)(void);
    static unsigned count;
    APART static unsigned next(void) { return ++count; }
    APART void PORT(void) { found(); __asm__ volatile(""); }
    unsigned ISR(void) { PORT(); KeInsertQueueDpc(); return next(); }
    void DPC(void) { KeInsertQueueDpc(); __asm__ volatile(""); }
    void control(int at) { if (at > 3) KeBugCheckEx(); ExFreePoolWithTag(); found(); __asm__ volatile(""); }
"#;

#[test]
#[ignore = "needs mingw-w64's compiler; run by `cargo kp test`"]
fn handlers_that_call_the_kernel_and_the_port_pass() {
    let handlers = paths::handlers(&[compile("good", GOOD)], true).unwrap();
    let names = ["isr", "dpc"].map(|name| format!("kp_core::host::isr::{name}::<edu::Edu>"));
    assert_eq!(handlers, names);
    assert_eq!(paths::handlers(&[compile("none", "void control(void) {}")], true), Ok(vec![]));
}

#[test]
#[ignore = "needs mingw-w64's compiler; run by `cargo kp test`"]
fn a_path_from_a_handler_to_a_panic_is_refused_and_printed() {
    let source = r#"
        KERNEL void KeBugCheckEx(void);
        APART static void fail(void) { KeBugCheckEx(); __asm__ volatile(""); }
        int ISR(int at) { if (at > 3) fail(); __asm__ volatile(""); return at; }
        void DPC(void) {}
    "#;
    let object = compile("panics", source);
    assert_eq!(
        paths::handlers(&[&object], false).unwrap_err().to_string(),
        "kp_core::host::isr::isr::<edu::Edu> can reach __imp_KeBugCheckEx: \
         kp_core::host::isr::isr::<edu::Edu> → fail → __imp_KeBugCheckEx; take the call off this path"
    );
    assert_eq!(no_path(&object, DPC, "__imp_KeBugCheckEx"), Ok(()));
}

#[test]
#[ignore = "needs mingw-w64's compiler; run by `cargo kp test`"]
fn a_path_from_a_handler_to_free_is_refused_where_the_plugin_asks_for_it() {
    let source = r#"
        KERNEL void ExFreePoolWithTag(void);
        void DPC(void) { ExFreePoolWithTag(); __asm__ volatile(""); }
    "#;
    let object = compile("frees", source);
    assert!(paths::handlers(&[&object], false).is_ok());
    assert!(paths::handlers(&[&object], true).unwrap_err().to_string().contains("can reach __imp_ExFreePoolWithTag: "));
}

#[test]
#[ignore = "needs mingw-w64's compiler; run by `cargo kp test`"]
fn a_call_through_a_pointer_is_refused_with_and_without_control_flow_guard() {
    let source = r#"
        void (*hook)(void);
        APART static void run(void) { hook(); __asm__ volatile(""); }
        void DPC(void) { run(); __asm__ volatile(""); }
    "#;
    // What Rust's compiler makes of the same call: through the place where the kernel puts its check.
    let guarded = source.replace("hook();", "__asm__ volatile(\"callq *__guard_dispatch_icall_fptr(%rip)\");");
    for (name, source) in [("pointer", source), ("guarded", &guarded)] {
        assert_eq!(
            paths::handlers(&[compile(name, source)], false).unwrap_err().to_string(),
            "kp_core::host::isr::dpc::<edu::Edu> can reach a call through a pointer in run: \
             kp_core::host::isr::dpc::<edu::Edu> → run; call a known function there",
            "{name}"
        );
    }
}

#[test]
#[ignore = "needs mingw-w64's compiler; run by `cargo kp test`"]
fn a_register_counts_as_known_only_if_it_is_loaded_from_the_import_table_and_from_nowhere_else() {
    // What compilers make of a call in a loop.
    let loaded = r#"
        KERNEL void KeSetEvent(void);
        void DPC(void) { __asm__ volatile("pushq %rbx\n movq __imp_KeSetEvent(%rip), %rbx\n 1: callq *%rbx\n jnz 1b\n popq %rbx"); }
    "#;
    assert!(paths::handlers(&[compile("loaded", loaded)], false).is_ok());
    for (name, code) in [
        ("argument", "callq *%rcx"),
        ("other", "movq __imp_KeSetEvent(%rip), %rbx\\n movq (%rcx), %rbx\\n callq *%rbx"),
        ("lost", "movq __imp_KeSetEvent(%rip), %rax\\n callq *%rax\\n callq *%rax"),
        ("memory", "movq __imp_KeSetEvent(%rip), %rbx\\n callq *(%rbx)"),
    ] {
        let source = format!("void DPC(void) {{ __asm__ volatile(\"{code}\"); }}");
        let refusal = paths::handlers(&[compile(name, &source)], false).expect_err(name).to_string();
        assert!(refusal.contains(" can reach a call through a pointer in "), "{name}: {refusal}");
    }
}

#[test]
#[ignore = "needs mingw-w64's compiler; run by `cargo kp test`"]
fn a_function_that_takes_more_of_the_stack_than_a_kernel_has_is_refused_by_name() {
    let takes = |bytes: u32| {
        let code = format!("movl ${bytes}, %eax\\n callq __chkstk");
        compile("deep", &format!("void deep(void) {{ __asm__ volatile(\"{code}\"); }} void flat(void) {{}}"))
    };
    assert_eq!(frames::large(&takes(12288)), Ok(vec![("deep".to_owned(), 12288)]));
    assert_eq!(frames::fit(&takes(12288)), Ok(()));
    assert_eq!(
        frames::fit(&takes(12296)).unwrap_err().to_string(),
        "deep takes 12296 bytes of the stack, and a kernel may have no more than 12288 for all that is called: \
         keep large values in a KBox"
    );
    let unknown = compile("unknown", "void deep(void) { __asm__ volatile(\"callq __chkstk\"); }");
    assert_eq!(
        frames::fit(&unknown).unwrap_err().to_string(),
        "not a usable object file: nobody can tell how much stack deep takes"
    );
}
