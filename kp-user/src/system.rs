//! The words in which a person is told what to do.
use crate::sentences::{Sentence, filled};

/// An operating system with kp drivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum System {
    Linux,
    Windows,
}

impl System {
    /// The one that this program runs on. Elsewhere there are no drivers, and the simulator speaks as Linux does.
    pub(crate) const HERE: Self = if cfg!(windows) { Self::Windows } else { Self::Linux };

    /// What an app opens.
    pub(crate) fn node(self) -> &'static str {
        match self {
            Self::Linux => "device node",
            Self::Windows => "device",
        }
    }

    /// What names it.
    pub(crate) fn place(self) -> &'static str {
        match self {
            Self::Linux => "path",
            Self::Windows => "name",
        }
    }

    /// What a plugin is in the kernel.
    pub(crate) fn module(self) -> &'static str {
        match self {
            Self::Linux => "module",
            Self::Windows => "driver",
        }
    }

    /// The kernel's name of a plugin that is loaded: of its module, or of its service.
    pub(crate) fn loaded(self, plugin: &str) -> String {
        match self {
            Self::Linux => format!("kp_{}", plugin.replace('-', "_")),
            Self::Windows => format!("kp-{plugin}"),
        }
    }

    /// Where the driver says more.
    pub(crate) fn log(self) -> &'static str {
        match self {
            Self::Linux => "`dmesg`",
            Self::Windows => "the debugger's output",
        }
    }

    /// Where a person sees which devices there are, and what drives them.
    pub(crate) fn devices(self) -> &'static str {
        match self {
            Self::Linux => "`lspci -nnk`",
            Self::Windows => "Device Manager",
        }
    }

    /// How a plugin is loaded.
    pub(crate) fn load(self, plugin: &str) -> String {
        match self {
            Self::Linux => format!("`kp load {plugin}`, or `insmod kp-{plugin}.ko`"),
            Self::Windows => format!("`sc start kp-{plugin}`, or install kp-{plugin}.inf"),
        }
    }

    /// How a plugin is unloaded and loaded again. On Windows it may not unload, if handles of it are still open.
    pub(crate) fn load_anew(self, plugin: &str) -> String {
        match self {
            Self::Linux => {
                format!("`kp reload {plugin}`, or `rmmod {}` and `insmod kp-{plugin}.ko`", self.loaded(plugin))
            }
            Self::Windows => "boot Windows again".into(),
        }
    }

    /// A sentence, with what is filled in.
    pub(crate) fn say(self, sentence: Sentence, by: &[(&str, &str)]) -> String {
        let text = match self {
            Self::Linux => sentence.linux,
            Self::Windows => sentence.windows,
        };
        filled(text, by)
    }
}
