//! What `cargo kp new` asks, one question after the other. Each answer is a flag, and without an answer there is nothing to do but name it.
use super::apps::App;
use super::card::Card;
use super::{NewArgs, irq, name, pci_id, qemu};
use crate::registers::{self, Block, Registers, Source};
use anyhow::Result;
use clap::ValueEnum;
use inquire::validator::Validation;
use inquire::{Confirm, InquireError, MultiSelect, Select, Text};
use kp_tool::Message;
use kp_tool::found::Found;
use std::fmt;

/// Asks for whatever the flags leave open.
pub fn complete(mut args: NewArgs) -> Result<NewArgs> {
    if !args.has_source() {
        device(&mut args)?;
    }
    let card = args.card()?;
    if let Some(card) = &card {
        card.lines().iter().for_each(|line| eprintln!("  {line}"));
    }
    if args.name.is_none() {
        args.name = Some(text("Name?", "card", name::check)?);
    }
    if !args.software {
        let registers = registers(&mut args)?;
        if args.said().flag().is_none() && !registers.blocks.is_empty() && !card.is_some_and(|card| card.has_none()) {
            interrupt(&mut args, &registers.blocks)?;
        }
    }
    if args.apps == [App::Rust] {
        let others = App::value_variants().iter().filter(|app| **app != App::Rust);
        let choices = others.map(|app| choice(language(*app), *app)).collect();
        let chosen = answer(MultiSelect::new("Apps beside the one in Rust?", choices).prompt())?;
        args.apps.extend(chosen.into_iter().map(|choice| choice.is));
    }
    Ok(args)
}

/// Whether the files are to be written, with the command that makes the same.
pub fn confirm(args: &NewArgs, files: usize, folder: &str) -> Result<bool> {
    eprintln!("  {files} files in {folder}. The same without questions:");
    println!("    {}", command(args));
    answer(Confirm::new("Write them?").with_default(true).prompt())
}

/// The command that does the same as some arguments, without a question.
pub fn command(args: &NewArgs) -> String {
    let mut words = vec!["cargo kp new".to_owned(), args.name.clone().unwrap_or_default()];
    let mut flag = |flag: &str, value: Option<&str>| {
        words.extend(value.map(|value| format!("{flag} {}", quoted(value))));
    };
    args.pci.iter().for_each(|id| flag("--pci", Some(id)));
    let folder = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
    flag("--from-device", args.from_device.as_deref());
    flag("--root", folder(&args.root).as_deref().filter(|_| args.from_device.is_some()));
    flag("--scan", args.scan.as_deref());
    flag("--qemu", args.qemu.as_deref());
    flag("--registers", args.registers.as_deref());
    args.bar.iter().for_each(|bar| flag("--bar", Some(bar)));
    flag("--irq-status", args.irq_status.as_deref());
    flag("--irq-ack", args.irq_ack.as_deref());
    args.irq_enable.iter().for_each(|written| flag("--irq-enable", Some(written)));
    args.irq_disable.iter().for_each(|written| flag("--irq-disable", Some(written)));
    flag("--irq-raise", args.irq_raise.as_deref());
    flag("--messages", args.messages.as_deref());
    let apps: Vec<String> = args.apps.iter().map(|app| language(*app)).collect();
    flag("--apps", Some(apps.join(",")).filter(|_| args.apps != [App::Rust]).as_deref());
    flag("--license", Some(args.license.as_str()).filter(|license| *license != "MIT"));
    flag("--author", args.author.as_deref());
    flag("--path", folder(&args.path).as_deref());
    flag("--kp", args.kp.as_deref());
    let switches =
        [("--software", args.software), ("--git", args.git), ("--no-git", args.no_git), ("--no-irq", args.no_irq)];
    words.extend(switches.iter().filter(|(_, on)| *on).map(|(switch, _)| (*switch).to_owned()));
    words.join(" ")
}

/// A language, as the flag has it.
fn language(app: App) -> String {
    app.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// A word as a shell takes it for one.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:,=+%@".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// One of several things to choose.
#[derive(Clone)]
struct Choice<T> {
    shown: String,
    is: T,
}

impl<T> fmt::Display for Choice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

fn choice<T>(shown: impl Into<String>, is: T) -> Choice<T> {
    Choice { shown: shown.into(), is }
}

/// An answer, or that there was none.
fn answer<T>(answered: Result<T, InquireError>) -> Result<T> {
    Ok(answered.map_err(|error| match error {
        InquireError::NotTTY => Message::NobodyToAsk {},
        error => Message::BrokenOff { why: error.to_string() },
    })?)
}

fn select<T>(question: &str, choices: Vec<Choice<T>>) -> Result<T> {
    Ok(answer(Select::new(question, choices).with_page_size(12).prompt())?.is)
}

/// A text that may be left as it is, of which a check says what is wrong with it.
fn text(
    question: &str,
    default: &str,
    check: impl Fn(&str) -> Result<(), Message> + Clone + 'static,
) -> Result<String> {
    let valid = move |text: &str| match check(text) {
        Ok(()) => Ok(Validation::Valid),
        Err(why) => Ok(Validation::Invalid(why.to_string().into())),
    };
    answer(Text::new(question).with_default(default).with_validator(valid).prompt())
}

/// Where the facts come from.
#[derive(Clone)]
enum From {
    Device(String),
    Scan,
    Qemu,
    Numbers,
    Nothing,
}

fn device(args: &mut NewArgs) -> Result<()> {
    let shown = |found: &Found| {
        let name = found.name.as_deref().unwrap_or("");
        let driver = found.driver.as_ref().map_or("no driver".to_owned(), |driver| format!("{driver}, in use"));
        choice(
            format!("{}  {}:{}  {name}  ({driver})", found.address, found.vendor, found.device),
            From::Device(found.address.clone()),
        )
    };
    let mut choices: Vec<Choice<From>> = this_machine(args).iter().map(shown).collect();
    choices.extend([
        choice("another machine's scan file …", From::Scan),
        choice("a QEMU device …", From::Qemu),
        choice("numbers by hand …", From::Numbers),
        choice("no device (software)", From::Nothing),
    ]);
    match select("Which device?", choices)? {
        From::Device(address) => args.from_device = Some(address),
        From::Scan => args.scan = Some(scan()?),
        From::Qemu => {
            args.qemu = Some(text("QEMU device?", "edu", |device| match qemu::card(device) {
                Ok(_) => Ok(()),
                Err(error) => Err(error
                    .downcast()
                    .unwrap_or_else(|error| Message::QemuRefused { device: String::new(), why: error.to_string() })),
            })?)
        }
        From::Numbers => args.pci = vec![text("Vendor and device?", "1234:11e8", |text| pci_id(text).map(drop))?],
        From::Nothing => args.software = true,
    }
    Ok(())
}

/// The devices that there are to choose from.
#[cfg(unix)]
fn this_machine(args: &NewArgs) -> Vec<Found> {
    use kp_tool::machine::System;
    kp_tool::scan::scan(&args.root.as_deref().map_or_else(System::this, System::staged))
}

/// Linux alone shows them.
#[cfg(not(unix))]
fn this_machine(_: &NewArgs) -> Vec<Found> {
    Vec::new()
}

/// A scan's file, and which of its devices.
fn scan() -> Result<String> {
    let file = text("Scan file?", "card.json", |file| Card::devices_of(file).map(drop))?;
    let devices = Card::devices_of(&file)?;
    let shown = |found: &Found| {
        choice(
            format!("{}  {}:{}  {}", found.address, found.vendor, found.device, found.name.as_deref().unwrap_or("")),
            found.address.clone(),
        )
    };
    match devices.as_slice() {
        [_] => Ok(file),
        several => Ok(format!("{file}#{}", select("Which of its devices?", several.iter().map(shown).collect())?)),
    }
}

/// The register file, if there is one.
fn registers(args: &mut NewArgs) -> Result<Registers> {
    if args.registers.is_none() {
        let check = |file: &str| match read(file, &[]) {
            Err(Message::WhichBar { .. }) => Ok(()), // that is asked next
            read => read.map(drop),
        };
        let question = Text::new("Register file?").with_help_message(".csv .svd .xml .hjson; empty: none");
        let valid = move |file: &str| match if file.is_empty() { Ok(()) } else { check(file) } {
            Ok(()) => Ok(Validation::Valid),
            Err(why) => Ok(Validation::Invalid(why.to_string().into())),
        };
        args.registers = Some(answer(question.with_validator(valid).prompt())?).filter(|file| !file.is_empty());
    }
    let Some(file) = args.registers.clone() else { return Ok(Registers::default()) };
    if let Err(Message::WhichBar { blocks, first, .. }) = read(&file, &args.bar) {
        eprintln!("  it has the blocks {blocks}");
        let check = move |said: &str| read(&file, &words(said)).map(drop);
        args.bar = words(&text(
            "In which BAR are they?  (BLOCK=N[+OFFSET], with blanks between)",
            &format!("{first}=0"),
            check,
        )?);
    }
    let registers = read(args.registers.as_deref().unwrap_or_default(), &args.bar)?;
    for block in &registers.blocks {
        eprintln!(
            "  {} registers in BAR {}, {:#x} bytes. Nothing overlaps.",
            block.registers.len(),
            block.bar,
            block.len()
        );
    }
    Ok(registers)
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Reads a register file. Every refusal is a message.
fn read(file: &str, bars: &[String]) -> Result<Registers, Message> {
    let source = Source::parse(file, bars)?;
    registers::read(&source).map_err(|error| {
        let why = |error: anyhow::Error| Message::NoRegisterFile { file: file.to_owned(), why: error.to_string() };
        error.downcast().unwrap_or_else(why)
    })
}

/// A way to acknowledge, or to the question which register.
#[derive(Clone)]
enum How {
    Said(String),
    WriteBack,
    Value,
    Mask,
}

/// How the card interrupts.
fn interrupt(args: &mut NewArgs, blocks: &[Block]) -> Result<()> {
    let guessed = irq::decide(&irq::Said::default(), blocks)?;
    let status = guessed.as_ref().and_then(|irq| irq.status);
    let named = |found: irq::Found<'_>| match blocks {
        [_] => found.register.name.clone(),
        _ => format!("BAR{}.{}", found.block.bar, found.register.name),
    };
    let all = || irq::singles(blocks);
    let mut choices: Vec<Choice<Option<String>>> = Vec::new();
    let shown = |found, guess: &str| {
        choice(format!("{} ({:#x}{guess})", named(found), found.register.offset), Some(named(found)))
    };
    choices.extend(status.map(|found| shown(found, ", guessed")));
    choices.extend(
        all().filter(|found| found.register.access.reads() && status != Some(*found)).map(|found| shown(found, "")),
    );
    choices.push(choice("none", None));
    let Some(status) = select("Interrupt status register?", choices)? else {
        let ways =
            vec![choice("this card has no interrupt", false), choice("messages alone, which want no answer", true)];
        if select("How does it interrupt?", ways)? {
            args.irq_ack = Some("none".to_owned());
        } else {
            args.no_irq = true;
        }
        return Ok(());
    };
    let found = irq::find(blocks, "--irq-status", &status)?;
    let mut ways = Vec::new();
    if let Some(irq) = guessed.filter(|irq| irq.status == Some(found)) {
        let said = match irq.recipe {
            irq::Recipe::WriteBack(ack) => Some((
                format!("write the bits that were read to {} (guessed)", named(ack)),
                format!("{}=write-back", named(ack)),
            )),
            irq::Recipe::OneClears => Some((format!("write one to clear {status} itself (guessed)"), "w1c".to_owned())),
            _ => None,
        };
        ways.extend(said.map(|(shown, flag)| choice(shown, How::Said(flag))));
    }
    ways.push(choice("write the bits that were read to …", How::WriteBack));
    if found.register.access.writes() {
        ways.push(choice(format!("write one to clear {status} itself"), How::Said("w1c".to_owned())));
    }
    ways.push(choice(format!("reading {status} clears it"), How::Said("read-clears".to_owned())));
    ways.push(choice("a fixed value to …", How::Value));
    ways.push(choice("mask in …, unmask when the app has served it", How::Mask));
    let writable = || {
        let fits = all().filter(|other| other.register.access.writes() && other.register.bits == found.register.bits);
        fits.map(|other| choice(named(other), named(other))).collect::<Vec<_>>()
    };
    let recipe = match select("How is it acknowledged?", ways)? {
        How::Said(recipe) => recipe,
        How::WriteBack => format!("{}=write-back", select("To which register?", writable())?),
        How::Mask => format!("{}=mask", select("In which register?", writable())?),
        How::Value => {
            let register = select("To which register?", writable())?;
            let check = |text: &str| match registers::number(text) {
                Some(_) => Ok(()),
                None => Err(Message::BadIrqAck { text: text.to_owned() }),
            };
            format!("{register}={}", text("Which value?", "0x1", check)?)
        }
    };
    args.irq_status = Some(status);
    args.irq_ack = Some(recipe);
    Ok(())
}
