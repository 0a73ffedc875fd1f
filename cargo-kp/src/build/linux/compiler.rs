//! Which C compiler makes a kernel's modules: its own, if that is here.
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::place;

/// Compilers with their version in their name, `gcc-12`, are looked for among these.
const MAJORS: std::ops::RangeInclusive<u32> = 5..=40;

/// A compiler, and what make has to be told of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Compiler {
    /// What make is given.
    pub arguments: Vec<String>,
    /// That it only stands in for the kernel's, and what to do about it.
    pub stands_in: Option<String>,
}

/// A family of compilers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Gcc,
    Clang,
}

impl Family {
    fn name(self) -> &'static str {
        match self {
            Family::Gcc => "gcc",
            Family::Clang => "clang",
        }
    }
}

/// What a kernel was built by.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    family: Family,
    major: u32,
    /// Its program, if its headers name it.
    program: Option<String>,
    /// It was linked by LLVM's linker too.
    llvm: bool,
}

/// The compiler for the kernel with these headers: `chosen`, else the one that it was built by, else one of the same family that stands in.
///
/// # Errors
/// There is none. The message names what to install.
pub fn compiler(headers: &Path, chosen: Option<&str>) -> Result<Compiler> {
    let path = headers.join("include/config/auto.conf");
    let config = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let makefile = fs::read_to_string(headers.join(".kernelvariables")).unwrap_or_default();
    choose(wanted(&config, &makefile).as_ref(), chosen, &major)
}

/// What a kernel's configuration says of its compiler, if it says anything. Debian's headers have a makefile that may name another.
fn wanted(config: &str, makefile: &str) -> Option<Wanted> {
    let value = |name: &str| {
        let line = config.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.map(|value| value.trim_matches('"'))
    };
    let family = if value("CONFIG_CC_IS_CLANG").is_some() { Family::Clang } else { Family::Gcc };
    let llvm = value("CONFIG_LD_IS_LLD").is_some();
    let mut overriding = makefile.lines().filter_map(|line| line.strip_prefix("CC")?.trim_start().strip_prefix('='));
    // After a prefix for make to fill in.
    let overriding = overriding.next_back().and_then(|value| value.rsplit([' ', ')']).next());
    if let Some(program) = overriding
        && let Some(Ok(major)) = program.rsplit_once('-').map(|(_, major)| major.parse())
    {
        return Some(Wanted { family, major, program: Some(program.to_owned()), llvm });
    }
    let version: u32 = match family {
        Family::Gcc => value("CONFIG_GCC_VERSION")?.parse().ok()?,
        Family::Clang => value("CONFIG_CLANG_VERSION")?.parse().ok()?,
    };
    // `x86_64-linux-gnu-gcc-12 (Debian 12.2.0-14) 12.2.0`, but `Debian clang version 14.0.6` names none.
    let program = value("CONFIG_CC_VERSION_TEXT").and_then(|text| text.split_whitespace().next());
    let program = program.filter(|_| family == Family::Gcc).map(str::to_owned);
    Some(Wanted { family, major: version / 10_000, program, llvm })
}

/// Chooses among the programs for which `major` has a version.
fn choose(
    wanted: Option<&Wanted>,
    chosen: Option<&str>,
    major: &dyn Fn(Family, &str) -> Option<u32>,
) -> Result<Compiler> {
    let family = wanted.map_or(Family::Gcc, |wanted| wanted.family);
    if let Some(program) = chosen {
        // Whatever family it is of.
        if major(family, program).is_none() {
            bail!("--cc {program} is no compiler in PATH: name one, as gcc-12, or its whole path");
        }
        if !place::is_plain(Path::new(program)) {
            bail!("--cc {program}: make cannot take a path with such characters; link to it from a folder without");
        }
        let llvm = program.contains("clang") && wanted.is_some_and(|wanted| wanted.llvm);
        return Ok(Compiler { arguments: arguments(program, llvm, major), stands_in: None });
    }
    let Some(wanted) = wanted else {
        // Kernels say it since 5.8 or so; what else is one is for kbuild to complain of.
        return Ok(Compiler { arguments: Vec::new(), stands_in: None });
    };
    let plain = family.name();
    let named = wanted.program.iter().cloned().chain([format!("{plain}-{}", wanted.major), plain.to_owned()]);
    let numbered = MAJORS.map(|number| format!("{plain}-{number}"));
    let found = named.chain(numbered).filter_map(|program| Some((major(family, &program)?, program)));
    // The nearest, and rather a newer one: an older one may not know what it is asked for. Of the same, the first.
    let best = found.min_by_key(|(found, _)| (*found < wanted.major, found.abs_diff(wanted.major)));
    let name = format!("{plain}-{}", wanted.major);
    let packages = match wanted.llvm {
        true => format!("{name} lld-{0} llvm-{0}", wanted.major),
        false => name.clone(),
    };
    let Some((found, program)) = best else {
        bail!(
            "{name}, which the kernel was built by, is not in PATH, nor is another {plain}: apt-get install {packages}, or name one with --cc"
        );
    };
    let stands_in = (found != wanted.major).then(|| {
        let its = if program.contains('-') { String::new() } else { format!(" {found}") };
        format!("the kernel was built by {name}, which is not in PATH: {program}{its} stands in; apt-get install {packages}, or name another with --cc")
    });
    Ok(Compiler { arguments: arguments(&program, wanted.llvm, major), stands_in })
}

/// What make is given for a program.
fn arguments(program: &str, llvm: bool, major: &dyn Fn(Family, &str) -> Option<u32>) -> Vec<String> {
    let mut arguments = vec![format!("CC={program}")];
    if llvm {
        arguments.push("LLVM=1".to_owned());
        let suffix = program.rsplit_once("clang").map_or("", |(_, suffix)| suffix);
        let tools = [("LD", "ld.lld"), ("AR", "llvm-ar"), ("NM", "llvm-nm"), ("OBJCOPY", "llvm-objcopy")];
        // Those of the compiler's version, where that is in its name.
        if !suffix.is_empty() && major(Family::Clang, &format!("ld.lld{suffix}")).is_some() {
            arguments.extend(tools.map(|(variable, tool)| format!("{variable}={tool}{suffix}")));
        }
    }
    arguments
}

/// The major version of a program, if it is there. Of LLVM's tools, any number.
fn major(family: Family, program: &str) -> Option<u32> {
    let said = |argument| {
        let output = Command::new(program).arg(argument).output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok()
    };
    match family {
        Family::Clang if program.starts_with("ld.") => said("--version").map(|_| 0),
        _ => said("-dumpversion")?.trim().split('.').next()?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Compiler, Family, Wanted, choose, wanted};

    const DEBIAN: &str = "CONFIG_GCC_VERSION=120200\nCONFIG_CC_IS_GCC=y\n\
        CONFIG_CC_VERSION_TEXT=x86_64-linux-gnu-gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0\n";
    const CLANG: &str = "CONFIG_CC_VERSION_TEXT=\"Ubuntu clang version 17.0.6 (9)\"\nCONFIG_GCC_VERSION=0\n\
        CONFIG_CC_IS_CLANG=y\nCONFIG_CLANG_VERSION=170006\nCONFIG_LD_IS_LLD=y\n";

    fn gcc(major: u32, program: Option<&str>) -> Wanted {
        Wanted { family: Family::Gcc, major, program: program.map(str::to_owned), llvm: false }
    }

    /// Chooses, where only these programs are.
    fn among(
        wanted: Option<&Wanted>,
        chosen: Option<&str>,
        there: &[(&str, u32)],
    ) -> Result<(Vec<String>, Option<String>), String> {
        let major = |_, program: &str| there.iter().find(|(name, _)| *name == program).map(|(_, major)| *major);
        let chosen = choose(wanted, chosen, &major).map_err(|error| error.to_string());
        chosen.map(|Compiler { arguments, stands_in }| (arguments, stands_in))
    }

    #[test]
    fn headers_say_what_their_kernel_was_built_by() {
        assert_eq!(wanted(DEBIAN, ""), Some(gcc(12, Some("x86_64-linux-gnu-gcc-12"))));
        let fedora = "CONFIG_GCC_VERSION=130201\nCONFIG_CC_VERSION_TEXT=\"gcc (GCC) 13.2.1 20230801 (Red Hat)\"\n";
        assert_eq!(wanted(fedora, ""), Some(gcc(13, Some("gcc"))));
        let clang = wanted(CLANG, "").expect("it says so");
        assert_eq!(clang, Wanted { family: Family::Clang, major: 17, program: None, llvm: true });
        assert_eq!(wanted("CONFIG_X86=y\n", ""), None);
        let makefile = "override ARCH = x86\nCCACHE = ccache\nCC = $(if $(DEBIAN),$(CCACHE)) $(CROSS_COMPILE)gcc-10\n";
        assert_eq!(wanted(DEBIAN, makefile), Some(gcc(10, Some("gcc-10"))), "Debian's makefile decides for itself");
    }

    #[test]
    fn the_kernels_own_compiler_comes_before_the_one_called_gcc() {
        let kernel = wanted(DEBIAN, "");
        for (there, program) in [
            (&[("gcc", 11), ("gcc-12", 12), ("x86_64-linux-gnu-gcc-12", 12)][..], "x86_64-linux-gnu-gcc-12"),
            (&[("gcc", 11), ("gcc-12", 12)], "gcc-12"),
            (&[("gcc", 12)], "gcc"),
        ] {
            assert_eq!(among(kernel.as_ref(), None, there), Ok((vec![format!("CC={program}")], None)));
        }
        // A program whose name no longer says which it is.
        let renamed = [("gcc", 14), ("gcc-13", 13)];
        assert_eq!(among(Some(&gcc(13, Some("gcc"))), None, &renamed), Ok((vec!["CC=gcc-13".into()], None)));
    }

    #[test]
    fn where_it_is_missing_the_nearest_stands_in_and_one_line_says_so() {
        let kernel = gcc(12, Some("gcc-12"));
        let says = |program: &str| {
            format!(
                "the kernel was built by gcc-12, which is not in PATH: {program} stands in; apt-get install gcc-12, or name another with --cc"
            )
        };
        for (there, program, named) in [
            (&[("gcc", 11)][..], "gcc", "gcc 11"),
            (&[("gcc", 11), ("gcc-13", 13), ("gcc-14", 14)], "gcc-13", "gcc-13"),
            (&[("gcc-10", 10), ("gcc-9", 9)], "gcc-10", "gcc-10"),
        ] {
            assert_eq!(among(Some(&kernel), None, there), Ok((vec![format!("CC={program}")], Some(says(named)))));
        }
        assert_eq!(
            among(Some(&kernel), None, &[("clang", 17)]),
            Err("gcc-12, which the kernel was built by, is not in PATH, nor is another gcc: apt-get install gcc-12, or \
                 name one with --cc"
                .into())
        );
    }

    #[test]
    fn a_kernel_of_clangs_is_built_for_by_clang_and_its_tools() {
        let kernel = wanted(CLANG, "");
        let plain = Ok((vec!["CC=clang".to_owned(), "LLVM=1".to_owned()], None));
        assert_eq!(among(kernel.as_ref(), None, &[("gcc", 17), ("clang", 17)]), plain);
        let numbered = [("clang", 14), ("clang-17", 17), ("ld.lld-17", 0)];
        let (arguments, stands_in) = among(kernel.as_ref(), None, &numbered).expect("it is there");
        assert_eq!(arguments[..3], ["CC=clang-17", "LLVM=1", "LD=ld.lld-17"]);
        assert_eq!(stands_in, None);
        let missing = among(kernel.as_ref(), None, &[("gcc", 12)]).expect_err("gcc is no clang");
        assert!(missing.contains("apt-get install clang-17 lld-17 llvm-17"), "{missing}");
    }

    #[test]
    fn what_is_named_by_hand_is_used_as_it_is_and_has_to_be_there() {
        let kernel = gcc(12, Some("gcc-12"));
        let there = [("gcc-12", 12), ("gcc-11", 11), ("/my dir/gcc", 12)];
        assert_eq!(among(Some(&kernel), Some("gcc-11"), &there), Ok((vec!["CC=gcc-11".into()], None)));
        assert_eq!(among(None, Some("gcc-11"), &there), Ok((vec!["CC=gcc-11".into()], None)));
        assert_eq!(
            among(Some(&kernel), Some("gcc-99"), &there).expect_err("it is not there"),
            "--cc gcc-99 is no compiler in PATH: name one, as gcc-12, or its whole path"
        );
        assert!(among(Some(&kernel), Some("/my dir/gcc"), &there).expect_err("a blank").contains("make cannot take"));
        assert_eq!(among(None, None, &there), Ok((Vec::new(), None)), "kbuild's own choice");
    }
}
