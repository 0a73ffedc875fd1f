//! What START_DEVICE assigns, as the plug-and-play manager lists it.
use crate::nt::{PartialDescriptor, ResourceList, resource};
use kp_abi::Status;

/// A range of memory.
#[derive(Clone, Copy, Default)]
pub(crate) struct Memory {
    /// Its address on the bus: what stands in the BAR.
    pub(crate) bus: u64,
    /// Its address for the processor.
    pub(crate) physical: u64,
    /// In bytes; 0: there is none.
    pub(crate) len: u64,
}

/// What a device may interrupt with.
#[derive(Clone, Copy, Default)]
pub(crate) struct Lines {
    /// Messages, or else lines.
    pub(crate) are_messages: bool,
    /// How many; 0: it has no interrupt.
    pub(crate) count: u32,
    /// The highest level at which they come.
    pub(crate) irql: u8,
}

/// What a device was assigned.
pub(crate) struct Resources {
    memory: [Memory; 6],
    pub(crate) lines: Lines,
}

impl Resources {
    /// Reads the two lists, which have the same order. WrongDevice: nothing was assigned.
    ///
    /// # Safety
    /// Both are null, or lists of the plug-and-play manager.
    pub(crate) unsafe fn read(raw: *const ResourceList, translated: *const ResourceList) -> Result<Self, Status> {
        // SAFETY: the caller's promise.
        let raw = unsafe { descriptors(raw) };
        // SAFETY: as above.
        let translated = unsafe { descriptors(translated) };
        if raw.is_empty() || raw.len() != translated.len() {
            return Err(Status::WRONG_DEVICE);
        }
        let mut resources = Resources { memory: Default::default(), lines: Lines::default() };
        let mut places = resources.memory.iter_mut();
        for (raw, translated) in raw.iter().zip(translated) {
            match translated.kind {
                resource::MEMORY | resource::MEMORY_LARGE => {
                    if let Some(place) = places.next() {
                        let len = length(translated);
                        *place = Memory { bus: start(raw), physical: start(translated), len };
                    }
                }
                resource::INTERRUPT => resources.lines.add(raw, translated),
                _ => {}
            }
        }
        Ok(resources)
    }

    /// The memory of a BAR that has this address in it.
    pub(crate) fn at_bus_address(&self, address: u64) -> Option<Memory> {
        self.memory.iter().copied().find(|memory| memory.len != 0 && memory.bus == address)
    }
}

impl Lines {
    /// CM_PARTIAL_RESOURCE_DESCRIPTOR: `Interrupt.Level` is the low half of the first word; `MessageInterrupt.Raw.MessageCount` the high one.
    fn add(&mut self, raw: &PartialDescriptor, translated: &PartialDescriptor) {
        let is_message = translated.flags & resource::MESSAGE != 0;
        let count = if is_message { (raw.u[0] >> 16).max(1) } else { 1 };
        // Messages go before lines; a device is never assigned both.
        if is_message && !self.are_messages {
            *self = Lines { are_messages: true, count: 0, irql: 0 };
        }
        if is_message == self.are_messages {
            self.count += count;
            self.irql = self.irql.max(translated.u[0] as u8);
        }
    }
}

/// `Memory.Start`.
fn start(descriptor: &PartialDescriptor) -> u64 {
    u64::from(descriptor.u[0]) | u64::from(descriptor.u[1]) << 32
}

/// `Memory.Length`, or that of large memory, which counts in larger units.
fn length(descriptor: &PartialDescriptor) -> u64 {
    let is_large = descriptor.kind == resource::MEMORY_LARGE;
    let shift =
        resource::LARGE.iter().find(|(bit, _)| is_large && descriptor.flags & bit != 0).map_or(0, |(_, by)| *by);
    u64::from(descriptor.u[2]) << shift
}

/// # Safety
/// Null, or a list of the plug-and-play manager.
unsafe fn descriptors<'a>(list: *const ResourceList) -> &'a [PartialDescriptor] {
    // SAFETY: the caller's promise.
    match unsafe { list.as_ref() } {
        Some(all) if all.count != 0 => {
            // SAFETY: the list is as long as it says.
            let partial = unsafe { &raw const (*list).first.partial };
            // SAFETY: as above.
            unsafe { core::slice::from_raw_parts(partial.cast(), all.first.partial_count as usize) }
        }
        _ => &[],
    }
}
