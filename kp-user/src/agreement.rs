//! What OPEN agreed on, for the direct form of CALL.
use kp_abi::{
    Interface, Shape,
    limits::MAX_DIRECT_MESSAGE,
    request::{Open, feature},
};
use std::sync::OnceLock;

/// Which messages of a session travel in the direct form of CALL, and in which shape: for those who implement a
/// [`Connection`](crate::Connection). Empty until OPEN has granted it and the interface is known.
///
/// The driver reads and writes as many bytes as the interface says that it was opened with, so an interface counts only if its fingerprint is
/// the one that OPEN was sent.
#[derive(Debug, Default)]
pub struct Agreement {
    /// Messages and fingerprint of the OPEN that was granted.
    opened: OnceLock<(u32, u64)>,
    /// Message `n` stands at index `n - 1`.
    shapes: OnceLock<Box<[Shape]>>,
}

impl Agreement {
    /// OPEN was `sent`, and succeeded with this answer.
    pub fn opened(&self, sent: &Open, answer: &Open) {
        if sent.features & answer.features & feature::DIRECT != 0 {
            // There is one OPEN that succeeds.
            let _ = self.opened.set((sent.message_count, sent.fingerprint));
        }
    }

    /// OPEN was sent for this interface.
    pub fn agree(&self, interface: &Interface) {
        if let Some(&(count, fingerprint)) = self.opened.get()
            && count as usize <= interface.methods.len()
            && interface.chain(count as usize) == fingerprint
        {
            let count = count.min(MAX_DIRECT_MESSAGE) as usize;
            self.shapes.get_or_init(|| interface.methods[..count].iter().map(|method| method.shape()).collect());
        }
    }

    /// The shape in which a message with parts of these lengths travels. `None`: it is sent as CALL, which can tell what is wrong with it.
    #[inline]
    pub fn shape(&self, message: u32, args: usize, data: usize, reply: usize) -> Option<Shape> {
        let shape = *self.shapes.get()?.get(message.wrapping_sub(1) as usize)?;
        let fits = match shape {
            Shape::Fixed { args: its, reply: room } => (its, 0, room) == (args, data, reply),
            Shape::Segments { args: its } => its == args,
        };
        fits.then_some(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kp_abi::request::Request;

    kp_abi::interface! {
        pub mod old, version 1 {
            fn add(a: u32, b: u64) -> u64 = 1;
            fn write(at: u64, data: &[u8]) -> u32 = 2;
        }
    }
    kp_abi::interface! {
        pub mod other, version 1 {
            fn add(a: u64, b: u64) -> u64 = 1;
            fn write(at: u64, data: &[u8]) -> u32 = 2;
        }
    }

    fn granted(features: u64) -> Agreement {
        let sent = Open {
            features: feature::DIRECT,
            message_count: 2,
            fingerprint: old::INTERFACE.fingerprint(),
            ..Open::new()
        };
        let agreement = Agreement::default();
        agreement.opened(&sent, &Open { features, ..sent });
        agreement
    }

    #[test]
    fn only_lengths_that_both_sides_know_travel_directly() {
        let agreement = granted(feature::DIRECT | feature::RING);
        assert_eq!(agreement.shape(1, 12, 0, 8), None, "the interface is not known yet");
        agreement.agree(old::INTERFACE);
        assert_eq!(agreement.shape(1, 12, 0, 8), Some(Shape::Fixed { args: 12, reply: 8 }));
        for (args, data, reply) in [(11, 0, 8), (13, 0, 8), (12, 1, 8), (12, 0, 7), (12, 0, 9)] {
            assert_eq!(agreement.shape(1, args, data, reply), None, "{args}, {data}, {reply}");
        }
        assert_eq!(agreement.shape(2, 8, 100, 3), Some(Shape::Segments { args: 8 }));
        assert_eq!(agreement.shape(2, 9, 100, 4), None);
        for message in [0, 3, u32::MAX] {
            assert_eq!(agreement.shape(message, 0, 0, 0), None, "message {message}");
        }
    }

    #[test]
    fn an_interface_that_was_not_the_one_opened_with_is_not_believed() {
        let agreement = granted(feature::DIRECT);
        agreement.agree(other::INTERFACE);
        assert_eq!(agreement.shape(1, 16, 0, 8), None);
    }

    #[test]
    fn a_driver_that_has_not_granted_it_gets_calls() {
        let agreement = granted(feature::RING);
        agreement.agree(old::INTERFACE);
        assert_eq!(agreement.shape(1, 12, 0, 8), None);
    }
}
