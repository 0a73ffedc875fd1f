//! Groups of users, each a line `NAME:PASSWORD:NUMBER:MEMBERS`: of `/etc/group`, or of a directory that the machine asks, as LDAP or sssd.

use crate::machine::Machine;

/// A group's members, between commas. None if there is no such group.
pub(crate) fn members(machine: &dyn Machine, group: &str) -> Option<String> {
    field(machine, group, |fields| fields[0] == group, 3)
}

/// A group's number. None if there is no such group.
pub(crate) fn number(machine: &dyn Machine, group: &str) -> Option<u32> {
    field(machine, group, |fields| fields[0] == group, 2)?.parse().ok()
}

/// A group's name, or its number if it has none.
pub(crate) fn name(machine: &dyn Machine, number: u32) -> String {
    let number = number.to_string();
    field(machine, &number, |fields| fields[2] == number, 0).unwrap_or(number)
}

/// A field of the first line that fits. `key`: the group's name or number.
fn field(machine: &dyn Machine, key: &str, fits: impl Fn(&[&str]) -> bool, field: usize) -> Option<String> {
    let find = |groups: String| {
        let lines = groups.lines().map(|line| line.split(':').collect::<Vec<_>>());
        lines.filter(|fields| fields.len() == 4).find(|fields| fits(fields)).map(|fields| fields[field].to_owned())
    };
    asked(machine, key).and_then(find).or_else(|| find(machine.text("/etc/group")?))
}

/// What the machine's own way to find groups says. Of files for another machine there is none.
fn asked(machine: &dyn Machine, key: &str) -> Option<String> {
    if machine.is_staged() || !machine.has_program("getent") {
        return None;
    }
    let done = machine.run("getent", &["group", key]).ok()?;
    done.success.then_some(done.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    #[test]
    fn a_group_of_a_directory_is_as_good_as_one_of_the_file_but_for_another_machine() {
        let mut fake = Fake::new();
        fake.file("/etc/group", "root:x:0:\nkp:x:999:ada\n");
        fake.directory.push("lab:*:20001:ada,grace".into());
        let found = |fake: &Fake| [members(fake, "lab"), members(fake, "kp"), members(fake, "none")];
        let (ours, theirs) = (Some("ada".to_owned()), Some("ada,grace".to_owned()));
        assert_eq!(found(&fake), [theirs, ours.clone(), None]);
        assert_eq!((number(&fake, "lab"), name(&fake, 20001), name(&fake, 7)), (Some(20001), "lab".into(), "7".into()));
        fake.lacks.push("getent");
        assert_eq!(found(&fake), [None, ours.clone(), None]);
        fake.lacks.clear();
        fake.staged = true;
        assert_eq!(found(&fake), [None, ours, None]);
    }
}
