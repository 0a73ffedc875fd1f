//! A plugin's nodes, and whether what was promised of them has come true: that they are there, and that the group which was let in may open them.

use crate::machine::Machine;
use crate::message::Message;
use crate::{groups, rules};
use std::os::unix::fs::MetadataExt as _;

/// Bits of a mode: the group, and everybody, may read and write.
const GROUP: u32 = 0o060;
const ALL: u32 = 0o006;

/// The nodes of a plugin's module: those of its class.
pub fn of(machine: &dyn Machine, plugin: &str) -> Vec<String> {
    let names = machine.names(&format!("/sys/class/kp-{plugin}"));
    names.iter().filter_map(|name| Some(format!("/dev/kp/{}", name.strip_prefix("kp-")?))).collect()
}

/// Looks at each node of a loaded plugin, by the name that its nodes have.
///
/// # Errors
/// [`Message::NoNode`], [`Message::NotLetIn`].
pub fn check(machine: &dyn Machine, plugin: &str) -> Result<(), Message> {
    let group = let_in(machine, plugin);
    of(machine, plugin).into_iter().try_for_each(|node| one(machine, plugin, node, group.as_deref()))
}

/// The class device of a node.
fn class_device(plugin: &str, node: &str) -> String {
    format!("/sys/class/kp-{plugin}/kp-{}", node.trim_start_matches("/dev/kp/"))
}

fn one(machine: &dyn Machine, plugin: &str, node: String, group: Option<&str>) -> Result<(), Message> {
    let device = class_device(plugin, &node);
    let Ok(found) = machine.at(&node).metadata() else {
        let number = machine.text(&format!("{device}/dev")).unwrap_or_default().replace(':', " ");
        return Err(Message::NoNode { node, number });
    };
    let Some((group, number)) = group.and_then(|group| Some((group, groups::number(machine, group)?))) else {
        return Ok(());
    };
    let mode = found.mode();
    if mode & ALL == ALL || (found.gid() == number && mode & GROUP == GROUP) {
        return Ok(());
    }
    let why = if machine.has(rules::DAEMON) {
        let again = format!("`sudo udevadm trigger --subsystem-match=kp-{plugin}`");
        format!("{again} has the rules looked at again; `udevadm test {device}` shows which one has the last word")
    } else {
        format!(
            "no udevd runs here, which would let it in: `sudo chgrp {group} {node}` and `sudo chmod 660 {node}`, each time it is loaded"
        )
    };
    let found = format!("root:{} {:04o}", groups::name(machine, found.gid()), mode & 0o7777);
    Err(Message::NotLetIn { node, found, group: group.to_owned(), why })
}

/// The group that the rules which kp has made let in, of an installation's or a package's.
fn let_in(machine: &dyn Machine, plugin: &str) -> Option<String> {
    rules::FOLDERS.iter().find_map(|folder| {
        let names = machine.names(folder);
        let ours = names.iter().filter(|name| name.starts_with("70-kp-") && name.ends_with(".rules"));
        let mut texts = ours.filter_map(|name| machine.text(&format!("{folder}/{name}")));
        texts.find_map(|text| rules::group(&text, plugin).map(str::to_owned))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    const NODE: &str = "/dev/kp/card.0";

    /// A machine with a node of this mode, which `kp install` has let a group into.
    fn machine(mode: u32) -> Fake {
        let fake = Fake::new();
        fake.file("/sys/class/kp-card/kp-card.0/dev", "240:3\n");
        fake.file(NODE, "");
        set_mode(&fake, mode);
        fake.file("/etc/udev/rules.d/70-kp-card.rules", rules::text("card", true, Some("lab")).unwrap());
        fake.file("/etc/group", format!("root:x:0:\nlab:x:{}:\n", gid(&fake) + 1));
        fake
    }

    fn set_mode(fake: &Fake, mode: u32) {
        fs::set_permissions(fake.at(NODE), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn gid(fake: &Fake) -> u32 {
        fake.at(NODE).metadata().unwrap().gid()
    }

    fn refused(fake: &Fake) -> (u8, String) {
        let why = check(fake, "card").expect_err("it is refused");
        (why.exit() as u8, why.to_string())
    }

    #[test]
    fn a_group_that_may_not_open_the_node_yet_is_told_with_why_and_what_lets_it_in() {
        let fake = machine(0o600);
        let own = groups::name(&fake, gid(&fake));
        let start = format!("{NODE} is root:{own} 0600, so the group lab cannot open it: ");
        let by_hand = "no udevd runs here, which would let it in: `sudo chgrp lab /dev/kp/card.0` and `sudo chmod 660 /dev/kp/card.0`, each time it is loaded";
        assert_eq!(refused(&fake), (5, format!("{start}{by_hand}")));
        fake.file(rules::DAEMON, "");
        let again = "`sudo udevadm trigger --subsystem-match=kp-card` has the rules looked at again; `udevadm test /sys/class/kp-card/kp-card.0` shows which one has the last word";
        assert_eq!(refused(&fake), (5, format!("{start}{again}")));
        set_mode(&fake, 0o660);
        assert_eq!(refused(&fake).0, 5, "another group's");
        fake.file("/etc/group", format!("lab:x:{}:\n", gid(&fake)));
        assert_eq!(check(&fake, "card"), Ok(()));
        set_mode(&fake, 0o640);
        assert_eq!(refused(&fake).0, 5, "it may read alone");
        set_mode(&fake, 0o606);
        assert_eq!(check(&fake, "card"), Ok(()), "everybody may");
    }

    #[test]
    fn rules_of_a_package_are_held_to_the_same_and_those_of_other_plugins_to_nothing() {
        let fake = machine(0o600);
        fs::rename(fake.at("/etc/udev"), fake.at("/etc/other")).unwrap();
        assert_eq!(check(&fake, "card"), Ok(()), "nobody was let in");
        let folder = "/usr/lib/udev/rules.d";
        fake.file(&format!("{folder}/70-kp-card2-dkms.rules"), rules::text("card2", true, Some("lab")).unwrap());
        assert_eq!(check(&fake, "card"), Ok(()));
        fake.file(&format!("{folder}/70-kp-card-dkms.rules"), rules::text("card", true, Some("lab")).unwrap());
        assert_eq!(refused(&fake).0, 5);
    }

    #[test]
    fn a_node_that_dev_has_not_is_told_with_what_makes_it() {
        let fake = machine(0o600);
        fs::remove_dir_all(fake.at("/dev/kp")).unwrap();
        let make = "`sudo mkdir -p /dev/kp` and `sudo mknod -m 600 /dev/kp/card.0 c 240 3`";
        let text = format!(
            "the kernel has made {NODE}, and it is not in /dev, as no devtmpfs is mounted there: {make} make it"
        );
        assert_eq!(refused(&fake), (4, text));
    }
}
