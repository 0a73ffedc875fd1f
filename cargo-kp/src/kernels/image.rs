//! A kernel's image: what is booted, and which kernel it says it is.
//!
//! The header is the one of the kernel's `Documentation/arch/x86/boot.rst`, the same for all compressions.

use super::Kernel;
use anyhow::{Context, Result, anyhow, bail};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// How much of an image has its header and its name in it. The part that runs first has at most 64 sectors, and one to begin with.
const BEGINNING: u64 = 65 * 512;

/// A kernel to boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The file: a bzImage, as distributions install it as `vmlinuz`.
    pub file: PathBuf,
    /// What `uname -r` says in it.
    pub release: String,
}

impl Image {
    /// The image in a file, which needs no folder that it was built in.
    ///
    /// Fails if it is none for x86-64. The message says what it is, where that can be seen.
    pub fn read(file: &Path) -> Result<Self> {
        let name = file.display();
        if file.is_dir() {
            bail!(
                "{name} is a folder: --image takes a file, a bzImage or vmlinuz, and --kernel the folder that a kernel was built in"
            );
        }
        let mut beginning = Vec::new();
        File::open(file)
            .and_then(|image| image.take(BEGINNING).read_to_end(&mut beginning))
            .map_err(|error| anyhow!("no kernel's image {name} ({error}): name a bzImage or vmlinuz"))?;
        Ok(Image {
            file: file.to_owned(),
            release: release(&beginning).with_context(|| format!("cannot boot {name}"))?,
        })
    }
}

impl From<&Kernel> for Image {
    fn from(kernel: &Kernel) -> Self {
        Image { file: kernel.vmlinuz.clone(), release: kernel.release.clone() }
    }
}

/// The release of the kernel whose image begins so.
fn release(image: &[u8]) -> Result<String> {
    let has = |at: usize, mark: &[u8]| image.get(at..at + mark.len()) == Some(mark);
    let number = |at: usize| image.get(at..at + 2).map_or(0, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    if has(0, b"\x7fELF") {
        bail!("it is an ELF file, as vmlinux is: name the bzImage, which `make bzImage` puts into arch/x86/boot");
    }
    if has(56, b"ARM\x64") {
        bail!("it is a kernel for arm64, and a guest is an x86-64 machine");
    }
    if !has(0x1fe, &[0x55, 0xaa]) || !has(0x202, b"HdrS") {
        bail!("it is no kernel's image for x86: name a bzImage or vmlinuz");
    }
    /// The first protocol that says whether a kernel is one for 64 bits.
    const SAYS_64: u16 = 0x20c;
    if number(0x206) >= SAYS_64 && number(0x236) & 1 == 0 {
        bail!("it is a kernel for 32-bit x86, and modules are for x86-64");
    }
    // Where the text begins, less the first sector. It is the release, who built it where, and which build it was.
    let text = usize::from(number(0x20e)) + 0x200;
    let name = image.get(text..).and_then(|rest| rest.split(|&byte| byte == 0 || byte == b' ').next());
    match name.map(String::from_utf8_lossy) {
        Some(name) if text > 0x200 && name.starts_with(|first: char| first.is_ascii_digit()) => Ok(name.into_owned()),
        _ => bail!("it does not say which release it is: build it anew, by `make bzImage`"),
    }
}

/// The beginning of a bzImage.
#[cfg(test)]
fn image(protocol: u16, flags: u16, text: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 0x3000];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x1fe, &[0x55, 0xaa]);
    put(0x202, b"HdrS");
    put(0x206, &protocol.to_le_bytes());
    put(0x20e, &0x2a00_u16.to_le_bytes());
    put(0x236, &flags.to_le_bytes());
    put(0x2c00, text);
    image
}

/// That of a kernel of today.
#[cfg(test)]
pub(super) fn made_up(release: &str) -> Vec<u8> {
    image(0x20f, 0x7f, format!("{release} (root@build) #1 SMP\0").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_says_which_kernel_it_is() {
        let text = b"6.12.9-vendor+ (root@build) #7 SMP PREEMPT_DYNAMIC Thu Jan 1 00:00:00 UTC 1970\0";
        assert_eq!(release(&image(0x20f, 0x7f, text)).unwrap(), "6.12.9-vendor+");
        assert_eq!(release(&image(0x20f, 0x7f, b"5.10.0\0")).unwrap(), "5.10.0");
        // The one of the sixties says nothing about 64 bits.
        assert_eq!(release(&image(0x20b, 0, text)).unwrap(), "6.12.9-vendor+");
    }

    #[test]
    fn what_is_no_kernel_for_this_machine_is_refused_with_what_it_is() {
        let mut arm = vec![0; 64];
        arm[56..60].copy_from_slice(b"ARM\x64");
        for (bytes, why) in [
            (b"\x7fELF\x02".to_vec(), "it is an ELF file, as vmlinux is: name the bzImage"),
            (arm, "it is a kernel for arm64"),
            (b"#!/bin/sh\n".to_vec(), "it is no kernel's image for x86: name a bzImage or vmlinuz"),
            (Vec::new(), "it is no kernel's image for x86"),
            (image(0x20f, 0x7e, b"6.1.0\0"), "it is a kernel for 32-bit x86"),
            (image(0x20f, 0x7f, b"\0"), "it does not say which release it is"),
            (image(0x20f, 0x7f, b"6.1.0\0")[..0x2c00].to_vec(), "it does not say which release it is"),
        ] {
            let refused = release(&bytes).expect_err(why).to_string();
            assert!(refused.starts_with(why), "{refused}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_and_a_folder_are_told_apart() {
        let why = |file: &str| format!("{:#}", Image::read(Path::new(file)).expect_err(file));
        let missing = why("/no/bzImage");
        assert!(
            missing.starts_with("no kernel's image /no/bzImage (") && missing.ends_with("bzImage or vmlinuz"),
            "{missing}"
        );
        assert!(why("/").starts_with("/ is a folder: --image takes a file"), "{}", why("/"));
        let other = why(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        assert!(other.ends_with("Cargo.toml: it is no kernel's image for x86: name a bzImage or vmlinuz"), "{other}");
    }
}
