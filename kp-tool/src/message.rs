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
        "nobody to ask: name the device, `--pci VENDOR:DEVICE`, `--qemu NAME`, or `--software` for a plugin without one";
    /// Nothing that is there is overwritten. A folder is used if it is empty.
    E002 FolderExists { path } InTheWay: "{path} exists and is not empty: choose another NAME, or `--path DIR`";
    /// The name becomes a Rust package, a module of Linux' (`kp-NAME.ko`), a service of Windows' and a device node (`/dev/kp/NAME.0`).
    E003 BadName { name, why, instead } Arguments: "`{name}`: {why}; try `{instead}`";
    /// Vendor and device as `lspci -n` prints them: two numbers of four hexadecimal digits, of which neither is ffff.
    E004 BadPciId { text } Arguments: "`{text}` is no PCI device: write VENDOR:DEVICE in hexadecimal, as in `--pci 1234:11e8`";
    /// Codes are printed with what is refused, as in `error[E004]`.
    E005 NoSuchCode { code } NotFound: "no error has the code `{code}`: it is in brackets, as in `error[E004]`";
    /// What a register file is, its name's ending says.
    E006 RegisterFileKind { file } Arguments: "{file}: registers are read from .csv, .svd, .xml (IP-XACT) and .hjson: give the file the ending of what it is";
    /// The file that `--registers`, or `[package.metadata.kp] registers` in the plugin's Cargo.toml, names.
    E007 NoRegisterFile { file, why } NotFound: "no register file {file} ({why}): name it as it is seen from here";
    /// The first line names the columns, in any order: Name, Offset, Access Mode and Size have to be there; Resource Name, Description, Fields,
    /// Reset, Write, Count and Stride may be. Others are passed over.
    E008 NoColumn { place, column, there } Arguments: "{place}: no column `{column}`; there are: {there}: rename the one that it is";
    /// A cell of a register file cannot be what its column says.
    E009 BadTable { place, why } Arguments: "{place}: {why}";
    /// A register is read and written whole: it lies at a multiple of its own length, and its fields inside of it.
    E010 BadRegister { place, name, why } Arguments: "{place}: {name}: {why}";
    /// Names of registers become names in Rust, in which `IRQ STATUS` and `irq_status` are one.
    E011 RegisterTwice { place, name, other } Arguments: "{place}: {name} is in line {other} already: give one of them another name";
    /// Two registers may share an offset if one of them is only read and the other only written.
    E012 RegistersOverlap { place, one, other } Arguments:
        "{place}: {one} overlaps {other}: correct one, or make one of them R and the other W";
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
    /// until the app says that it has served the card; `none` for cards that send messages and want no answer. All but `none` take a zero in the
    /// status for `not mine`. A card that rests at another value, as a 16550 whose IIR has bit 0 set if nothing interrupts, would claim what
    /// its neighbours on the line send: change the comparison in `int_at_irql`, and what the model in plugin/tests reads there.
    E017 NoIrqAck {} Arguments:
        "how is the interrupt acknowledged? Say `--irq-status REG` and `--irq-ack RECIPE`: REG=write-back, w1c, read-clears, REG=VALUE, REG=mask or none";
    /// A recipe is one of these six; `cargo kp --explain E017` says what each of them does.
    E018 BadIrqAck { text } Arguments: "--irq-ack `{text}` is no recipe: REG=write-back, w1c, read-clears, REG=VALUE, REG=mask or none";
    /// Every recipe but `none` asks the card whether it was its interrupt.
    E019 NoIrqStatus { text } Arguments: "--irq-ack {text} needs to know which register says that the card interrupts: add `--irq-status REG`";
    /// Bits of the one are written to the other.
    E020 IrqWidth { register, bits, status, other } Arguments:
        "--irq-ack: {register} has {bits} bits and {status} has {other}: name a register that is as wide";
    /// What the mask leaves is what interrupts, so it is read too.
    E021 IrqMaskUnreadable { register } Arguments:
        "--irq-ack {register}=mask: {register} can only be written: use --irq-enable and --irq-disable with another recipe";
    /// What is written has to fit the register. In place of a number stand fields of the register's, with `|` between them: all bits of each.
    E022 BadIrqValue { flag, value, bits, fields } Arguments: "{flag}: `{value}` is no number of {bits} bits: write it as 0x4 or 4{fields}";
    /// A message for each register is made by itself, so two may come to be called alike.
    E023 MessageTwice { name, one, other } Arguments:
        "registers {one} and {other} would both make a message `{name}`: rename one, or list those that get a message with --messages";
    /// A workspace is made in a folder of another name beside, and renamed when it is whole; that folder is removed again.
    E024 CannotWrite { path, why } Failed: "cannot write {path} ({why}); nothing is there of it";
    /// kp's crates are taken from a clone of kp, by `path`.
    E025 NoKp { path } NotFound: "no kp-core in {path}: name a clone of kp with --kp, or a version of its crates";
    /// Only a module's own file is installed or signed: ELF, with what the kernel's build says of it. Not an object, nor a packed file.
    E026 NoModule { file } Arguments: "{file} is no kernel module: name the .ko file that `cargo kp build` prints";
    /// A module of kp's says which plugin it is (`modinfo -F kp FILE`). Only such a module is installed: of others kp does not know the nodes.
    E027 NotKps { file } Arguments: "{file} is no plugin's module, or was built by an older kp: build it with this `cargo kp build`";
    /// The path is as it was given, from the folder that the command was started in.
    E028 NoFile { file, why } NotFound: "no file {file} ({why}): `cargo kp build` makes one, and prints its path";
    /// A module fits one release and flavour of the kernel. What `uname -r` prints has to be the first word of `modinfo -F vermagic FILE`.
    E029 WrongRelease { file, built, running } DoesNotFit:
        "{file} is built for {built}, this is {running}: build with `--target {running}`, or install the dkms package; nothing was changed";
    /// The module's code is another processor's.
    E030 WrongProcessor { file, built, running } DoesNotFit: "{file} is for {built}, this machine is {running}: build it for that one; nothing was changed";
    /// Files below /lib/modules, /etc and /var belong to root, and only root may load modules.
    E031 NeedsRoot { what, command } Denied: "{what} needs root: `sudo {command}`; nothing was changed";
    /// With Secure Boot, under lockdown or with module.sig_enforce=1, the kernel takes signed modules only.
    E032 Unsigned { file, why } Denied:
        "{why} and {file} is not signed: `cargo kp sign {file}`, then `sudo kp sign enroll` and restart; nothing was changed";
    /// The kernel knows the keys of its own build, of the firmware, and those that were enrolled at the machine's console (MOK). `cat /proc/keys` lists them, to root.
    E033 UntrustedKey { file, signer, enroll } Denied:
        "{file} is signed by {signer}, which this machine does not trust: `{enroll}`, restart, choose Enroll MOK; nothing was changed";
    /// The module's driver waits for a device: it gets one as soon as one is plugged in.
    E034 NotOnBus { module, devices } NotFound: "{module} is loaded and has no device: there is no {devices} on the bus; `kp scan` lists those that are";
    /// Linux gives a device to the first driver that takes it. `--take` unbinds it there, and sets its driver_override, so that it does not go back
    /// before the plugin is unloaded.
    E035 HeldByDriver { module, name, device, driver, address } InTheWay:
        "{module} is loaded and has no device: {device} is bound to `{driver}`; `kp load {name} --take {address}` unbinds it first";
    /// The plugin's `init` gave an error for the device, and so there is no node. The driver tries again when the device is bound anew.
    E036 InitRefused { module, device, line } NotFound:
        "{module} is loaded and has no device: `init` refused {device}; the log: \"{line}\"; what the plugin itself has logged stands above that in `dmesg`";
    /// Neither a driver nor a line of the log tells more. To other users than root the kernel may not show its log.
    E037 NotBound { module, device } NotFound: "{module} is loaded and has no device: no driver has {device}, and the log does not say why; see `sudo dmesg`";
    /// What a package installed is removed by the package's own tools: `apt-get purge`, `rpm -e`.
    E038 NotInstalled { name } NotFound: "kp has installed no plugin {name}: `kp list` names those that are there";
    /// One version of a plugin is installed at a time, and for one kernel. A DKMS package serves several kernels.
    E039 Installed { name, version } InTheWay: "{name} {version} is installed: `kp uninstall {name}` first; nothing was changed";
    /// A receipt that is not finished is there, as an installation or a removal was killed. It lists what there may be.
    E040 Unfinished { name } InTheWay: "installing or removing {name} was broken off: `kp uninstall {name}` removes what there is of it";
    /// kp overwrites no file, be it its own of another plugin.
    E041 NotOurs { path } InTheWay: "{path} is there, and this plugin's installation did not make it: move it away first; nothing was changed";
    /// The program belongs to the system's own tools for modules, groups or keys.
    E042 MissingProgram { program, package } Missing: "missing program: {program}: `apt-get install {package}`; nothing was changed";
    /// A module of this name was loaded by hand, or from another place.
    E043 Loaded { module, version, name } InTheWay: "{module} {version} is loaded already: `kp unload {name}` first; nothing was changed";
    /// The file was replaced, by a package for instance, while the module before it was loaded.
    E044 OtherVersion { module, loaded, installed, name } InTheWay: "{module} {loaded} is loaded, {installed} is installed: `kp reload {name}`";
    /// A module stays as long as a process has a node of it open. Other users' processes are seen by root alone.
    E045 InUse { name, users } InTheWay: "{name} is in use by {users}: close it, or `kp unload {name} --wait`";
    /// There is nothing to unload, or to reload.
    E046 NotLoaded { name } NotFound: "{name} is not loaded: `kp load {name}`";
    /// Looked for were kp-NAME.ko in `updates` and `extra` of /lib/modules/RELEASE, and what depmod has listed there.
    E047 NoSuchModule { name, release } NotFound: "no kp-{name}.ko is installed for {release}: `kp install FILE.ko`";
    /// One step of an installation failed: those before it were undone, last first, and the receipt is gone.
    E048 Undone { step, why } Failed: "cannot {step}: {why}; what was done before it is undone";
    /// One step of an installation failed, and then one of undoing it. The receipt is still there.
    E049 NotUndone { step, why, then, name } Failed: "cannot {step}: {why}; undoing failed too ({then}): `kp uninstall {name}` goes on with it";
    /// One step of a removal failed. The receipt is still there, and what is gone already is no hindrance.
    E050 NotRemoved { step, why, name } Failed: "cannot {step}: {why}; then `kp uninstall {name}` again, which goes on there";
    /// A group's name as groupadd takes it: 1 to 32 of a-z, 0-9, `_` and `-`, no digit first.
    E051 BadGroup { group } Arguments: "`{group}` is no name for a group: write it in small letters, as in `--group kp`";
    /// The receipt, /var/lib/kp/NAME.json, is not what kp has written there.
    E052 BadReceipt { path, why } Failed: "{path} cannot be read ({why}): restore it, or remove by hand the files that it names";
    /// The kernel did not load or unload the module, for another reason than those that kp knows.
    E053 ModuleFailed { what, why } Failed: "cannot {what}: {why}; see `sudo dmesg`";
    /// The module is loaded and bound to no such device: `--take` is about one that the module is made for.
    E054 NotTaken { module, address } NotFound: "{module} is not made for {address}: `kp scan` lists what is on the bus";
    /// Plugins are named by their files: kp-NAME.ko.
    E055 NoPlugin { name } NotFound: "no plugin {name} is installed or loaded: `kp list` names those that are";
    /// `--root` puts files below a folder that is there.
    E056 NoFolder { path, why } NotFound: "no folder {path} ({why}): make it first, as with `mkdir {path}`";
    /// Each `--deb` and each `--rpm` makes one package.
    E057 NoPackage {} Arguments: "no package is asked for: `--deb dkms`, `--deb KERNEL`, `--rpm dkms` or `--rpm KERNEL`";
    /// DKMS signs with a key of the machine's own, /var/lib/dkms/mok.key, and makes that with openssl when it builds, or from 3.1 on by `generate_mok`.
    /// What it could not sign it installs all the same. Without openssl, say, or the kernel's sign-file it cannot: what `dkms build` prints says so.
    E058 DkmsUnsigned { package, release, why } Denied:
        "{why}, and dkms built {package} for {release} and did not sign it: `sudo dkms generate_mok`, `sudo dkms build --force {package} -k {release}`, `sudo dkms install --force {package} -k {release}`, `sudo kp sign enroll --dkms`, then restart";
    /// A second key for the same machines would have to be enrolled on each of them too.
    E059 KeyExists { path } InTheWay: "{path} is there: sign with that one, or make another in another folder, `cargo kp sign init --dir DIR`";
    /// A key is two files: mok.key, which signs and stays secret, and mok.der, the certificate that machines enrol.
    E060 NoKey { path } NotFound: "no key {path}: `cargo kp sign init` makes one, `--key DIR` names the folder of another";
    /// Of two signatures the kernel looks at the last alone, and tools show that.
    E061 SignedAlready { file, signer } InTheWay: "{file} is signed already, by {signer}: build it again, then sign it";
    /// The kernel's own program signs: it is part of its headers. That of any version does.
    E062 NoSignFile { package } Missing: "no sign-file of a kernel's is here: `apt-get install {package}`";
    /// What openssl, sign-file or mokutil says stands in the line.
    E063 SignFailed { what, why } Failed: "cannot {what}: {why}";
    /// mokutil wants a password, which the machine asks for once more when it starts.
    E064 NoTerminal { command } Arguments: "mokutil asks for a password, and nobody is there to ask: run `{command}` at a terminal";
    /// Modules of the kernel's own, and those of DKMS beside them, may be packed by xz, zstd or gzip: that program unpacks them here.
    E065 NotUnpacked { file, why, package } Failed: "cannot unpack {file}: {why}; is {package} installed?";
    /// A module's file that was found or listed by depmod.
    E066 NotRead { file, why } Failed: "cannot read {file}: {why}; if it was removed, run `depmod`";
    /// A driver tells its messages by the request SCHEMA. One of an ABI before 1.4 has no such request, nor has a plugin without an
    /// interface, or one that is built with `schema = "none"` in `[package.metadata.kp]`.
    E067 NoSchema { name } NotFound: "{name} tells nobody its messages: `cargo kp schema` has them from the plugin's source";
    /// The bytes are of a later version of kp than this one, or the driver is none of kp's.
    E068 BadSchema { of, why } DoesNotFit: "what {of} tells is no schema ({why}): take a `kp` that is as new as the driver";
    /// The device's node is opened for reading and writing, as apps do.
    E069 NotOpened { why } NotFound: "{why}";
    /// See the rules of udev that are beside a module that `cargo kp build` has made.
    E070 NotAllowed { why } Denied: "{why}";
    /// A plugin has 1 to 31 of a-z, 0-9, `_` and `-`; a dot and a number name one of its devices.
    E071 BadPluginName { why } Arguments: "{why}";
    /// A plugin without `interface` in its `plugin!` lines takes calls as bytes, of which nobody but its own code knows anything.
    E072 NoInterface { plugin } NotFound: "{plugin} has no interface: declare its messages by `kp_abi::interface!`, and name them in `plugin!`";
    /// A flag of `cargo kp new` names one register. Where two BARs have one of that name, the BAR stands before it.
    E073 RegisterInTwoBars { flag, name, bars } Arguments: "{flag}: {name} is in {bars}: say which, as in BAR2.{name}";
    /// A process listens at the socket, or the path is no socket. One that was left behind by a process that is gone is replaced.
    E074 SocketThere { path } InTheWay: "{path} is there already: end who listens there, or name another socket with --listen";
    /// `cargo kp sim` needs something that behaves as the card does: a type that implements `kp_sim::device::DeviceModel` and has `new()`. That is
    /// `Model` in a file of the plugin's, seen from its folder, or one of kp-sim's own, `"kp_sim::edu::Edu"`.
    E075 NoModel { plugin } NotFound:
        "{plugin} drives a device, and names no model of it: add `model = \"tests/model/mod.rs\"` under [package.metadata.kp] of its Cargo.toml";
    /// The file that `[package.metadata.kp] model` in the plugin's Cargo.toml names, seen from the plugin's folder.
    E076 NoModelFile { file, plugin } NotFound: "no file {file}: correct `model` under [package.metadata.kp] of {plugin}'s Cargo.toml";
    /// The plugin, or its model, is compiled for this machine first.
    E077 DoesNotCompile { plugin } Failed: "{plugin} doesn't compile: correct what the compiler says above";
    /// `cargo kp bindings` writes an interface's bindings; `--check` only compares. An app whose bindings are of another interface is refused by
    /// the driver, unless the driver has the same messages and more.
    E078 BindingsStale { file, why, again } Failed: "{file} {why}: `{again}`";
    /// `--schema` names a file with one JSON object, `kp-schema/1`: docs/schema.md says what is in it.
    E079 NoSchemaFile { file, why } NotFound: "no schema file {file} ({why}): `cargo kp schema -p PLUGIN --json > {file}` makes one";
    /// Files that replace others are written beside them first. If one of them cannot be, none is replaced.
    E080 NotReplaced { path, why } Failed: "cannot write {path} ({why}); what was there is as it was";
    /// A register lies whole inside of its BAR. How long that is, `kp scan` and QEMU say.
    E081 BeyondBar { place, name, offset, bar } Arguments:
        "{place}: {name} at {offset} ends beyond {bar}: another BAR, or a wrong offset";
    /// A BAR's number is that of its base address register, as `kp scan` prints it: one of 64 bits takes two numbers, and the second is no BAR.
    E082 NoSuchBar { file, bar, of, there } Arguments: "{file}: registers in BAR {bar}, which {of} has not: there is {there}; name another";
    /// An x86 processor reads and writes ports by 8, 16 and 32 bits.
    E083 WidePort { place, name, bar, of } Arguments:
        "{place}: {name} has 64 bits, and BAR {bar} is of ports in {of}, of 32 at most: make two registers of it";
    /// `none` is for messages, each of which is one interrupt. A line stays raised until the card is told.
    E084 NoMessages { of } Arguments: "--irq-ack none: {of} sends no messages, and its line has to be acknowledged: name another recipe";
    /// Neither a pin of a line is in its configuration space, nor a capability of messages.
    E085 NoInterrupt { flag, of } Arguments: "{flag}: {of} has no interrupt: leave the flag out";
    /// What `kp scan --json` prints is an object with `"format": "kp-scan/1"`.
    E086 BadScan { file, why } Arguments: "{file}: {why}: `sudo kp scan --json > FILE` makes one, on the card's machine";
    /// As for the file, `sudo kp scan --json > FILE` makes it on the machine that the card is in.
    E087 NoScan { file, why } NotFound: "no file {file} ({why}): `sudo kp scan --json > FILE` makes one, on the card's machine";
    /// One workspace is made for one card, and a scan lists all devices of a machine.
    E088 SeveralScanned { file, there } Arguments: "{file} has several devices: name one, as in --scan {file}#ADDRESS; there are {there}";
    /// An address is that of `kp scan`, as in `0000:00:04.0`, or without its first part.
    E089 NotScanned { of, address, there } NotFound: "{of} has no device at {address}; there are {there}";
    /// `qemu-system-x86_64 -device help` lists them.
    E090 NoQemuDevice { name, alike } NotFound: "QEMU has no device `{name}`: {alike}";
    /// What QEMU says stands in the line. `qemu-system-x86_64 -device NAME,help` lists a device's options.
    E091 QemuRefused { device, why } Arguments: "QEMU does not make `{device}` ({why}): its options are listed by `qemu-system-x86_64 -device NAME,help`";
    /// A plugin drives a function of PCI, or no device.
    E092 NotPci { name } Arguments: "QEMU's `{name}` is not on its PCI bus: name a device that is, or --software";
    /// Linux shows its devices in /sys; elsewhere a scan's file serves.
    E093 NoSysfs {} Arguments: "--from-device is for Linux: take --scan, with a file that `kp scan --json` has made, or --pci";
    /// The readers of .svd, .xml and .hjson are a feature of the crate cargo-kp, which `cargo install` leaves out unless it is told to.
    E094 NoReader { file } Missing:
        "{file}: this `cargo kp` is without its reader: `cargo install --locked --path kp/cargo-kp --features readers`, in a folder with a clone of kp";
    /// A block of registers is an SVD's peripheral, an IP-XACT's address block, or an interface of regtool's.
    E095 BadPlace { text } Arguments: "--bar `{text}`: write BLOCK=N or BLOCK=N+OFFSET, as in `--bar REGS=0` or `--bar DMA=2+0x1000`";
    /// Blocks are named as in the file; capitals and blanks make no difference.
    E096 NoBlock { block, file, there } Arguments: "--bar {block}: {file} has no such block, or it is named twice; there are {there}";
    /// Addresses in such a file are those of a processor's bus, and say nothing of BARs. A block that no --bar names is left out.
    E097 WhichBar { file, blocks, first } Arguments: "{file} has the blocks {blocks}: say in which BAR those are that the plugin needs, as in `--bar {first}=0`";
    /// The name becomes that of a module in `registers.rs`.
    E098 BadBarName { name, why } Arguments: "--registers {name}=…: {why}";
    /// A table says in each of its lines which BAR the register is in.
    E099 PlacesOfTable { file } Arguments: "--bar is for the blocks of .svd, .xml and .hjson: in {file} the column `Resource Name` says the BAR";
    /// The questions are a feature of the crate cargo-kp, which `cargo install` leaves out unless it is told to. Every answer is a flag as well.
    E100 NoWizard {} Missing:
        "this `cargo kp` asks nothing: name the device, as for `--pci VENDOR:DEVICE`, or `cargo install --locked --path kp/cargo-kp --features wizard`, in a folder with a clone of kp";
    /// Escape, or the end of the terminal. Nothing is written before the last question is answered.
    E101 BrokenOff { why } Failed: "{why}: nothing is written; every answer is a flag too: `cargo kp new --help`";
    /// modprobe and udev find modules in lists that depmod makes. A package's script that found no kernel to make them for has left them out.
    E102 NotIndexed { file, name } Failed: "{file} is there, and modprobe does not know of it: `sudo depmod`, then `kp load {name}`";
    /// A rule for udev lets a group use the nodes. Until udev has looked at it, or where none runs, the nodes are root's alone: the kernel makes them so.
    E103 NotLetIn { node, found, group, why } Denied: "{node} is {found}, so the group {group} cannot open it: {why}";
    /// The kernel makes the nodes itself, in the file system devtmpfs. In a container, say, /dev is another one.
    E104 NoNode { node, number } NotFound:
        "the kernel has made {node}, and it is not in /dev, as no devtmpfs is mounted there: `sudo mkdir -p /dev/kp` and `sudo mknod -m 600 {node} c {number}` make it";
    /// udev finds the module of a device in a list of aliases, which depmod makes of all modules.
    E105 NotListed { file } Failed: "{file} is loaded, and depmod has not listed it, so that nothing loads it at the next start: `sudo depmod`";
    /// Each register is written once, in `int_arm` or `int_disarm` of the plugin's source.
    E106 WrittenTwice { flag, name } Arguments:
        "{flag}: {name} is named twice: name it once, by what stays there, and write what comes before it in the plugin's source";
    /// A device's driver_override names the one driver that may have it, as tools for vfio set it. Nobody has it meanwhile.
    E107 KeptForDriver { module, device, driver, take } InTheWay:
        "{module} is loaded and has no device: {device} is kept for `{driver}` by its driver_override; `{take}` takes it";
    /// In a clone of kp `cargo kp` is its own tool, by an alias in .cargo/config.toml. That alias is there in each folder below, where it asks for a
    /// package that another workspace has not, and it is stronger than an installed `cargo kp`.
    E108 InClone { path, clone } Arguments:
        "{path} would lie in a clone of kp, where `cargo kp` is the clone's own: `cargo install --locked --path {clone}/cargo-kp`, then `cargo kp new` in a folder outside";
    /// The name is that of the module, of the device node and of the folder. Only at a terminal, and if the tool is built with its feature
    /// `wizard`, it is asked for.
    E109 NoName { rest } Arguments: "NAME is missing, what the plugin is to be called: as in `cargo kp new card{rest}`";
    /// DKMS, Debian's packages and RPM's install modules of Linux'. A driver for Windows is installed by its INF.
    E110 PackageOfWindows { name } Arguments:
        "packages are for Linux, and {name} is not: `cargo kp build --target {name}` makes the driver and the INF that installs it";
    /// What builds, tests and boots works on the plugins of a Cargo workspace, which is looked for from this folder upwards.
    E111 NoWorkspace { folder } NotFound:
        "no Cargo workspace in {folder}: `cd` to the plugin's, or make one: `cargo kp new NAME --pci VENDOR:DEVICE`";
    /// Two copies of one module, and of its rules, would be there: which of them is loaded depmod decides. What a package has installed its own tools remove.
    E112 Packaged { path, owner, remove } InTheWay: "{path} is of {owner}: `{remove}` first; nothing was changed";
    /// `kp load --take` keeps a device for a plugin by the device's driver_override. Clearing that, or having the kernel look for its driver, failed.
    E113 NotGivenBack { name, step, why } Failed: "{name} is unloaded, and a device that it took is kept for it: cannot {step}: {why}; `kp unload {name}` tries again";
    /// The kernel's name for a module is written into it when it is built (`modinfo -F name FILE`). The file's name has to be the same, but for
    /// dashes in place of underscores: by that modprobe finds it, and all that kp installs goes by it.
    E114 Renamed { file, module, right } Arguments:
        "{file} was renamed, as the kernel calls this module {module}: rename it to {right}; nothing was changed";
    /// `kp install` puts a module where one kernel finds it. After an upgrade of the kernel another one runs, which has none. A DKMS package has
    /// a module built for each kernel.
    E115 OtherRelease { name, built, running } DoesNotFit:
        "{name} is installed for {built}, this is {running}: `kp uninstall {name}`, then install one that is built with `--target {running}`, or the dkms package";
    /// The receipt names each file that was made. One that was changed may be meant so; one that is gone may be all that loads the plugin.
    E116 Gone { path, name } NotFound: "{path} is gone, with which {name} was installed: `kp uninstall {name}`, then install it again";
    /// Receipts are for everybody to read, but for those that a kp before this one has made for a root whose umask is 077.
    E117 ReceiptDenied { path } Denied: "{path} is not for this user to read: the same command again, with `sudo`; nothing was changed";
    /// A machine trusts a key by its certificate, mok.der, which is no secret. `cargo kp sign init` makes both where plugins are built.
    E118 NoCertificate { path } NotFound:
        "no certificate {path}: copy the mok.der that `cargo kp sign init` has made to this machine, and name it, as in `sudo kp sign enroll mok.der`";
    /// DKMS makes its key when it builds, or from 3.1 on by `generate_mok`; either needs openssl. What it has built before is not signed by it. Ubuntu's
    /// signs with another one: `sudo kp sign enroll /var/lib/shim-signed/mok/MOK.der`.
    E119 NoDkmsKey { path } NotFound:
        "no {path}: `sudo dkms generate_mok` makes it with its key; then `sudo dkms build --force NAME/VERSION` and `sudo dkms install --force NAME/VERSION` for what it is to sign";
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
