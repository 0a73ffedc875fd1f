//! What a plugin's licence is to Linux: the string of its module's `MODULE_LICENSE`.
use anyhow::{Result, bail};

/// The strings under which a module may use what the kernel exports to GPL-compatible modules only.
const KERNELS: [&str; 6] =
    ["GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"];
/// The two spellings of the key under which a `Cargo.toml` says the string itself.
const KEYS: [&str; 2] = ["module-licence", "module-license"];

/// A plugin's licence, as far as Linux is concerned. For Windows any will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum License {
    /// One of the kernel's strings.
    Compatible(&'static str),
    /// A module of this licence, as the `Cargo.toml` has it, is a proprietary one to the kernel. It cannot be built.
    Closed(String),
}

impl License {
    /// Reads `license` of a `Cargo.toml`, and its `[package.metadata.kp]`, where an author who may has named the string.
    ///
    /// # Errors
    /// The string is none of the kernel's.
    pub(super) fn of(expression: &str, metadata: &serde_json::Value) -> Result<License> {
        let Some((key, said)) = KEYS.iter().find_map(|key| Some((key, metadata.get(key)?))) else {
            return Ok(Self::from_spdx(expression));
        };
        match KERNELS.iter().find(|known| said == *known) {
            Some(known) => Ok(License::Compatible(known)),
            None => bail!("{key} = {said} is no licence of a kernel module: choose one of {}", KERNELS.join(", ")),
        }
    }

    /// Reads an SPDX expression. One that mixes `AND` and `OR` counts as if every licence in it applied.
    pub fn from_spdx(expression: &str) -> License {
        let plain = expression.replace(['(', ')'], " ").replace('/', " OR ");
        let every = plain.contains(" AND ");
        let terms: Vec<Term> = plain.split(" OR ").flat_map(|part| part.split(" AND ")).map(Term::of).collect();
        let has = |term| terms.contains(&term);
        let compatible = match every {
            true if terms.iter().all(|term| *term == Term::Mit) => Some("Dual MIT/GPL"),
            true if terms.iter().all(|term| matches!(term, Term::Mit | Term::Gpl)) => Some("GPL"),
            true => None,
            false if has(Term::Mit) => Some("Dual MIT/GPL"),
            false if has(Term::Gpl) && has(Term::Bsd) => Some("Dual BSD/GPL"),
            false if has(Term::Gpl) && has(Term::Mpl) => Some("Dual MPL/GPL"),
            false if has(Term::Gpl) => Some("GPL"),
            false => None,
        };
        compatible.map_or_else(|| License::Closed(expression.to_owned()), License::Compatible)
    }

    /// The string for the kernel.
    ///
    /// # Errors
    /// There is none, and so no module. The message says why, and what the author of `plugin` can do.
    pub fn for_module(&self, plugin: &str) -> Result<&'static str> {
        let said = match self {
            License::Compatible(known) => return Ok(known),
            License::Closed(said) if said.is_empty() => "no `license` in its Cargo.toml".to_owned(),
            License::Closed(said) => format!("`license = \"{said}\"`"),
        };
        bail!(
            "{plugin} cannot be a module for Linux: {said} makes it a proprietary one, and the kernel lends what every module of kp \
             needs to GPL-compatible ones only. Set `license` to MIT or GPL-2.0, alone or joined with others by OR; or, if \
             you may license it so, `[package.metadata.kp] module-licence = \"Dual BSD/GPL\"`. For Windows any licence will do"
        );
    }
}

/// One licence of an expression.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Term {
    /// MIT's, which the GPL takes in.
    Mit,
    /// GPL version 2.
    Gpl,
    /// One of BSD's.
    Bsd,
    /// One of Mozilla's.
    Mpl,
    /// Any other.
    Other,
}

impl Term {
    /// With or without `WITH exception`.
    fn of(id: &str) -> Term {
        match id.split_whitespace().next() {
            Some("MIT") => Term::Mit,
            Some(id) if id.starts_with("GPL-2.0") => Term::Gpl,
            Some(id) if id.starts_with("BSD-") => Term::Bsd,
            Some(id) if id.starts_with("MPL-") => Term::Mpl,
            _ => Term::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{KERNELS, License};
    use serde_json::json;

    #[test]
    fn the_licence_shown_to_the_kernel_follows_the_packages() {
        for (spdx, shown) in [
            ("MIT OR Apache-2.0", "Dual MIT/GPL"),
            ("MIT/Apache-2.0", "Dual MIT/GPL"),
            ("MIT", "Dual MIT/GPL"),
            ("GPL-2.0-only", "GPL"),
            ("GPL-2.0-only OR LicenseRef-Own", "GPL"),
            ("MIT AND GPL-2.0-or-later", "GPL"),
            ("BSD-3-Clause OR GPL-2.0-only", "Dual BSD/GPL"),
            ("GPL-2.0-or-later OR BSD-2-Clause", "Dual BSD/GPL"),
            ("MPL-2.0 OR GPL-2.0", "Dual MPL/GPL"),
            ("GPL-2.0-only WITH Linux-syscall-note OR MIT", "Dual MIT/GPL"),
        ] {
            assert_eq!(License::from_spdx(spdx), License::Compatible(shown), "{spdx}");
        }
    }

    #[test]
    fn a_licence_that_gives_no_module_is_refused_with_what_can_be_done() {
        for spdx in [
            "Apache-2.0",
            "MIT AND Apache-2.0",
            "BSD-3-Clause",
            "MPL-2.0",
            "GPL-3.0-only",
            "(MIT OR Apache-2.0) AND LicenseRef-Own",
            "BSD-3-Clause AND GPL-2.0-only",
            "LicenseRef-Own",
            "",
        ] {
            let refused = License::from_spdx(spdx).for_module("card").expect_err(spdx).to_string();
            let said = match spdx {
                "" => "no `license` in its Cargo.toml".to_owned(),
                spdx => format!("`license = \"{spdx}\"`"),
            };
            assert!(refused.starts_with(&format!("card cannot be a module for Linux: {said} makes")), "{refused}");
            assert!(refused.contains("MIT or GPL-2.0") && refused.contains("module-licence"), "{refused}");
            assert!(!refused.contains('\n'), "{refused}");
        }
    }

    #[test]
    fn an_author_names_the_kernels_string_and_nothing_else() {
        for string in KERNELS {
            for metadata in [json!({ "module-licence": string }), json!({ "module-license": string })] {
                let license = License::of("LicenseRef-Own", &metadata).expect("it is the kernel's");
                assert_eq!(license.for_module("card").expect("it is the kernel's"), string);
            }
        }
        for said in [json!("Proprietary"), json!("BSD-3-Clause"), json!(true)] {
            let refused = License::of("MIT", &json!({ "module-licence": said })).expect_err("it is none").to_string();
            let start =
                format!("module-licence = {said} is no licence of a kernel module: choose one of GPL, GPL v2, ");
            assert!(refused.starts_with(&start), "{refused}");
        }
        assert_eq!(
            License::of("MIT", &json!({ "no-free": true })).expect("it says nothing"),
            License::Compatible("Dual MIT/GPL")
        );
    }
}
