//! What memory a device reaches, and in what pieces.

/// What a device reaches by itself: how many bits its addresses have, and of what pieces a transfer may be made.
///
/// ```
/// # use kp_core::DmaLimits;
/// /// 32 bits of address; at most 16 pieces of 64 KiB each, of which none crosses a border of 4 GiB.
/// const LIMITS: DmaLimits = DmaLimits::bits(32).segment(64 << 10).segments(16).boundary(1 << 32);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaLimits {
    bits: u32,
    segment: u32,
    segments: u32,
    boundary: u64,
}

impl DmaLimits {
    /// Addresses of so many bits, 24 to 64. What the device does not say further has no limit.
    pub const fn bits(bits: u32) -> Self {
        assert!(bits >= 24 && bits <= 64, "a device's addresses have 24 to 64 bits");
        Self { bits, segment: u32::MAX, segments: u32::MAX, boundary: 0 }
    }

    /// The longest piece, in bytes; at least 512.
    pub const fn segment(mut self, bytes: u32) -> Self {
        assert!(bytes >= 512, "a segment has 512 bytes or more");
        self.segment = bytes;
        self
    }

    /// The most pieces that one transfer is made of; at least 1.
    pub const fn segments(mut self, count: u32) -> Self {
        assert!(count >= 1, "a transfer has at least one segment");
        self.segments = count;
        self
    }

    /// No piece crosses a multiple of so many bytes, a power of two and at least 4096.
    pub const fn boundary(mut self, bytes: u64) -> Self {
        assert!(bytes.is_power_of_two() && bytes >= 4096, "a boundary is a power of two, and at least 4096");
        self.boundary = bytes;
        self
    }

    /// Bits of an address, 24 to 64.
    pub const fn address_bits(&self) -> u32 {
        self.bits
    }

    /// The highest address that the device reaches.
    pub const fn highest(&self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }

    /// The longest segment, in bytes.
    pub const fn max_segment(&self) -> u32 {
        self.segment
    }

    /// The most segments of a transfer.
    pub const fn max_segments(&self) -> u32 {
        self.segments
    }

    /// What no segment crosses a multiple of, in bytes; 0: nothing.
    pub const fn segment_boundary(&self) -> u64 {
        self.boundary
    }
}
