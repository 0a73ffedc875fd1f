//! The search in folders that are laid out as different systems have them.
use super::*;
use tempfile::TempDir;

/// A machine of empty files below a folder that goes with it. Each `rustc` is a file with what it says.
struct Laid(TempDir);

impl Laid {
    fn new() -> Laid {
        Laid(TempDir::with_prefix("kp-").unwrap())
    }

    fn join(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// `rustc` and `cargo` of a version.
    fn compiler(&self, sysroot: &str, version: &str) {
        let said =
            format!("rustc {version} (0123456 2026-01-01)\nhost: x86_64-unknown-linux-gnu\nrelease: {version}\n");
        self.file(&format!("{sysroot}/bin/rustc"), &said);
        self.file(&format!("{sysroot}/bin/cargo"), "");
    }

    /// The source of a library, which says its version where the real one does.
    fn library(&self, folder: &str, minor: u32) {
        let attributes = format!(
            "#[stable(feature = \"a\", since = \"1.{minor}.0\")]\n#[stable(feature = \"b\", since = \"1.5.0\")]\n\
             #[deprecated(since = \"1.999.0\")]\n"
        );
        self.file(&format!("{folder}/core/src/option/mod.rs"), &attributes);
        self.file(&format!("{folder}/core/src/lib.rs"), "");
    }

    /// What a search finds, its paths below this folder, with the sysroot of the `rustc` in `PATH`.
    fn find(&self, choice: Option<&str>, in_path: Option<&str>) -> Result<(String, String), String> {
        let ask = |program: &Path, arguments: &[&str]| match program.is_absolute() {
            true => fs::read_to_string(program).ok(),
            false => {
                assert_eq!(arguments, ["--print", "sysroot"]);
                in_path.map(|sysroot| format!("{}\n", self.join(sysroot).display()))
            }
        };
        let machine =
            Machine { root: Some(self.0.path().to_owned()), rustup: Some(self.join("home/toolchains")), ask: &ask };
        let found = machine.find(choice).map_err(|error| self.below(&error.to_string()))?;
        let usual = if found.usual { "" } else { ", said" };
        Ok((self.below(&found.name()) + usual, self.below(&found.library.display().to_string())))
    }

    fn below(&self, text: &str) -> String {
        text.replace(self.0.path().to_str().unwrap(), "")
    }
}

/// Where a toolchain has its source if it has it inside.
const INSIDE: &str = "lib/rustlib/src/rust/library";
const STABLE: &str = "home/toolchains/stable-x86_64-unknown-linux-gnu";

#[test]
fn the_source_is_found_where_debian_fedora_rustup_and_ubuntu_have_it() {
    // Debian's is a link that leads out of the sysroot; Fedora's is the same without the link.
    let debian = Laid::new();
    debian.compiler("usr", "1.96.0");
    debian.library("usr/src/rustc-1.96.0/library", 96);
    fs::create_dir_all(debian.join("usr/lib/rustlib/src")).unwrap();
    std::os::unix::fs::symlink("../../../src/rustc-1.96.0", debian.join("usr/lib/rustlib/src/rust")).unwrap();
    assert_eq!(
        debian.find(None, None).unwrap(),
        ("Rust 1.96.0 in /usr".into(), "/usr/lib/rustlib/src/rust/library".into())
    );

    let rustup = Laid::new();
    rustup.compiler(STABLE, "1.97.1");
    rustup.library(&format!("{STABLE}/{INSIDE}"), 97);
    assert_eq!(
        rustup.find(None, Some(STABLE)).unwrap(),
        (format!("Rust 1.97.1 in /{STABLE}, said"), format!("/{STABLE}/{INSIDE}"))
    );

    let ubuntu = Laid::new();
    for version in ["1.85.1", "1.95.0", "1.100.0"] {
        let minor = version.split('.').nth(1).unwrap();
        ubuntu.compiler(&format!("usr/lib/rust-1.{minor}"), version);
        ubuntu.library(&format!("usr/src/rustc-{version}/library"), minor.parse().unwrap());
    }
    let newest = ("Rust 1.100.0 in /usr/lib/rust-1.100, said".to_owned(), "/usr/src/rustc-1.100.0/library".to_owned());
    assert_eq!(ubuntu.find(None, None).unwrap(), newest);
}

#[test]
fn usr_goes_before_the_rustc_in_path_if_it_is_whole_and_a_choice_before_both() {
    let laid = Laid::new();
    laid.compiler("usr", "1.96.0");
    laid.compiler(STABLE, "1.97.1");
    laid.library(&format!("{STABLE}/{INSIDE}"), 97);
    let name = |choice, in_path| laid.find(choice, in_path).unwrap().0;
    assert_eq!(name(None, Some(STABLE)), format!("Rust 1.97.1 in /{STABLE}, said"));
    laid.library(&format!("usr/{INSIDE}"), 96);
    assert_eq!(name(None, Some(STABLE)), "Rust 1.96.0 in /usr");
    for choice in ["stable", "stable-x86_64-unknown-linux-gnu", &format!("{}/{STABLE}/", laid.0.path().display())] {
        assert_eq!(name(Some(choice), None), format!("Rust 1.97.1 in /{STABLE}, said"), "{choice}");
    }
}

#[test]
fn what_a_chosen_toolchain_lacks_is_one_line_that_says_what_to_do() {
    let laid = Laid::new();
    laid.compiler(STABLE, "1.95.0");
    laid.compiler("old", "1.94.1");
    laid.compiler("alone", "1.96.0");
    fs::remove_file(laid.join("alone/bin/cargo")).unwrap();
    laid.compiler("mixed", "1.95.0");
    laid.library(&format!("mixed/{INSIDE}"), 96);
    laid.compiler("bare", "1.96.0");
    laid.file("empty/bin/readme", "");
    let lacks = |choice: &str| {
        let choice = if choice == "stable" { choice.to_owned() } else { laid.join(choice).display().to_string() };
        laid.find(Some(&choice), None).unwrap_err()
    };
    assert_eq!(
        lacks("stable"),
        format!(
            "/{STABLE} has rustc 1.95.0 without the source of its library (/{STABLE}/{INSIDE}, \
             /usr/src/rustc-1.95.0/library): rustup component add rust-src --toolchain stable-x86_64-unknown-linux-gnu"
        )
    );
    assert_eq!(lacks("old"), "/old is Rust 1.94.1: it has to be 1.95 or later");
    assert_eq!(lacks("alone"), "/alone has rustc 1.96.0 and no Cargo: install the Cargo of the same version");
    assert_eq!(
        lacks("mixed"),
        format!("/mixed has rustc 1.95.0, and in /mixed/{INSIDE} the library of 1.96: both have to be of one version")
    );
    assert_eq!(
        lacks("bare"),
        format!(
            "/bare has rustc 1.96.0 without the source of its library (/bare/{INSIDE}, /usr/src/rustc-1.96.0/library): \
             install its package rust-src; it is rust-web-src for Debian 12's rustc-web, rust-1.NN-src for Ubuntu's rustc-1.NN"
        )
    );
    assert_eq!(lacks("empty"), "/empty has no rustc that runs: name the folder that has bin/rustc");
    assert_eq!(
        lacks("absent"),
        "there is no folder /absent: --toolchain and KP_TOOLCHAIN name one, or a toolchain of rustup's"
    );
}

#[test]
fn a_name_that_rustup_does_not_have_or_has_twice_is_refused_with_those_that_it_has() {
    let laid = Laid::new();
    let lacks = |choice| laid.find(Some(choice), None).unwrap_err();
    assert_eq!(
        lacks("nightly"),
        "rustup has no toolchain nightly in /home/toolchains: there is none; a folder is named with a /"
    );
    for name in ["stable-x86_64-pc-windows-gnu", "stable-x86_64-pc-windows-msvc"] {
        laid.compiler(&format!("home/toolchains/{name}"), "1.96.0");
    }
    let both = "stable-x86_64-pc-windows-gnu, stable-x86_64-pc-windows-msvc";
    assert_eq!(lacks("stable"), format!("stable may be {both}: name one of them"));
    assert_eq!(
        lacks("nightly"),
        format!("rustup has no toolchain nightly in /home/toolchains: there are {both}; a folder is named with a /")
    );
}

#[test]
fn where_none_is_whole_each_place_is_named_with_its_lack_and_every_way_out_is_told() {
    let laid = Laid::new();
    laid.compiler(STABLE, "1.95.0");
    laid.compiler("usr/lib/rust-1.85", "1.85.1");
    let told = laid.find(None, Some(STABLE)).unwrap_err();
    assert!(!told.contains('\n'));
    for part in [
        "no whole Rust 1.95 or later: /usr has no rustc that runs; ".to_owned(),
        format!("; /{STABLE} has rustc 1.95.0 without the source of its library"),
        "; /usr/lib/rust-1.85 is Rust 1.85.1. So do one of: ".to_owned(),
        "`rustup component add rust-src`".to_owned(),
        "`apt-get install rustc-web cargo-web rust-web-src`".to_owned(),
        "--toolchain or KP_TOOLCHAIN".to_owned(),
    ] {
        assert!(told.contains(&part), "{part} is not in: {told}");
    }
}

#[test]
fn a_nightlys_library_is_not_asked_for_a_release_that_it_does_not_name_yet() {
    let laid = Laid::new();
    laid.compiler("night", "1.98.0-nightly");
    laid.library(&format!("night/{INSIDE}"), 97);
    let night = laid.join("night");
    assert_eq!(laid.find(night.to_str(), None).unwrap().0, "Rust 1.98.0-nightly in /night, said");
}

#[test]
fn on_windows_it_is_the_rustc_in_path_and_rustup_brings_what_is_missing() {
    let laid = Laid::new();
    let ask = |program: &Path, _: &[&str]| match program.is_absolute() {
        true => fs::read_to_string(program).ok(),
        false => Some(laid.join("home/toolchains/stable-x86_64-pc-windows-msvc").display().to_string()),
    };
    let machine = Machine { root: None, rustup: Some(laid.join("home/toolchains")), ask: &ask };
    laid.compiler("home/toolchains/stable-x86_64-pc-windows-msvc", "1.96.0");
    let told = laid.below(&machine.find(None).unwrap_err().to_string());
    assert!(told.ends_with(": rustup component add rust-src --toolchain stable-x86_64-pc-windows-msvc"), "{told}");
    laid.library(&format!("home/toolchains/stable-x86_64-pc-windows-msvc/{INSIDE}"), 96);
    assert!(machine.find(None).unwrap().usual);
    let nothing = Machine { ask: &|_, _| None, ..machine };
    assert_eq!(
        nothing.find(None).unwrap_err().to_string(),
        "no rustc in PATH: install Rust with rustup, https://rustup.rs"
    );
}
