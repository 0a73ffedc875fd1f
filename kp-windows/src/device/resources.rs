//! What START_DEVICE assigns, as the plug-and-play manager lists it.
use crate::nt::{PartialDescriptor, ResourceList, resource};
use kp_abi::Status;

/// A range of memory.
#[derive(Clone, Copy, Default)]
pub(crate) struct MemoryRange {
    /// Its address for the processor.
    pub(crate) physical: u64,
    /// In bytes; 0: there is none.
    pub(crate) len: u64,
}

/// What a device may interrupt with.
#[derive(Clone, Copy, Default)]
pub(crate) struct InterruptResources {
    /// Messages, or else lines.
    pub(crate) are_messages: bool,
    /// How many; 0: it has no interrupt.
    pub(crate) count: u32,
    /// The highest level at which they come.
    pub(crate) irql: u8,
}

/// What a device was assigned: two lists of the plug-and-play manager's, raw and translated, of which the same places belong together.
pub(crate) struct Resources<'a> {
    raw: &'a [PartialDescriptor],
    translated: &'a [PartialDescriptor],
    pub(crate) lines: InterruptResources,
}

impl Resources<'_> {
    /// Reads the two lists. WrongDevice: nothing was assigned.
    ///
    /// # Safety
    /// Both are null, or lists of the plug-and-play manager, which stay as long as what is made here.
    pub(crate) unsafe fn read(raw: *const ResourceList, translated: *const ResourceList) -> Result<Self, Status> {
        // SAFETY: null, or the manager's list.
        let raw = unsafe { descriptors(raw) };
        // SAFETY: null, or the manager's list.
        let translated = unsafe { descriptors(translated) };
        if raw.is_empty() || raw.len() != translated.len() {
            return Err(Status::WRONG_DEVICE);
        }
        let mut resources = Resources { raw, translated, lines: InterruptResources::default() };
        resources.lines = InterruptResources::of(resources.pairs());
        Ok(resources)
    }

    fn pairs(&self) -> impl Iterator<Item = (&PartialDescriptor, &PartialDescriptor)> {
        self.raw.iter().zip(self.translated)
    }

    /// The memory of a BAR that has this address in it. A port that a processor reaches in its memory is none: the raw list says so.
    pub(crate) fn memory_at(&self, address: u64) -> Option<MemoryRange> {
        let is_memory = |descriptor: &PartialDescriptor| {
            matches!(descriptor.kind, resource::MEMORY | resource::MEMORY_LARGE) && length(descriptor) != 0
        };
        let (_, translated) = self.at_bus_address(address, is_memory)?;
        Some(MemoryRange { physical: start(translated), len: length(translated) })
    }

    /// How many ports a BAR has that begins at this one. None as well: the processor reaches them by another number, or in its memory.
    pub(crate) fn ports_at(&self, first: u64) -> Option<u64> {
        let is_port = |descriptor: &PartialDescriptor| descriptor.kind == resource::PORT;
        let (_, translated) = self.at_bus_address(first, is_port)?;
        (start(translated) == first && length(translated) != 0).then(|| length(translated))
    }

    /// The resource of a kind, in both lists, that begins at this address on the bus.
    fn at_bus_address(
        &self,
        address: u64,
        is_wanted: impl Fn(&PartialDescriptor) -> bool,
    ) -> Option<(&PartialDescriptor, &PartialDescriptor)> {
        self.pairs().find(|(raw, translated)| is_wanted(raw) && is_wanted(translated) && start(raw) == address)
    }
}

impl InterruptResources {
    /// MSI: one descriptor, which says how many messages. MSI-X: one descriptor for each. A device is never assigned messages and a line.
    ///
    /// Source: Microsoft's page "Using Interrupt Resource Descriptors".
    fn of<'a>(pairs: impl Iterator<Item = (&'a PartialDescriptor, &'a PartialDescriptor)>) -> Self {
        let mut lines = Self::default();
        let mut count_of_the_first = 0;
        for (raw, translated) in pairs.filter(|(_, translated)| translated.kind == resource::INTERRUPT) {
            let is_message = translated.flags & resource::MESSAGE != 0;
            if is_message && !lines.are_messages {
                lines = Self { are_messages: true, ..Self::default() };
                count_of_the_first = raw.u[0] >> 16; // MessageInterrupt.Raw.MessageCount
            }
            if is_message == lines.are_messages {
                lines.count += 1;
                lines.irql = lines.irql.max(translated.u[0] as u8); // the level, below the group
            }
        }
        if lines.count == 1 {
            lines.count = count_of_the_first.max(1);
        }
        lines
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
    // SAFETY: null, or the manager's list.
    match unsafe { list.as_ref() } {
        Some(all) if all.count != 0 => {
            // SAFETY: the list is as long as it says.
            let partial = unsafe { &raw const (*list).first.partial };
            // SAFETY: that many, behind the list's head.
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

    fn read<const N: usize, R>(
        raw: [PartialDescriptor; N],
        translated: [PartialDescriptor; N],
        f: impl FnOnce(&Resources<'_>) -> R,
    ) -> R {
        let (raw, translated) = (List::new(raw), List::new(translated));
        // SAFETY: two complete lists.
        match unsafe { Resources::read(raw.as_list(), translated.as_list()) } {
            Ok(resources) => f(&resources),
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
        read([raw, large], [translated, large], |resources| {
            let found = resources.memory_at(0xFEB0_0000).map(|memory| (memory.physical, memory.len));
            assert_eq!(found, Some((0x2_FEB0_0000, 0x10_0000)));
            let found = resources.memory_at(8 << 32).map(|memory| memory.len);
            assert_eq!(found, Some(0x20 << 16), "the length of large memory counts in larger units");
            assert!(resources.memory_at(0).is_none());
        });
    }

    #[test]
    fn ports_are_no_memory_whatever_the_processor_makes_of_them() {
        let port = descriptor(resource::PORT, 1, [0xC000, 0, 0x20, 0]);
        let in_memory = descriptor(resource::MEMORY, 0, [0xC000, 1, 0x20, 0]);
        let memory = descriptor(resource::MEMORY, 0, [0xD000, 0, 0x1000, 0]);
        read([port, memory, memory], [in_memory, port, memory], |resources| {
            assert!(resources.memory_at(0xC000).is_none(), "a port");
            let found = resources.memory_at(0xD000).map(|memory| memory.physical);
            assert_eq!(found, Some(0xD000), "not what has become a port");
            assert_eq!(resources.ports_at(0xC000), None, "the processor has them in its memory");
            assert_eq!(resources.ports_at(0xD000), None, "memory");
        });
        let moved = descriptor(resource::PORT, 1, [0xE000, 0, 0x40, 0]);
        read([port, moved], [port, memory], |resources| {
            assert_eq!(resources.ports_at(0xC000), Some(0x20));
            assert_eq!(resources.ports_at(0xE000), None, "not a port for the processor");
        });
    }

    #[test]
    fn memory_is_found_among_any_number_of_other_descriptors() {
        const PRIVATE: u8 = 129;
        let other = |start| descriptor(resource::MEMORY, 0, [start, 0, 0x1000, 0]);
        let private = descriptor(PRIVATE, 0, [1, 0, 0x7000, 0]);
        let bus_number = descriptor(6, 0, [0x7000, 1, 0, 0]);
        let list = [
            private,
            bus_number,
            other(0x1000),
            other(0x2000),
            other(0x3000),
            private,
            other(0x4000),
            other(0x5000),
            other(0x6000),
            private,
            other(0x7000),
        ];
        let found = read(list, list, |resources| resources.memory_at(0x7000).map(|memory| memory.len));
        assert_eq!(found, Some(0x1000));
    }

    #[test]
    fn each_descriptor_of_several_messages_is_one_message_whatever_count_it_has() {
        let raw = descriptor(resource::INTERRUPT, 3, [2 << 16, 0x91, u32::MAX, u32::MAX]);
        // The upper half of the level is the group of processors.
        let translated = |level: u32| descriptor(resource::INTERRUPT, 3, [1 << 16 | level, 0x91, u32::MAX, u32::MAX]);
        let lines = read([raw, raw], [translated(7), translated(11)], |resources| resources.lines);
        assert_eq!((lines.are_messages, lines.count, lines.irql), (true, 2, 11));
    }

    #[test]
    fn lines_and_messages_are_counted_with_their_highest_level() {
        let line = descriptor(resource::INTERRUPT, 0, [9, 0x91, 1, 0]);
        let lines = read([line], [line], |resources| resources.lines);
        assert_eq!((lines.are_messages, lines.count, lines.irql), (false, 1, 9));
        // MSI: one descriptor for four messages. MSI-X: one for each.
        let raw = |messages: u32| descriptor(resource::INTERRUPT, 3, [messages << 16, 0x91, 1, 0]);
        let translated = |level| descriptor(resource::INTERRUPT, 3, [level, 0x91, 1, 0]);
        let lines = read([raw(4)], [translated(7)], |resources| resources.lines);
        assert_eq!((lines.are_messages, lines.count, lines.irql), (true, 4, 7));
        let lines = read([raw(1), raw(1)], [translated(7), translated(11)], |resources| resources.lines);
        assert_eq!((lines.are_messages, lines.count, lines.irql), (true, 2, 11));
    }
}
