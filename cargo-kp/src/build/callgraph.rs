//! What a handler can get to.
//!
//! The graph's nodes are sections. The compiler gives each function and each constant its own, so a node is one of them, and
//! an object compiled otherwise only has fewer and larger nodes. An edge is a relocation, to the same object or, by a global name, to
//! another that is linked with it. A function whose address is taken, or that stands in a table someone refers to, counts as called. So the graph may hold paths that no run takes, and it lacks
//! none: calls through pointers, which have no edge, are refused.
//!
//! It reads the objects of both kernels, ELF and COFF. In COFF a function of the kernel is called through the import table, which
//! its relocation names. An object for Arm is not searched for calls through pointers: there the kernel's functions are called
//! so too. The same source was compiled for x86-64.
use std::collections::{HashMap, VecDeque};

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register,
};
use object::elf;
use object::{
    Architecture, Object as _, ObjectSection as _, ObjectSymbol as _, RelocationFlags, RelocationTarget, SectionIndex,
    SymbolKind,
};

use super::check::{Refusal, Target, demangled, is_executable, target};

/// What retpolines call in place of a pointer.
const INDIRECT_THUNK: &str = "__x86_indirect_thunk_";
/// What Control Flow Guard calls in place of a pointer.
const GUARD: &str = "__guard_";
/// How an entry of a COFF object's import table is called.
const IMPORT: &str = "__imp_";
/// How the functions of the Windows port begin. Its pointers go to what it has looked up in the kernel by name, to what the bus has given, or to
/// functions of its own that are looked at as handlers are.
const PORT: [&str; 3] = ["kp_windows::", "<kp_windows::", "kp_seh_call"];

/// A section of one of the objects.
type Node = (usize, SectionIndex);

/// Objects that are linked together.
struct Objects<'data> {
    files: Vec<object::File<'data>>,
    /// Where each global name is defined.
    defined: HashMap<&'data [u8], Node>,
}

impl<'data> Objects<'data> {
    fn parse<O: AsRef<[u8]>>(objects: &'data [O]) -> Result<Self, Refusal> {
        let files = objects.iter().map(|object| object::File::parse(object.as_ref()));
        let files = files.collect::<Result<Vec<_>, _>>()?;
        let mut defined = HashMap::new();
        for (index, file) in files.iter().enumerate() {
            for symbol in file.symbols().filter(|symbol| symbol.is_global()) {
                if let Some(section) = symbol.section_index() {
                    // Of two that are the same the linker takes the first.
                    defined.entry(symbol.name_bytes()?).or_insert((index, section));
                }
            }
        }
        Ok(Objects { files, defined })
    }

    /// What a relocation in one of the objects refers to: a section of any, or what none of them has.
    fn target(&self, from: usize, relocation: &object::Relocation) -> Result<Option<Result<Node, String>>, Refusal> {
        Ok(target(&self.files[from], relocation)?.map(|target| match target {
            Target::Section(section) => Ok((from, section)),
            Target::Symbol(name) => self.defined.get(name.as_bytes()).copied().ok_or(name),
        }))
    }

    /// Where a function is, or a constant.
    fn find(&self, name: &str) -> Option<Node> {
        let here = |(index, file): (usize, &object::File<'_>)| {
            Some((index, file.symbol_by_name(name).and_then(|symbol| symbol.section_index())?))
        };
        self.files.iter().enumerate().find_map(here)
    }

    /// A node's name.
    fn name(&self, (file, section): Node) -> String {
        name(&self.files[file], section)
    }

    /// The nodes from the entry to `node`, by name.
    fn path(&self, came_from: &HashMap<Node, Option<Node>>, node: Node, entry: &str) -> Vec<String> {
        let mut path = Vec::new();
        let mut here = Some(node);
        while let Some(node) = here {
            here = came_from.get(&node).copied().flatten();
            path.push(if here.is_some() { self.name(node) } else { demangled(entry) });
        }
        path.reverse();
        path
    }
}

/// Refuses an object in which `entry` can get to the undefined symbol `forbidden`, or to a call through a pointer.
///
/// # Errors
/// [`Refusal::Reaches`] or [`Refusal::IndirectCall`], with the shortest path, [`Refusal::NoEntry`], [`Refusal::Malformed`].
pub fn check(object: &[u8], entry: &str, forbidden: &str) -> Result<(), Refusal> {
    check_all(&[object], entry, forbidden)
}

/// The same for objects that are linked together.
///
/// # Errors
/// Those of [`check`].
pub fn check_all<O: AsRef<[u8]>>(objects: &[O], entry: &str, forbidden: &str) -> Result<(), Refusal> {
    let objects = Objects::parse(objects)?;
    let start = objects.find(entry).ok_or_else(|| Refusal::NoEntry { entry: entry.to_owned() })?;
    let mut came_from = HashMap::from([(start, None)]);
    let mut waiting = VecDeque::from([start]);
    // Told only if no path to `forbidden` is found, which says more: formatting a panic's message calls through pointers too.
    let mut pointer = None;
    while let Some(node) = waiting.pop_front() {
        let path = || objects.path(&came_from, node, entry);
        let file = &objects.files[node.0];
        let is_port = PORT.iter().any(|port| objects.name(node).starts_with(port));
        if pointer.is_none() && !is_port && calls_pointer(file, node.1)? {
            pointer = Some(path());
        }
        let mut next = Vec::new();
        for (_, relocation) in file.section_by_index(node.1)?.relocations() {
            match objects.target(node.0, &relocation)? {
                // Behind it is the pointer that was found above.
                _ if symbol(file, &relocation).is_some_and(|name| name.starts_with(GUARD)) => {}
                Some(Ok(node)) => next.push(node),
                Some(Err(name)) if name == forbidden => {
                    let mut path = path();
                    path.push(name);
                    return Err(Refusal::Reaches { path });
                }
                Some(Err(name)) if name.starts_with(INDIRECT_THUNK) => {
                    pointer.get_or_insert_with(path);
                }
                Some(Err(_)) | None => {}
            }
        }
        for to in next {
            came_from.entry(to).or_insert_with(|| {
                waiting.push_back(to);
                Some(node)
            });
        }
    }
    match pointer {
        Some(path) => Err(Refusal::IndirectCall { path }),
        None => Ok(()),
    }
}

/// A node's name: its function's or constant's, else its section's.
pub(super) fn name(file: &object::File<'_>, section: SectionIndex) -> String {
    let named = |symbol: &object::Symbol<'_, '_>| matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Data);
    let mut symbols = file.symbols().filter(|symbol| symbol.section_index() == Some(section) && named(symbol));
    let symbol = symbols.next().and_then(|symbol| symbol.name().ok().map(demangled));
    let section = || Some(file.section_by_index(section).ok()?.name().ok()?.to_owned());
    symbol.or_else(section).unwrap_or_else(|| "?".to_owned())
}

/// The name of the symbol that a relocation refers to.
fn symbol<'data>(file: &object::File<'data>, relocation: &object::Relocation) -> Option<&'data str> {
    match relocation.target() {
        RelocationTarget::Symbol(index) => file.symbol_by_index(index).ok()?.name().ok(),
        _ => None,
    }
}

/// Whether code of the section calls or jumps to an address that it reads or computes. An entry of a global offset table or of
/// an import table is known: its relocation names the function. So is a register that is only ever loaded from one.
fn calls_pointer(file: &object::File<'_>, node: SectionIndex) -> Result<bool, Refusal> {
    let section = file.section_by_index(node)?;
    if !is_executable(&section) || file.architecture() != Architecture::X86_64 {
        return Ok(false);
    }
    let through_table = |relocation: &object::Relocation| {
        let kind = relocation.flags();
        [elf::R_X86_64_GOTPCREL, elf::R_X86_64_GOTPCRELX, elf::R_X86_64_REX_GOTPCRELX]
            .iter()
            .any(|&r_type| kind == RelocationFlags::Elf { r_type })
            || symbol(file, relocation).is_some_and(|name| name.starts_with(IMPORT))
    };
    let known = section.relocations().filter(|(_, relocation)| through_table(relocation));
    let known: Vec<u64> = known.map(|(offset, _)| offset).collect();
    let is_known = |instruction: &Instruction| {
        let span = instruction.ip()..instruction.next_ip();
        known.iter().any(|offset| span.contains(offset))
    };
    let code: Vec<Instruction> = Decoder::with_ip(64, section.data()?, 0, DecoderOptions::NONE).iter().collect();
    let is_loaded = |register: Register| {
        // What is popped is what the caller had there.
        let sets = |instruction: &&Instruction| sets(instruction, register) && instruction.mnemonic() != Mnemonic::Pop;
        let mut loads = code.iter().filter(sets).peekable();
        let is_any = loads.peek().is_some();
        is_any && loads.all(|instruction| instruction.mnemonic() == Mnemonic::Mov && is_known(instruction))
    };
    Ok(code.iter().any(|instruction| {
        let indirect = matches!(instruction.flow_control(), FlowControl::IndirectCall | FlowControl::IndirectBranch);
        let register = instruction.op0_kind() == OpKind::Register && is_loaded(instruction.op0_register());
        indirect && !is_known(instruction) && !register
    }))
}

/// Whether an instruction may change the register, or a part of it. A call leaves those alone that outlive it in Windows, and the
/// others it may change.
fn sets(instruction: &Instruction, register: Register) -> bool {
    let mut factory = InstructionInfoFactory::new();
    let used = factory.info(instruction).used_registers().iter();
    let writes = used.filter(|used| !matches!(used.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::None));
    let is_call = matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall);
    let outlives = [Register::RBX, Register::RBP, Register::RSI, Register::RDI, Register::R12, Register::R13];
    let outlives = outlives.contains(&register) || matches!(register, Register::R14 | Register::R15);
    writes.map(|used| used.register().full_register()).any(|written| written == register) || is_call && !outlives
}
