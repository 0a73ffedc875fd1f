//! The pool: each block between guard bytes, filled with noise when it is new and with poison when it is freed, and not given out again
//! until much else was freed.
use crate::rule::{Broken, Rule};
use crate::space::{PAGE, Protection, Space};
use std::{
    collections::{BTreeMap, VecDeque},
    ptr,
    sync::Mutex,
};

/// In fresh memory.
const NOISE: u8 = 0xA5;
/// In freed memory.
const POISON: u8 = 0xDD;
/// Around every block.
const GUARD: u8 = 0xFC;
/// Guard bytes in front of a small block; a large one has a page of them, for it begins with a page as in NT.
const FRONT: usize = 32;
/// Guard bytes behind a block, at least.
const BEHIND: usize = 16;
/// Freed blocks that are not given out again yet.
const QUARANTINE: usize = 512;

/// A block in use.
#[derive(Clone, Debug)]
struct Block {
    len: usize,
    tag: u32,
    /// Where its whole slot begins, and the slot's length.
    slot: (usize, usize),
}

/// All blocks. Errors are what the driver did wrong, in one line.
#[derive(Default)]
pub(crate) struct Pool {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    used: BTreeMap<usize, Block>,
    freed: VecDeque<(usize, Block)>,
    /// Slots to be had, by length.
    slots: BTreeMap<usize, Vec<usize>>,
    /// Where the next slots are cut from.
    fresh: (usize, usize),
}

/// A tag as its four characters.
pub(crate) fn tag_name(tag: u32) -> String {
    tag.to_le_bytes().iter().map(|&byte| if byte.is_ascii_graphic() { byte as char } else { '.' }).collect()
}

fn front(len: usize) -> usize {
    if len >= PAGE { PAGE } else { FRONT }
}

impl Pool {
    /// A block of `len` bytes, 16-aligned, or page-aligned from a page on.
    pub(crate) fn allocate(&self, space: &Space, len: usize, tag: u32, zeroed: bool) -> usize {
        let mut state = self.state.lock().expect("nothing panics with the pool locked");
        let slot_len = (front(len) + len + BEHIND).next_power_of_two().max(64);
        let slot = state.slot(space, slot_len);
        let address = slot + front(len);
        fill(slot, address - slot, GUARD);
        fill(address, len, if zeroed { 0 } else { NOISE });
        fill(address + len, slot + slot_len - address - len, GUARD);
        state.used.insert(address, Block { len, tag, slot: (slot, slot_len) });
        address
    }

    /// Length of a block.
    pub(crate) fn len_of(&self, address: usize) -> Option<usize> {
        let state = self.state.lock().expect("nothing panics with the pool locked");
        state.used.get(&address).map(|block| block.len)
    }

    /// Are these bytes in one block?
    pub(crate) fn has(&self, address: usize, len: usize) -> bool {
        let state = self.state.lock().expect("nothing panics with the pool locked");
        let block = state.used.range(..=address).next_back();
        block.is_some_and(|(start, block)| address + len <= start + block.len)
    }

    /// Frees a block. With a tag, it must be the block's.
    pub(crate) fn free(&self, address: usize, tag: Option<u32>) -> Result<(), Broken> {
        let mut state = self.state.lock().expect("nothing panics with the pool locked");
        let Some(block) = state.used.remove(&address) else {
            return Err(Rule::PoolBlock.broken(match state.freed.iter().any(|(freed, _)| *freed == address) {
                true => format!("pool: {address:#x} is freed twice"),
                false => format!("pool: {address:#x} is freed, but is no block"),
            }));
        };
        if let Some(tag) = tag
            && tag != block.tag
        {
            let (had, given) = (tag_name(block.tag), tag_name(tag));
            return Err(Rule::PoolTag
                .broken(format!("pool: the block at {address:#x} has the tag {had} and is freed with {given}")));
        }
        check_guards(address, &block)?;
        fill(address, block.len, POISON);
        state.freed.push_back((address, block));
        if state.freed.len() > QUARANTINE {
            let (address, block) = state.freed.pop_front().expect("there are more than none");
            check_poison(address, &block)?;
            state.slots.entry(block.slot.1).or_default().push(block.slot.0);
        }
        Ok(())
    }

    /// Looks at every guard byte and at all poison.
    pub(crate) fn check(&self) -> Result<(), Broken> {
        let state = self.state.lock().expect("nothing panics with the pool locked");
        state.used.iter().try_for_each(|(address, block)| check_guards(*address, block))?;
        state.freed.iter().try_for_each(|(address, block)| check_poison(*address, block))
    }

    /// The blocks in use with this tag or, without one, with any.
    pub(crate) fn in_use(&self) -> Vec<(usize, usize, u32)> {
        let state = self.state.lock().expect("nothing panics with the pool locked");
        state.used.iter().map(|(address, block)| (*address, block.len, block.tag)).collect()
    }
}

impl State {
    fn slot(&mut self, space: &Space, len: usize) -> usize {
        if let Some(slot) = self.slots.get_mut(&len).and_then(Vec::pop) {
            return slot;
        }
        if len >= PAGE {
            return space.take(len, Protection::ReadWrite);
        }
        if self.fresh.1 - self.fresh.0 < len {
            let start = space.take(16 * PAGE, Protection::ReadWrite);
            self.fresh = (start, start + 16 * PAGE);
        }
        let slot = self.fresh.0;
        self.fresh.0 += len;
        slot
    }
}

fn fill(address: usize, len: usize, byte: u8) {
    // SAFETY: inside a slot of the pool, which is mapped; only the driver has pointers there.
    unsafe { ptr::write_bytes(ptr::with_exposed_provenance_mut::<u8>(address), byte, len) };
}

fn all(address: usize, len: usize, byte: u8) -> bool {
    // SAFETY: inside a slot of the pool, which is mapped and initialised; the driver does not own this part.
    let bytes = unsafe { std::slice::from_raw_parts(ptr::with_exposed_provenance::<u8>(address), len) };
    bytes.iter().all(|&it| it == byte)
}

fn check_guards(address: usize, block: &Block) -> Result<(), Broken> {
    let (slot, slot_len) = block.slot;
    let (len, tag) = (block.len, tag_name(block.tag));
    if !all(slot, address - slot, GUARD) {
        return Err(Rule::PoolBounds
            .broken(format!("pool: bytes in front of the block at {address:#x} ({tag}, {len} bytes) were written")));
    }
    if !all(address + len, slot + slot_len - address - len, GUARD) {
        return Err(Rule::PoolBounds
            .broken(format!("pool: bytes behind the block at {address:#x} ({tag}, {len} bytes) were written")));
    }
    Ok(())
}

fn check_poison(address: usize, block: &Block) -> Result<(), Broken> {
    if all(address, block.len, POISON) {
        return Ok(());
    }
    Err(Rule::PoolFreed
        .broken(format!("pool: the block at {address:#x} ({}) was written after it was freed", tag_name(block.tag))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: u32 = u32::from_le_bytes(*b"Test");

    fn poke(address: usize, byte: u8) {
        fill(address, 1, byte);
    }

    #[test]
    fn what_a_driver_does_wrong_with_a_block_is_named() {
        let space = Space::reserve();
        let pool = Pool::default();
        let block = pool.allocate(&space, 40, TAG, false);
        assert_eq!(block % 16, 0);
        assert!(pool.free(block + 16, None).unwrap_err().what.contains("is no block"));
        assert!(pool.free(block, Some(7)).unwrap_err().what.contains("has the tag Test"));
        let block = pool.allocate(&space, 40, TAG, true);
        pool.free(block, Some(TAG)).unwrap();
        assert!(pool.free(block, Some(TAG)).unwrap_err().what.contains("freed twice"));
        poke(block + 3, 1);
        assert!(pool.check().unwrap_err().what.contains("after it was freed"));
        poke(block + 3, POISON);
        for (at, what) in [(40, "behind"), (usize::MAX, "in front")] {
            let block = pool.allocate(&space, 40, TAG, true);
            poke(block.wrapping_add(at), 1);
            assert!(pool.free(block, Some(TAG)).unwrap_err().what.contains(what));
        }
        assert_eq!(pool.allocate(&space, PAGE, TAG, true) % PAGE, 0);
    }
}
