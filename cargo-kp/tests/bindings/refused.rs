//! Nodes that may not be opened, and what kp's own client says of each: for the tests of C and of Python.
use kp_user::{Cause, OpenError};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
};

/// The plugin whose nodes they are.
pub const PLUGIN: &str = "no-such";
/// The numbers of errors: not permitted, no such file, no permission.
const EPERM: i32 = 1;
const ENOENT: i32 = 2;
const EACCES: i32 = 13;

/// A node's path, what open(2) fails with, and the sentence.
pub struct Refused {
    pub node: String,
    pub errno: i32,
    pub due: String,
}

/// Makes the nodes in a folder: files do, whose group is not root's.
pub fn refused(folder: &Path) -> Vec<Refused> {
    let cases = [
        ("closed", Some(0o600), EACCES, Cause::Denied),
        ("read-only", Some(0o640), EACCES, Cause::Denied),
        ("a-groups", Some(0o660), EACCES, Cause::NotInGroup { group: String::new() }),
        ("forbidden", Some(0o660), EPERM, Cause::NotPermitted),
        ("missing", None, ENOENT, Cause::NoNode { is_loaded: false }),
    ];
    let made = cases.map(|(name, mode, errno, cause)| {
        let path = folder.join(name);
        let mut cause = cause;
        if let Some(mode) = mode {
            fs::write(&path, []).expect("a file can be written");
            if path.metadata().expect("it is there").gid() == 0 {
                chown(&path, None, Some(1)).expect("root may give it away");
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode can be set");
        }
        if let Cause::NotInGroup { group } = &mut cause {
            *group = group_of(path.metadata().expect("it is there").gid());
        }
        let node = path.display().to_string();
        let error = OpenError { place: node.clone(), plugin: Some(PLUGIN.to_owned()), cause };
        Refused { due: error.to_string(), node, errno }
    });
    made.into()
}

/// A group's name, or its number if it has none.
fn group_of(number: u32) -> String {
    let number = number.to_string();
    let groups = fs::read_to_string("/etc/group").expect("the groups can be read");
    let named = groups.lines().find(|line| line.split(':').nth(2) == Some(&number));
    named.and_then(|line| line.split(':').next()).unwrap_or(&number).to_owned()
}
