//! What a kernel that checks each access to memory asks of the code that is loaded into it.
//!
//! The kernel's own build files have the C half instrumented. For the Rust half the same is asked of rustc, and of gcc for C code that a plugin
//! brings.
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::build::exports::Exports;
use crate::build::windows::fnv;
use crate::kernels::Kernel;

/// How a plugin's Rust half is compiled for a kernel. Kernels without such checks take one and the same object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instrumentation {
    /// rustc's flags, for the plugin and for core and alloc.
    pub(super) flags: Vec<String>,
    /// gcc's flags, for C code that the plugin brings.
    pub(super) c_flags: Vec<String>,
    /// The kernel's functions that the compiler calls then. A `*` at the end stands for anything.
    pub(super) imports: &'static [&'static str],
    /// A sanitizer that rustc has for programs only. The target has to say that it is for kernels too.
    pub(super) foreign: Option<&'static str>,
}

impl Instrumentation {
    /// What this kernel wants.
    ///
    /// # Errors
    /// Its headers do not say it.
    pub fn of(kernel: &Kernel) -> Result<Instrumentation> {
        Instrumentation::by_headers(&kernel.headers)
    }

    /// The same for a kernel with these headers.
    pub(super) fn by_headers(headers: &Path) -> Result<Instrumentation> {
        let path = headers.join("include/config/auto.conf");
        let config = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let value = |name: &str| config.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let has = |name: &str| value(name) == Some("y");
        // A kernel has one of them.
        if has("CONFIG_KCSAN") {
            return Ok(kcsan(has("CONFIG_KCSAN_WEAK_MEMORY"), Exports::of(headers)?.has("__tsan_memcpy")));
        }
        if !has("CONFIG_KASAN_GENERIC") {
            return Ok(Instrumentation::default());
        }
        let offset = value("CONFIG_KASAN_SHADOW_OFFSET");
        let offset = offset.with_context(|| format!("{} has no CONFIG_KASAN_SHADOW_OFFSET", path.display()))?;
        let checks_copies = Exports::of(headers)?.has("__asan_memcpy");
        Ok(kasan(offset, has("CONFIG_KASAN_INLINE"), checks_copies))
    }

    /// A folder's name for what is compiled so: `name` itself where nothing is asked.
    pub(super) fn folder(&self, name: &str) -> String {
        match self.flags.as_slice() {
            [] => name.to_owned(),
            flags => format!("{name}+{:08x}", fnv(flags.join(" ").as_bytes(), 0) >> 32),
        }
    }
}

/// For generic KASAN, with the shadow of address `a` at `a / 8 + offset`. `inline`: the shadow is looked at without a call. `checks_copies`: the
/// kernel has functions of their own for what the compiler copies.
fn kasan(offset: &str, inline: bool, checks_copies: bool) -> Instrumentation {
    // From so many accesses in a function on they are calls. The kernel's own build files take these two numbers.
    let calls_from = if inline { 10_000 } else { 0 };
    let both = [
        format!("asan-instrumentation-with-call-threshold={calls_from}"),
        // Frames would grow several times over, and Rust itself checks the bounds of what is in them.
        "asan-stack=0".to_owned(),
        // The same goes for what is constant, for which each module would need a constructor.
        "asan-globals=0".to_owned(),
    ];
    let llvm = [
        format!("asan-mapping-offset={offset}"),
        // Else they are calls of memcpy, which a kernel compiled by an older gcc does not check.
        format!("asan-kernel-mem-intrinsic-prefix={}", u8::from(checks_copies)),
    ];
    let flags = ["-Zsanitizer=kernel-address", "-Zsanitizer-recover=kernel-address"].map(str::to_owned);
    let c_flags = ["-fsanitize=kernel-address".to_owned(), format!("-fasan-shadow-offset={offset}")];
    // For the same reason; gcc has an option for it from 13 on only.
    let copies = ["memcpy", "memmove", "memset"].map(|name| format!("-D{name}=__asan_{name}"));
    let copies = copies.into_iter().filter(|_| checks_copies);
    Instrumentation {
        flags: flags.into_iter().chain(both.iter().chain(&llvm).map(|flag| format!("-Cllvm-args=-{flag}"))).collect(),
        c_flags: c_flags.into_iter().chain(both.iter().map(|flag| format!("--param={flag}"))).chain(copies).collect(),
        imports: &["__asan_*"],
        foreign: None,
    }
}

/// For KCSAN, which looks for races. `follows`: the kernel wants to know where functions begin and end, for accesses that a processor may delay.
fn kcsan(follows: bool, checks_copies: bool) -> Instrumentation {
    let llvm = [
        // What is volatile counts as marked, as in the kernel's own code.
        "tsan-distinguish-volatile=1".to_owned(),
        "tsan-compound-read-before-write=1".to_owned(),
        format!("tsan-instrument-func-entry-exit={}", u8::from(follows)),
        format!("tsan-instrument-memintrinsics={}", u8::from(checks_copies)),
    ];
    let llvm = llvm.into_iter().map(|flag| format!("-Cllvm-args=-{flag}"));
    let c_flags = [
        "-fsanitize=thread".to_owned(),
        "-fno-optimize-sibling-calls".to_owned(),
        "--param=tsan-distinguish-volatile=1".to_owned(),
        format!("--param=tsan-instrument-func-entry-exit={}", u8::from(follows)),
        // gcc warns of fences that its own library for programs does not know. The kernel's does.
        "-Wno-tsan".to_owned(),
    ];
    Instrumentation {
        flags: std::iter::once("-Zsanitizer=thread".to_owned()).chain(llvm).collect(),
        c_flags: c_flags.into(),
        imports: &["__tsan_*"],
        foreign: Some("thread"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What headers with this configuration ask for.
    fn of(config: &str, exports: &str) -> Result<Instrumentation> {
        let headers = tempfile::TempDir::with_prefix("kp-").unwrap();
        let headers = headers.path();
        fs::create_dir_all(headers.join("include/config")).unwrap();
        fs::write(headers.join("include/config/auto.conf"), config).unwrap();
        fs::write(headers.join("Module.symvers"), exports).unwrap();
        Instrumentation::by_headers(headers)
    }

    const KASAN: &str = "CONFIG_KASAN_SHADOW_OFFSET=0xdffffc0000000000\nCONFIG_KASAN=y\nCONFIG_KASAN_GENERIC=y\n";
    const COPIES: &str = "0x0\t__asan_memcpy\tvmlinux\tEXPORT_SYMBOL\t\n";

    #[test]
    fn a_kernel_without_kasan_asks_for_nothing_and_shares_one_object() {
        let plain = of("CONFIG_HAVE_ARCH_KASAN=y\n", "").unwrap();
        assert_eq!(plain, Instrumentation::default());
        assert_eq!(plain.folder("linux-x86_64"), "linux-x86_64");
        let tags = of("CONFIG_KASAN=y\nCONFIG_KASAN_HW_TAGS=y\n", "").unwrap();
        assert_eq!(tags, plain);
    }

    #[test]
    fn a_kernel_with_kasan_asks_for_calls_or_code_as_it_was_built_itself_and_each_has_its_folder() {
        let outline = of(KASAN, COPIES).unwrap();
        let inline = of(&format!("{KASAN}CONFIG_KASAN_INLINE=y\n"), COPIES).unwrap();
        let old = of(KASAN, "").unwrap();
        let has = |one: &Instrumentation, flag: &str| one.flags.iter().any(|has| has == flag);
        for one in [&outline, &inline, &old] {
            assert!(has(one, "-Zsanitizer=kernel-address"), "{one:?}");
            assert!(has(one, "-Cllvm-args=-asan-mapping-offset=0xdffffc0000000000"), "{one:?}");
            assert_eq!((one.flags.len(), one.imports), (7, &["__asan_*"][..]));
        }
        assert!(has(&outline, "-Cllvm-args=-asan-instrumentation-with-call-threshold=0"));
        assert!(has(&inline, "-Cllvm-args=-asan-instrumentation-with-call-threshold=10000"));
        assert!(has(&outline, "-Cllvm-args=-asan-kernel-mem-intrinsic-prefix=1"));
        assert!(has(&old, "-Cllvm-args=-asan-kernel-mem-intrinsic-prefix=0"));
        assert_eq!(
            (inline.c_flags.len(), old.c_flags.len()),
            (8, 5),
            "a kernel without functions for it has no name for them"
        );
        let folders = [&outline, &inline, &old, &Instrumentation::default()].map(|one| one.folder("x"));
        assert!((0..4).all(|at| !folders[..at].contains(&folders[at])), "{folders:?}");
    }

    #[test]
    fn a_kernel_with_kcsan_asks_for_what_its_configuration_says() {
        let plain = of("CONFIG_KCSAN=y\n", "").unwrap();
        let weak = of("CONFIG_KCSAN=y\nCONFIG_KCSAN_WEAK_MEMORY=y\n", &COPIES.replace("asan", "tsan")).unwrap();
        let follows = |one: &Instrumentation, digit: u8| {
            let flag = format!("tsan-instrument-func-entry-exit={digit}");
            let [rust, c] = [&one.flags, &one.c_flags].map(|flags| flags.iter().any(|has| has.ends_with(&flag)));
            rust && c
        };
        assert!(follows(&plain, 0) && follows(&weak, 1));
        assert!(plain.flags.iter().any(|flag| flag == "-Cllvm-args=-tsan-instrument-memintrinsics=0"));
        assert!(weak.flags.iter().any(|flag| flag == "-Cllvm-args=-tsan-instrument-memintrinsics=1"));
        assert_eq!((weak.imports, weak.foreign), (&["__tsan_*"][..], Some("thread")));
    }

    #[test]
    fn kasan_without_its_offset_is_refused() {
        let why = of("CONFIG_KASAN_GENERIC=y\n", "").expect_err("no offset").to_string();
        assert!(why.ends_with("/include/config/auto.conf has no CONFIG_KASAN_SHADOW_OFFSET"), "{why}");
    }
}
