//! The group that may open a node.
use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// Bits of a mode: the group may read and write.
const BOTH: u32 = 0o060;

/// The group that may open this file for reading and writing, by its name, or its number if it has none in `/etc/group`. None if its mode lets no
/// group do so, or root's alone.
pub(super) fn let_in(path: &Path) -> Option<String> {
    let file = fs::metadata(path).ok().filter(|file| file.gid() != 0 && file.mode() & BOTH == BOTH)?;
    let groups = fs::read_to_string("/etc/group").unwrap_or_default();
    Some(name(&groups, file.gid()).map_or_else(|| file.gid().to_string(), str::to_owned))
}

/// The name of a number: lines are `NAME:PASSWORD:NUMBER:MEMBERS`.
fn name(groups: &str, number: u32) -> Option<&str> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(number)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_group_is_told_by_its_name_if_it_may_read_and_write() {
        let file = tempfile::Builder::new().prefix("kp-").tempfile().unwrap();
        let path = file.path();
        if fs::metadata(path).unwrap().gid() == 0 {
            std::os::unix::fs::chown(path, None, Some(1)).unwrap();
        }
        let let_in_by = |mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            let_in(path)
        };
        let groups = fs::read_to_string("/etc/group").unwrap();
        let gid = fs::metadata(path).unwrap().gid();
        let due = name(&groups, gid).map_or_else(|| gid.to_string(), str::to_owned);
        assert_eq!([0o660, 0o640, 0o600].map(let_in_by), [Some(due), None, None]);
        fs::remove_file(path).unwrap();
        assert_eq!(let_in(path), None);
    }

    #[test]
    fn a_group_has_the_name_of_its_number() {
        let groups = "root:x:0:\nkp:x:999:ada,bob\n99:x:99:\n";
        assert_eq!([999, 99, 9].map(|number| name(groups, number)), [Some("kp"), Some("99"), None]);
    }
}
