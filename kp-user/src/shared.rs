//! Memory that this process shares with a driver.
use crate::pages::Pages;
use std::{
    any::Any,
    fmt,
    ops::Deref,
    ptr::NonNull,
    slice,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
};

/// Memory that a driver sees too, and may change at any moment. It is read and written by words; no reference to its bytes exists.
/// Dropping it unmaps it.
pub struct SharedMemory {
    /// INVARIANT: `len` bytes, alive as long as the owner.
    start: NonNull<u8>,
    len: usize,
    owner: Arc<dyn Any + Send + Sync>,
}
#[expect(unsafe_code, reason = "a pointer is not Send by itself")]
// SAFETY: plain memory, used by atomic words.
unsafe impl Send for SharedMemory {}
#[expect(unsafe_code, reason = "a pointer is not Sync by itself")]
// SAFETY: as above.
unsafe impl Sync for SharedMemory {}

impl SharedMemory {
    /// For connections.
    ///
    /// # Safety
    /// There are `len` bytes at `start`, at a multiple of 8, as long as the owner lives; whoever else uses them meanwhile does so by
    /// atomic words, or outside of this process.
    #[expect(unsafe_code, reason = "trusts its caller with a pointer")]
    pub unsafe fn new(start: NonNull<u8>, len: usize, owner: Arc<dyn Any + Send + Sync>) -> Self {
        Self { start, len, owner }
    }

    /// New pages of this process's, `len` bytes of zeros, a multiple of 4096. They are the kernel's again when this is dropped, and not the
    /// allocator's: a device that has not done with them writes into nobody's memory. None: no memory, or no bytes.
    #[expect(unsafe_code, reason = "allocates whole pages")]
    pub(crate) fn zeroed(len: usize) -> Option<Self> {
        let pages = Pages::new(len)?;
        let start = pages.start();
        // SAFETY: so many bytes, at the beginning of a page, as long as the pages live; this process uses them by words alone.
        Some(unsafe { Self::new(start, len, Arc::new(pages)) })
    }

    /// Where it is.
    pub(crate) fn address(&self) -> u64 {
        self.start.as_ptr().expose_provenance() as u64
    }

    /// Its length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// The word of 32 bits at byte `at`, a multiple of 4. A place is to be used with one width only. Panics if it is not there.
    #[inline]
    pub fn word(&self, at: usize) -> &AtomicU32 {
        &self.array(at, 1)[0]
    }

    /// `count` words of 64 bits from byte `at`, a multiple of 8, on. Panics if they are not there.
    #[inline]
    pub fn words(&self, at: usize, count: usize) -> &[AtomicU64] {
        self.array(at, count)
    }

    /// As [`word`](Self::word), and it stays without this.
    pub(crate) fn kept_word(&self, at: usize) -> Kept<AtomicU32> {
        Kept { place: NonNull::from(self.word(at)), _owner: self.owner.clone() }
    }

    /// `count` slots, a power of two. Panics if they are not there.
    pub(crate) fn slots<const N: usize>(&self, at: usize, count: usize) -> Slots<[AtomicU64; N]> {
        assert!(count.is_power_of_two(), "{count} slots");
        Slots(Kept { place: NonNull::from(self.array(at, count)), _owner: self.owner.clone() })
    }

    /// `count` words of 64 bits from byte `at`, a multiple of 8, on, which stay without this. Panics if they are not there.
    pub(crate) fn kept_words(&self, at: usize, count: usize) -> Kept<[AtomicU64]> {
        Kept { place: NonNull::from(self.words(at, count)), _owner: self.owner.clone() }
    }

    /// Writes bytes from `at`, a multiple of 8, on, in whole words: those behind the last one become zeros. Panics if there is no room.
    #[inline]
    pub fn write(&self, at: usize, bytes: &[u8]) {
        write(self.words(at, bytes.len().div_ceil(8)), bytes);
    }

    /// Reads bytes from `at`, a multiple of 8, on. Panics if they are not there.
    #[inline]
    pub fn read(&self, at: usize, bytes: &mut [u8]) {
        read(self.words(at, bytes.len().div_ceil(8)), bytes);
    }

    #[inline]
    #[expect(unsafe_code, reason = "makes references of a pointer")]
    fn array<T: Words>(&self, at: usize, count: usize) -> &[T] {
        let fits = at <= self.len && count <= (self.len - at) / size_of::<T>();
        assert!(fits && at.is_multiple_of(align_of::<T>()), "{count} words at {at} of {} bytes", self.len);
        // SAFETY: inside the memory.
        let first = unsafe { self.start.add(at) }.cast::<T>();
        // SAFETY: alive, in bounds and aligned, as asserted; atomics may be shared, and any bytes are values of them.
        unsafe { slice::from_raw_parts(first.as_ptr(), count) }
    }
}

/// Writes bytes to the front of `words`, in whole ones: the bytes behind the last one become zeros. Panics if there is no room.
// Always inlined: for a length that the caller knows, what is left is a load and a store for each word.
#[inline(always)]
pub(crate) fn write(words: &[AtomicU64], bytes: &[u8]) {
    let (whole, rest) = bytes.as_chunks::<8>();
    let (front, behind) = words.split_at(whole.len());
    for (word, value) in front.iter().zip(whole) {
        word.store(u64::from_le_bytes(*value), Relaxed);
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        behind[0].store(u64::from_le_bytes(last), Relaxed);
    }
}

/// Reads bytes from the front of `words`. Panics if they are not there.
// Always inlined: as above.
#[inline(always)]
pub(crate) fn read(words: &[AtomicU64], bytes: &mut [u8]) {
    let (whole, rest) = bytes.as_chunks_mut::<8>();
    let (front, behind) = words.split_at(whole.len());
    for (value, word) in whole.iter_mut().zip(front) {
        *value = word.load(Relaxed).to_le_bytes();
    }
    if !rest.is_empty() {
        rest.copy_from_slice(&behind[0].load(Relaxed).to_le_bytes()[..rest.len()]);
    }
}

/// Words of shared memory, which stays as long as this. INVARIANT: `place` lies in the memory that the owner keeps.
pub(crate) struct Kept<T: ?Sized> {
    place: NonNull<T>,
    _owner: Arc<dyn Any + Send + Sync>,
}
#[expect(unsafe_code, reason = "a pointer is not Send by itself")]
// SAFETY: as a reference.
unsafe impl<T: Sync + ?Sized> Send for Kept<T> {}
#[expect(unsafe_code, reason = "a pointer is not Sync by itself")]
// SAFETY: as above.
unsafe impl<T: Sync + ?Sized> Sync for Kept<T> {}

impl<T: ?Sized> Deref for Kept<T> {
    type Target = T;

    #[inline(always)]
    #[expect(unsafe_code, reason = "makes a reference of a pointer")]
    fn deref(&self) -> &T {
        // SAFETY: the invariant; it was a shared reference, and is one again.
        unsafe { self.place.as_ref() }
    }
}

/// [`PowerOfTwo`] slots, kept.
pub(crate) struct Slots<T>(Kept<[T]>);

impl<T> Slots<T> {
    #[inline(always)]
    pub(crate) fn get(&self) -> PowerOfTwo<'_, T> {
        PowerOfTwo(&self.0)
    }
}

/// Slots that are found by an index modulo their number. INVARIANT: a power of two of them.
pub(crate) struct PowerOfTwo<'m, T>(&'m [T]);

impl<'m, T> PowerOfTwo<'m, T> {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    #[inline(always)]
    #[expect(unsafe_code, reason = "a comparison per message")]
    pub(crate) fn modulo(&self, index: usize) -> &'m T {
        // SAFETY: below the number of slots, which is a power of two.
        unsafe { self.0.get_unchecked(index & (self.0.len() - 1)) }
    }
}

/// Atomic words, and arrays of them: any bytes are a value, and shared references may be used while others write.
trait Words {}
impl Words for AtomicU32 {}
impl Words for AtomicU64 {}
impl<const N: usize> Words for [AtomicU64; N] {}

impl fmt::Debug for SharedMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = &self.owner;
        f.debug_struct("SharedMemory").field("len", &self.len).finish_non_exhaustive()
    }
}
