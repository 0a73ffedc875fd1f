//! A workspace's files, all of them or none.
use anyhow::Result;
use kp_tool::Message;
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A file: where it is in its workspace, what is in it, and whether it is a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path, with `/` between folders.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// Puts the files into a folder that is not there yet, or is empty. Until the last is written the folder has another name, so that it is
/// never there in part.
pub fn all(folder: &Path, files: &[File], git: bool) -> Result<()> {
    if !is_free(folder) {
        return Err(Message::FolderExists { path: folder.display().to_string() }.into());
    }
    let parent = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    // What a run that was killed has left is under this name too, and nothing else is.
    let part = parent.join(format!(".{name}.kp-new"));
    let written = write(&part, files, git).and_then(|()| {
        // On Windows nothing is renamed over a folder.
        if cfg!(windows) && folder.exists() {
            fs::remove_dir(folder)?;
        }
        fs::rename(&part, folder)
    });
    written.map_err(|error| {
        let _ = fs::remove_dir_all(&part); // what the error is about matters more
        Message::CannotWrite { path: folder.display().to_string(), why: error.to_string() }.into()
    })
}

/// Whether nothing of this name is there, or an empty folder.
fn is_free(folder: &Path) -> bool {
    match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(_) => fs::symlink_metadata(folder).is_err(),
    }
}

/// Writes the files below a folder, which is made anew.
fn write(part: &Path, files: &[File], git: bool) -> io::Result<()> {
    match fs::remove_dir_all(part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    for file in files {
        let path = part.join(&file.path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, &file.text)?;
        #[cfg(unix)]
        if file.text.starts_with("#!") {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
    }
    format(part, files);
    if git {
        quietly(Command::new("git").args(["init", "--quiet"]).current_dir(part));
    }
    Ok(())
}

/// Has rustfmt put the sources into its own form, where there is one.
fn format(part: &Path, files: &[File]) {
    let roots = files.iter().map(|file| &file.path).filter(|path| path.ends_with(".rs"));
    quietly(Command::new("rustfmt").args(["--edition", "2024"]).args(roots).current_dir(part));
}

/// Runs a program that may be missing, and may fail: what it does is a service.
fn quietly(command: &mut Command) {
    let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}
