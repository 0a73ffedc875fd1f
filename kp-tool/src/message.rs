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
    /// What a register file is, its name's ending says.
    E006 RegisterFileKind { file } Arguments: "{file}: registers are read from a table, NAME.csv: give the file that ending, or make one of it";
    /// The file that `--registers`, or `[package.metadata.kp] registers` in the plugin's Cargo.toml, names.
    E007 NoRegisterFile { file, why } NotFound: "no register file {file} ({why}): name it as it is seen from here";
    /// The first line names the columns, in any order: Name, Offset, Access Mode and Size have to be there; Resource Name, Description, Fields,
    /// Reset, Write and Count may be. Others are passed over.
    E008 NoColumn { place, column, there } Arguments: "{place}: no column `{column}`; there are: {there}: rename the one that it is";
    /// A cell of a register file cannot be what its column says.
    E009 BadTable { place, why } Arguments: "{place}: {why}";
    /// A register is read and written whole: it lies at a multiple of its own length, and its fields inside of it.
    E010 BadRegister { place, name, why } Arguments: "{place}: {name}: {why}";
    /// Names of registers become names in Rust, in which `IRQ STATUS` and `irq_status` are one.
    E011 RegisterTwice { place, name, other } Arguments: "{place}: {name} is in line {other} already: give one of them another name";
    /// Two registers may share an offset if one of them is only read and the other only written.
    E012 RegistersOverlap { place, name, span, other, other_span } Arguments:
        "{place}: {name} ({span}) overlaps {other} ({other_span}): correct one, or make one of them R and the other W";
    /// `cargo kp regs` writes `src/registers.rs`; `--check` only compares.
    E013 RegistersStale { file, from, plugin } Failed: "{file} is not what {from} makes: `cargo kp regs -p {plugin}`";
    /// The plugin's Cargo.toml says where its registers come from, seen from its own folder.
    E014 NoRegistersNamed { plugin } NotFound:
        "{plugin} names no register file: add `registers = \"../registers/FILE.csv\"` under [package.metadata.kp] of its Cargo.toml";
    /// A register that is named by a flag of `cargo kp new` has to be in the register file, and be no array.
    E015 NoRegister { flag, name, there } Arguments: "{flag}: no register `{name}`: {there}";
    /// What the interrupt handler writes to has to be RW or W in the register file.
    E016 RegisterReadOnly { flag, name } Arguments: "{flag}: {name} can only be read: name one that is written, or correct its Access Mode";
    /// An interrupt that nothing acknowledges hangs the machine if it comes by a line. The ways: `REG=write-back` writes the bits that were read
    /// to REG; `w1c` writes them to the status itself; `read-clears`: reading the status has done it; `REG=0x1` writes that value; `REG=mask` masks
    /// until the app says that it has served the card; `none` for cards that send messages and want no answer.
    E017 NoIrqAck {} Arguments:
        "how is the interrupt acknowledged? Say `--irq-status REG` and `--irq-ack RECIPE`: REG=write-back, w1c, read-clears, REG=VALUE, REG=mask or none";
    /// See E017 for what each recipe does.
    E018 BadIrqAck { text } Arguments: "--irq-ack `{text}` is no recipe: REG=write-back, w1c, read-clears, REG=VALUE, REG=mask or none";
    /// Every recipe but `none` asks the card whether it was its interrupt.
    E019 NoIrqStatus { text } Arguments: "--irq-ack {text} needs to know which register says that the card interrupts: add `--irq-status REG`";
    /// Bits of the one are written to the other.
    E020 IrqWidth { register, bits, status, other } Arguments:
        "--irq-ack: {register} has {bits} bits and {status} has {other}: name a register that is as wide";
    /// What the mask leaves is what interrupts, so it is read too.
    E021 IrqMaskUnreadable { register } Arguments:
        "--irq-ack {register}=mask: {register} can only be written: use --irq-enable and --irq-disable with another recipe";
    /// What is written has to fit the register.
    E022 BadIrqValue { flag, value, bits } Arguments: "{flag}: `{value}` is no number of {bits} bits: write it as 0x4 or 4";
    /// A message for each register is made by itself, so two may come to be called alike.
    E023 MessageTwice { name, one, other } Arguments:
        "registers {one} and {other} would both make a message `{name}`: rename one, or list those that get a message with --messages";
    /// Nothing was written.
    E024 CannotWrite { path, why } Failed: "cannot write {path} ({why}); nothing is there of it";
    /// kp's crates are taken from a clone of kp, by `path`.
    E025 NoKp { path } NotFound: "no kp-core in {path}: name a clone of kp with --kp, or a version of its crates";
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
