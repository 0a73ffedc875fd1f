//! Files into a folder that may have others: all of them, or none.
use super::File;
use anyhow::Result;
use kp_tool::Message;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// A file that is to take another's place.
struct Part {
    /// Where it is until all are written.
    part: PathBuf,
    /// Where it belongs.
    path: PathBuf,
    /// What was there.
    before: Option<Vec<u8>>,
}

/// Puts the files into `out`. Each is written beside its place first; if one cannot be, none is replaced.
pub fn all(out: &Path, files: &[File]) -> Result<()> {
    let mut parts = Vec::new();
    let written = files.iter().try_for_each(|file| write(out, file, &mut parts)).and_then(|()| replace(&parts));
    written.map_err(|error| {
        for part in &parts {
            let _ = fs::remove_file(&part.part); // what the error is about matters more
        }
        Message::NotReplaced { path: out.display().to_string(), why: error.to_string() }.into()
    })
}

fn write(out: &Path, file: &File, parts: &mut Vec<Part>) -> io::Result<()> {
    let path = out.join(&file.path);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let before = match fs::read(&path) {
        Ok(before) => Some(before),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let part = path.with_file_name(format!(".{name}.kp-new"));
    parts.push(Part { part: part.clone(), path, before });
    fs::write(part, &file.text)
}

/// Puts each in its place; if that fails, those that were replaced are as they were.
fn replace(parts: &[Part]) -> io::Result<()> {
    for (done, part) in parts.iter().enumerate() {
        if let Err(error) = fs::rename(&part.part, &part.path) {
            for Part { path, before, .. } in &parts[..done] {
                // What the first error is about matters more.
                let _ = match before {
                    Some(before) => fs::write(path, before),
                    None => fs::remove_file(path),
                };
            }
            return Err(error);
        }
    }
    Ok(())
}
