//! Where a module is built: each kernel has a folder of its own, which remembers whose it is.
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::target::Target;
use crate::build::windows::fnv;
use crate::kernels;
use crate::temporary::TempFolder;

/// The file in which a folder keeps whose it is.
const MARK: &str = "kernel";
/// What distinguishes kernels of one release: how they were configured, and what they export, with its versions.
const IDENTITY: [&str; 2] = ["include/generated/autoconf.h", "Module.symvers"];

/// Whether make and the kernel's build files take a path: they divide it at blanks and colons, and fill in what has a `%` or a `$`.
pub fn is_plain(path: &Path) -> bool {
    let plain = |letter: char| letter.is_alphanumeric() || "/._+-~@".contains(letter);
    path.to_str().is_some_and(|path| path.chars().all(plain))
}

/// Whether make works in a folder: newer kernels go by where links lead.
pub fn make_works_in(dir: &Path) -> bool {
    is_plain(dir) && dir.canonicalize().is_ok_and(|real| is_plain(&real))
}

/// The folder for a kernel's module below `plugin`: `<release>`, or `<release>+<hash>` if another kernel of that release has it. What is in
/// it was made for this kernel: what was not is removed.
///
/// # Errors
/// The headers lack what tells kernels apart, or the folder can't be emptied.
pub fn folder(plugin: &Path, kernel: &Target) -> Result<PathBuf> {
    let (folder, mark) = marked(plugin, kernel)?;
    if fs::read_to_string(folder.join(MARK)).is_ok_and(|owner| owner == mark) {
        return Ok(folder);
    }
    // The kernel's build files go by dates and commands, which may be the same.
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::write(folder.join(MARK), mark).with_context(|| format!("cannot write to {}", folder.display()))?;
    Ok(folder)
}

/// That folder as it is now, and what it has to say of whose it is.
pub fn marked(plugin: &Path, kernel: &Target) -> Result<(PathBuf, String)> {
    let mut identity = 0;
    for file in IDENTITY.map(|file| kernel.headers.join(file)) {
        let content = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        identity = fnv(&content, 0) ^ fnv(&u64::to_le_bytes(identity), 1);
    }
    let headers = fs::canonicalize(&kernel.headers)?;
    let (headers, identity) = (headers.display().to_string(), format!("{identity:016x}"));
    let mark = format!("{headers}\n{identity}\n");

    let first = plugin.join(&kernel.release);
    let owner = fs::read_to_string(first.join(MARK)).unwrap_or_default();
    let owns = owner.is_empty() || owner.lines().any(|line| line == headers || line == identity);
    let folder = if owns { first } else { plugin.join(format!("{}+{}", kernel.release, &identity[..8])) };
    Ok((folder, mark))
}

/// A new folder that make can work in.
///
/// # Errors
/// Neither the folder for temporary files nor the cache has a path that make takes.
pub fn workshop() -> Result<TempFolder> {
    let places = [Some(std::env::temp_dir()), kernels::cache_dir().ok()];
    let Some(place) =
        places.into_iter().flatten().find(|place| is_plain(place) && (!place.exists() || make_works_in(place)))
    else {
        bail!(
            "make takes neither the workspace's path nor that of temporary files: set TMPDIR to one of letters and digits"
        );
    };
    TempFolder::new(&place, "kp-build")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use tempfile::TempDir;

    use super::{IDENTITY, Target, folder, is_plain, make_works_in};

    /// Made-up headers, in a folder of the test's own.
    fn headers(root: &Path, name: &str, config: &str) -> Target {
        let headers = root.join(name);
        for (file, content) in IDENTITY.into_iter().zip([config, "0x1\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n"]) {
            fs::create_dir_all(headers.join(file).parent().unwrap()).unwrap();
            fs::write(headers.join(file), content).unwrap();
        }
        Target { release: "6.12.9-yocto-standard".into(), headers }
    }

    #[test]
    fn two_kernels_of_one_release_have_two_folders_whoever_comes_first() {
        let root = TempDir::with_prefix("kp-").unwrap();
        let root = root.path();
        let (a, b) = (headers(root, "a", "#define A 1\n"), headers(root, "b", "#define B 1\n"));
        let plugin = root.join("edu");
        let of_a = folder(&plugin, &a).unwrap();
        let of_b = folder(&plugin, &b).unwrap();
        assert_eq!(of_a, plugin.join("6.12.9-yocto-standard"));
        let hash = of_b.to_str().unwrap().strip_prefix(&format!("{}+", of_a.display())).expect("a hash behind it");
        assert!(hash.len() == 8 && hash.bytes().all(|digit| digit.is_ascii_hexdigit()), "{hash}");
        for (kernel, its) in [(&a, &of_a), (&b, &of_b)] {
            fs::write(its.join("kp.o"), "made").unwrap();
            assert_eq!(folder(&plugin, kernel).unwrap(), *its);
            assert!(its.join("kp.o").exists(), "what was made for it stays");
        }
    }

    #[test]
    fn nothing_stale_stays_in_a_kernels_folder() {
        let root = TempDir::with_prefix("kp-").unwrap();
        let root = root.path();
        let plugin = root.join("edu");
        let made = plugin.join("6.12.9-yocto-standard/kp.o");
        let expect_empty = |kernel: &Target, why: &str| {
            fs::create_dir_all(made.parent().unwrap()).unwrap();
            fs::write(&made, "made").unwrap();
            assert_eq!(folder(&plugin, kernel).unwrap(), made.parent().unwrap(), "{why}");
            assert!(!made.exists(), "{why}");
        };
        expect_empty(&headers(root, "a", "#define A 1\n"), "it does not say whose it is");
        expect_empty(&headers(root, "a", "#define A 2\n"), "the headers have changed in place");
        expect_empty(&headers(root, "b", "#define A 2\n"), "the same kernel's headers lie elsewhere");
    }

    #[test]
    fn make_is_given_no_path_that_it_would_take_apart() {
        for path in ["/home/me/card/target/kp/edu/6.1.0+deb12~rc1-amd64", "/home/jürgen/карта_1", "/a@b"] {
            assert!(is_plain(Path::new(path)), "{path}");
        }
        for letter in [" ", "\t", ":", "%", "#", "$", "'", "\"", "\\", "(", ")", ",", "=", "&", ";", "*", "!"] {
            assert!(!is_plain(Path::new(&format!("/home/my{letter}card"))), "{letter}");
        }
    }
    #[test]
    fn make_is_not_sent_through_a_link_to_where_it_cannot_work() {
        let root = TempDir::with_prefix("kp-").unwrap();
        let root = root.path();
        fs::create_dir(root.join("my card")).unwrap();
        std::os::unix::fs::symlink("my card", root.join("card")).unwrap();
        assert!(is_plain(&root.join("card")) && !make_works_in(&root.join("card")));
        assert!(make_works_in(root));
    }
}
