//! The catalogue of messages: what is refused, in which words, and with which exit code.

use std::fmt;

/// What a program of kp exits with. 0 is: done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// A build, a test or a judged run failed, or whatever has no code of its own.
    Failed = 1,
    /// Wrong arguments, or a question with nobody to ask.
    Arguments = 2,
    /// A package or program is missing.
    Missing = 3,
    /// No such plugin, device or file.
    NotFound = 4,
    /// Rights, lockdown, a signature.
    Denied = 5,
    /// In use, or in the way: it exists, is loaded, is bound by another driver.
    InTheWay = 6,
    /// It does not fit: the kernel's release, an interface, the ABI, the processor.
    DoesNotFit = 7,
}

/// Makes [`Message`] of the catalogue's entries: the code, the name and its texts; the exit code; what is printed; what `--explain`
/// prints beside.
macro_rules! catalogue {
    ($(
        $(#[doc = $explanation:literal])+
        $code:ident $name:ident { $($field:ident),* } $exit:ident : $text:literal;
    )+) => {
        /// Something that is refused. It prints as one line, which says what to do.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Message {
            $(
                $(#[doc = $explanation])+
                $name {
                    $(#[doc = concat!("What stands at `{", stringify!($field), "}` in the line.")] $field: String),*
                },
            )+
        }

        impl Message {
            /// Its code, such as `E001`.
            #[must_use]
            pub fn code(&self) -> &'static str {
                match self { $(Message::$name { .. } => stringify!($code),)+ }
            }

            /// What a program that prints it exits with.
            #[must_use]
            pub fn exit(&self) -> Exit {
                match self { $(Message::$name { .. } => Exit::$exit,)+ }
            }

            /// More of what a code means, as `--explain` prints it.
            ///
            /// # Errors
            /// [`Message::NoSuchCode`].
            pub fn explain(code: &str) -> Result<String, Message> {
                let lines: &[&str] = match code {
                    $(stringify!($code) => &[$($explanation),+],)+
                    _ => return Err(Message::NoSuchCode { code: code.to_owned() }),
                };
                Ok(lines.iter().map(|line| format!("{}\n", line.trim())).collect())
            }

            /// Every code of the catalogue, in its order.
            pub const CODES: &[&str] = &[$(stringify!($code)),+];
        }

        impl fmt::Display for Message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $(Message::$name { $($field),* } => write!(f, $text),)+ }
            }
        }
    };
}

impl std::error::Error for Message {}

catalogue! {
    /// `cargo kp new` without a source of facts asks for one, which needs a terminal. Every answer is a flag as well.
    E001 NobodyToAsk {} Arguments:
        "nobody to ask: name the device, `--pci VENDOR:DEVICE`, or `--software` for a plugin without one";
    /// Nothing that is there is overwritten. A folder is used if it is empty.
    E002 FolderExists { path } InTheWay: "{path} exists and is not empty: choose another NAME, or `--path DIR`";
    /// The name becomes a Rust package, a module of Linux' (`kp-NAME.ko`), a service of Windows' and a device node (`/dev/kp/NAME.0`).
    E003 BadName { name, why, instead } Arguments: "`{name}`: {why}; try `{instead}`";
    /// Vendor and device as `lspci -n` prints them: two numbers of four hexadecimal digits, of which neither is ffff.
    E004 BadPciId { text } Arguments: "`{text}` is no PCI device: write VENDOR:DEVICE in hexadecimal, as in `--pci 1234:11e8`";
    /// Codes are printed with what is refused, as in `error[E004]`.
    E005 NoSuchCode { code } NotFound: "no error has the code `{code}`: it is in brackets, as in `error[E004]`";
    /// A driver tells its messages by the request SCHEMA. One of an ABI before 1.4 has no such request, nor has a plugin without an
    /// interface, or one that is built with `schema = "none"` in `[package.metadata.kp]`.
    E006 NoSchema { name } NotFound: "{name} tells nobody its messages: `cargo kp schema` has them from the plugin's source";
    /// The bytes are of a later version of kp than this one, or the driver is none of kp's.
    E007 BadSchema { of, why } DoesNotFit: "what {of} tells is no schema ({why}): take a `kp` that is as new as the driver";
    /// The device's node is opened for reading and writing, as apps do.
    E008 NotOpened { why } NotFound: "{why}";
    /// See the rules of udev that are beside a module that `cargo kp build` has made.
    E009 NotAllowed { why } Denied: "{why}";
    /// A plugin has 1 to 31 of a-z, 0-9, `_` and `-`; a dot and a number name one of its devices.
    E010 BadPluginName { why } Arguments: "{why}";
    /// A plugin without `interface` in its `plugin!` lines takes calls as bytes, of which nobody but its own code knows anything.
    E011 NoInterface { plugin } NotFound: "{plugin} has no interface: declare its messages by `kp_abi::interface!`, and name them in `plugin!`";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_each_is_explained() {
        for (index, code) in Message::CODES.iter().enumerate() {
            assert_eq!(*code, format!("E{:03}", index + 1));
            assert!(Message::explain(code).is_ok_and(|text| text.len() > 40), "{code}");
        }
        let none = Message::explain("E999").expect_err("there is none");
        assert_eq!(none.to_string(), "no error has the code `E999`: it is in brackets, as in `error[E004]`");
    }

    #[test]
    fn a_message_is_one_line_that_says_what_to_do() {
        let exists = Message::FolderExists { path: "card".into() };
        assert_eq!(exists.to_string(), "card exists and is not empty: choose another NAME, or `--path DIR`");
        assert_eq!((exists.code(), exists.exit() as u8), ("E002", 6));
    }
}
