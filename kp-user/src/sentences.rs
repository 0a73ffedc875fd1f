//! What a person is told of a plugin that could not be opened. kp's bindings for other languages are made of the same texts.
//!
//! What stands between braces is filled in: `{plugin}` by the plugin's name, `{module}` by its module's, `{group}` by that of a node's group,
//! `{place}` by what was to be opened, `{why}` by what the system says.

/// A text for each system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// On Linux.
    pub linux: &'static str,
    /// On Windows.
    pub windows: &'static str,
}

/// The same on each.
const fn everywhere(text: &'static str) -> Sentence {
    Sentence { linux: text, windows: text }
}

/// On Linux alone.
const fn on_linux(text: &'static str) -> Sentence {
    Sentence { linux: text, windows: "" }
}

/// What is no plugin's name.
pub const BAD_NAME: Sentence =
    everywhere("not a plugin's name: use one such as `edu`, or `edu.1` for one of its devices");

/// There is no node, nor a module that could have made one.
pub const NO_NODE: Sentence = Sentence {
    linux: "no such device node: is the module loaded? `kp load {plugin}`, or `insmod kp-{plugin}.ko`",
    windows: "no such device: is the driver loaded? `sc start kp-{plugin}`, or install kp-{plugin}.inf",
};

/// There is no node, though there is a module.
pub const NO_NODE_OF_LOADED: Sentence = Sentence {
    linux: "no such device node, though {module} is loaded: there is no such device, or the plugin refused it; see `lspci -nnk` and `dmesg`",
    windows: "no such device, though kp-{plugin} is loaded: there is no such device, or the plugin refused it; see Device Manager and the debugger's output",
};

/// Nobody but root, or an administrator, may open it.
pub const DENIED: Sentence = Sentence {
    linux: "permission denied: run as root, or let a group in: `kp install kp-{plugin}.ko --group GROUP`, or a udev rule: \
            SUBSYSTEM==\"kp-{plugin}\", GROUP=\"GROUP\", MODE=\"0660\"",
    windows: "access denied: run as administrator",
};

/// A group may open it, and this process is not in it. A process has the groups of when its user logged in.
pub const NOT_IN_GROUP: Sentence = on_linux(
    "permission denied: root and the group {group} may open it: join that by `sudo usermod -aG {group} $USER`, and log in again",
);

/// The node's mode was not even looked at.
pub const NOT_PERMITTED: Sentence = on_linux(
    "not permitted to this process, whoever its user is: give the node to its container, as by `--device {place}`, or see what the security module says",
);

/// What `KP_NODE` names is no simulator's.
pub const NO_SOCKET: Sentence = on_linux(
    "KP_NODE names this socket, and no plugin answers there ({why}): start `cargo kp sim -p {plugin} --listen {place}`, or unset KP_NODE",
);

/// All of them, by their names.
pub const ALL: &[(&str, Sentence)] = &[
    ("bad_name", BAD_NAME),
    ("no_node", NO_NODE),
    ("no_node_of_loaded", NO_NODE_OF_LOADED),
    ("denied", DENIED),
    ("not_in_group", NOT_IN_GROUP),
    ("not_permitted", NOT_PERMITTED),
    ("no_socket", NO_SOCKET),
];

/// A text in pieces: what stands as it is, and the name of what is filled in behind it.
pub fn pieces(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    text.split('}').map(|piece| match piece.split_once('{') {
        Some((before, name)) => (before, Some(name)),
        None => (piece, None),
    })
}

/// The text with its names filled in, as by `("plugin", "edu")`.
#[must_use]
pub fn filled(text: &str, by: &[(&str, &str)]) -> String {
    let value = |name: &str| by.iter().find(|(own, _)| *own == name).map_or("?", |(_, value)| *value);
    pieces(text).map(|(before, name)| format!("{before}{}", name.map_or("", value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_is_not_looked_at_again() {
        let text = "{plugin}: {why}, `{place}`.";
        assert_eq!(filled(text, &[("plugin", "{why}"), ("why", "no"), ("place", "/{x}")]), "{why}: no, `/{x}`.");
    }

    #[test]
    fn every_name_is_one_that_is_filled_in() {
        let known = ["plugin", "module", "group", "place", "why"];
        for (sentence, Sentence { linux, windows }) in ALL {
            for name in [linux, windows].into_iter().flat_map(|text| pieces(text)).filter_map(|(_, name)| name) {
                assert!(known.contains(&name), "{sentence}: {{{name}}}");
            }
        }
    }
}
