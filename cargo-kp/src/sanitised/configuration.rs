//! What a kernel that is built here is configured with.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::make;
use crate::packages::last_line;

/// A kernel's options: those that each of ours has, and its own.
pub struct Configuration {
    /// As kbuild reads it.
    pub text: String,
}

/// Each kernel's own options.
const OWN: [(&str, &str); 2] =
    [("6.12-sanitised", include_str!("kasan.config")), ("6.12-kcsan", include_str!("kcsan.config"))];

impl Configuration {
    /// Of the kernel with this name.
    pub fn of(name: &str) -> Result<Self> {
        let own = OWN.iter().find(|(kernel, _)| *kernel == name).map(|(_, text)| *text);
        let own = own.with_context(|| format!("{name} has no configuration"))?;
        Ok(Configuration { text: format!("{}{own}", include_str!("base.config")) })
    }

    /// Configures a kernel in a folder of its own: nothing but these options, and what they need.
    ///
    /// # Errors
    /// The kernel does not have one of them, or not so.
    pub fn apply(&self, source: &Path, dir: &Path) -> Result<()> {
        let options = dir.join("kp.config");
        fs::write(&options, &self.text).with_context(|| format!("cannot write {}", options.display()))?;
        let done = make::command(source, dir)
            .arg("-s")
            .arg(format!("KCONFIG_ALLCONFIG={}", options.display()))
            .arg("allnoconfig")
            .output()
            .context("cannot run make")?;
        if !done.status.success() {
            bail!("{}", last_line(&String::from_utf8_lossy(&done.stderr)));
        }
        let configured = dir.join(".config");
        let found = fs::read_to_string(&configured).with_context(|| format!("cannot read {}", configured.display()))?;
        match self.missing_in(&found) {
            None => Ok(()),
            Some(why) => bail!("{why}; `/` in its menuconfig says what the option depends on"),
        }
    }

    /// The first option that a kernel's `.config` has otherwise.
    fn missing_in(&self, configured: &str) -> Option<String> {
        let has = |name: &str| {
            configured.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')))
        };
        self.text.lines().find_map(|line| {
            let (name, wanted) = match line.strip_prefix("# CONFIG_") {
                Some(rest) => (format!("CONFIG_{}", rest.strip_suffix(" is not set")?), None),
                None if line.starts_with("CONFIG_") => (line.split_once('=')?.0.to_owned(), Some(line)),
                None => return None,
            };
            let found = has(&name);
            (found != wanted).then(|| {
                format!(
                    "its options ask for `{line}`, and the kernel has {}",
                    found.map_or("none".to_owned(), |it| format!("`{it}`"))
                )
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_that_the_kernel_does_not_take_is_named() {
        let configuration =
            Configuration { text: "# Why.\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"x y\"\n".into() };
        let missing = |configured: &str| configuration.missing_in(configured);
        assert_eq!(missing("CONFIG_A=y\nCONFIG_BB=y\nCONFIG_C=\"x y\"\n"), None);
        let why = |asked: &str, has: &str| Some(format!("its options ask for `{asked}`, and the kernel has {has}"));
        assert_eq!(missing("# CONFIG_A is not set\nCONFIG_C=\"x y\"\n"), why("CONFIG_A=y", "none"));
        assert_eq!(missing("CONFIG_A=y\nCONFIG_C=\"x\"\n"), why("CONFIG_C=\"x y\"", "`CONFIG_C=\"x\"`"));
        assert_eq!(missing("CONFIG_A=y\nCONFIG_B=y\n"), why("# CONFIG_B is not set", "`CONFIG_B=y`"));
    }

    #[test]
    fn each_kernel_that_is_built_here_has_its_options_and_a_name_of_its_own() {
        for built in crate::kernels::built() {
            let text = Configuration::of(&built.name).expect("it has some").text;
            let option = |name: &str| text.lines().any(|line| line.starts_with(name));
            assert!(option("CONFIG_LOCALVERSION=\"-kp-") && option("CONFIG_PCI_MSI=y"), "{}", built.name);
            assert!(option("CONFIG_KASAN=y") != option("CONFIG_KCSAN=y"), "{}", built.name);
        }
    }
}
