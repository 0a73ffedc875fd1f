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

#[cfg(test)]
mod tests {
    use super::*;

    /// A CM_RESOURCE_LIST of one CM_FULL_RESOURCE_DESCRIPTOR.
    #[repr(C)]
    struct List<const N: usize> {
        /// Count; interface type, bus number, version, count of partial descriptors.
        head: [u32; 5],
        partial: [PartialDescriptor; N],
    }

    impl<const N: usize> List<N> {
        fn new(partial: [PartialDescriptor; N]) -> Self {
            Self { head: [1, 5, 0, 1, N as u32], partial }
        }
        fn as_list(&self) -> *const ResourceList {
            (&raw const *self).cast()
        }
    }

    fn descriptor(kind: u8, flags: u16, u: [u32; 4]) -> PartialDescriptor {
        PartialDescriptor { kind, share_disposition: 1, flags, u }
    }

    fn read<const N: usize>(raw: [PartialDescriptor; N], translated: [PartialDescriptor; N]) -> Resources {
        let (raw, translated) = (List::new(raw), List::new(translated));
        // SAFETY: two complete lists.
        match unsafe { Resources::read(raw.as_list(), translated.as_list()) } {
            Ok(resources) => resources,
            Err(status) => panic!("{status}"),
        }
    }

    #[test]
    fn a_device_without_resources_is_refused() {
        let empty = List::new([]);
        for list in [core::ptr::null(), empty.as_list()] {
            // SAFETY: null, or a complete list.
            assert_eq!(unsafe { Resources::read(list, list) }.err(), Some(Status::WRONG_DEVICE));
        }
    }

    #[test]
    fn memory_is_found_by_its_address_on_the_bus_and_mapped_where_the_processor_sees_it() {
        let raw = descriptor(resource::MEMORY, 0, [0xFEB0_0000, 0, 0x10_0000, 0]);
        let translated = descriptor(resource::MEMORY, 0, [0xFEB0_0000, 2, 0x10_0000, 0]);
        let large = descriptor(resource::MEMORY_LARGE, 0x400, [0, 8, 0x20, 0]);
        let resources = read([raw, large], [translated, large]);
        let found = resources.at_bus_address(0xFEB0_0000).map(|memory| (memory.physical, memory.len));
        assert_eq!(found, Some((0x2_FEB0_0000, 0x10_0000)));
        let found = resources.at_bus_address(8 << 32).map(|memory| memory.len);
        assert_eq!(found, Some(0x20 << 16), "the length of large memory counts in larger units");
        assert!(resources.at_bus_address(0).is_none());
    }

    #[test]
    fn lines_and_messages_are_counted_with_their_highest_level() {
        let line = descriptor(resource::INTERRUPT, 0, [9, 0x91, 1, 0]);
        let lines = read([line], [line]).lines;
        assert_eq!((lines.are_messages, lines.count, lines.irql), (false, 1, 9));
        // MSI: one descriptor for four messages. MSI-X: one for each.
        let raw = |messages: u32| descriptor(resource::INTERRUPT, 3, [messages << 16, 0x91, 1, 0]);
        let translated = |level| descriptor(resource::INTERRUPT, 3, [level, 0x91, 1, 0]);
        let lines = read([raw(4)], [translated(7)]).lines;
        assert_eq!((lines.are_messages, lines.count, lines.irql), (true, 4, 7));
        let lines = read([raw(1), raw(1)], [translated(7), translated(11)]).lines;
        assert_eq!((lines.are_messages, lines.count, lines.irql), (true, 2, 11));
    }
}
