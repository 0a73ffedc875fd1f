//! Groups of users, as `/etc/group` has them: lines are `NAME:PASSWORD:NUMBER:MEMBERS`.

use crate::machine::Machine;

/// A group's members, between commas. None if there is no such group.
pub(crate) fn members(machine: &dyn Machine, group: &str) -> Option<String> {
    field(machine, |fields| fields[0] == group, 3)
}

/// A group's number. None if there is no such group.
pub(crate) fn number(machine: &dyn Machine, group: &str) -> Option<u32> {
    field(machine, |fields| fields[0] == group, 2)?.parse().ok()
}

/// A group's name, or its number if it has none.
pub(crate) fn name(machine: &dyn Machine, number: u32) -> String {
    let number = number.to_string();
    field(machine, |fields| fields[2] == number, 0).unwrap_or(number)
}

/// A field of the first line that fits.
fn field(machine: &dyn Machine, fits: impl Fn(&[&str]) -> bool, field: usize) -> Option<String> {
    let groups = machine.text("/etc/group")?;
    let lines = groups.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.filter(|fields| fields.len() == 4).find(|fields| fits(fields)).map(|fields| fields[field].to_owned())
}
