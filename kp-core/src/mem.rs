//! Memory whose lack is an error, not a stop. Made at Passive; dropped at any level, where the port defers what its kernel
//! cannot do there. Never paged out.
use crate::{Irql, Passive, Result, SpinLock, Status, host::kernel};
use core::{
    alloc::Layout,
    mem::ManuallyDrop,
    ops::{Deref, DerefMut},
    ptr::{self, NonNull},
    slice,
    sync::atomic::{AtomicUsize, Ordering::*},
};
use kp_abi::zerocopy::FromZeros;
use linked_list_allocator::Heap;

/// Memory of this layout; dangling if that is no bytes.
fn allocate(layout: Layout) -> Result<NonNull<u8>> {
    let memory = match layout.size() {
        0 => NonNull::new(ptr::without_provenance_mut(layout.align())),
        _ => kernel::alloc(layout),
    };
    memory.ok_or(Status::NO_MEMORY.into())
}

/// # Safety
/// `memory` is from `allocate` with the same layout, and not used any more.
unsafe fn release(memory: NonNull<u8>, layout: Layout) {
    if layout.size() != 0 {
        // SAFETY: of `kernel::alloc`, with this layout.
        unsafe { kernel::free(memory, layout) }
    }
}

/// One value in the kernel's memory. INVARIANT: a live value, in memory of `allocate`.
pub struct KBox<T>(NonNull<T>);
// SAFETY: owns its value, as `T` itself would.
unsafe impl<T: Send> Send for KBox<T> {}
// SAFETY: a shared box gives shared values only, as `T` itself would.
unsafe impl<T: Sync> Sync for KBox<T> {}

impl<T> KBox<T> {
    /// Errors: `NO_MEMORY`; the value is dropped.
    pub fn new(_cx: &mut Passive, value: T) -> Result<Self> {
        let memory = allocate(Layout::new::<T>())?.cast::<T>();
        // SAFETY: just allocated with T's layout.
        unsafe { memory.write(value) };
        Ok(Self(memory))
    }

    /// The value, out of its box.
    pub fn into_inner(self) -> T {
        let memory = self.into_raw();
        // SAFETY: a live value; from here on only the copy counts.
        let value = unsafe { memory.read() };
        // SAFETY: of `allocate`, with this layout; the value has moved out.
        unsafe { release(memory.cast(), Layout::new::<T>()) };
        value
    }

    /// Gives the value away; `from_raw` takes it back.
    pub(crate) fn into_raw(self) -> NonNull<T> {
        ManuallyDrop::new(self).0
    }

    /// # Safety
    /// `value` is from `into_raw`, and taken back once.
    pub(crate) unsafe fn from_raw(value: NonNull<T>) -> Self {
        Self(value)
    }
}

impl<T> Drop for KBox<T> {
    fn drop(&mut self) {
        // SAFETY: a live value, which nobody uses after this.
        unsafe { self.0.drop_in_place() };
        // SAFETY: of `allocate`, with this layout.
        unsafe { release(self.0.cast(), Layout::new::<T>()) }
    }
}

impl<T> Deref for KBox<T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: a live value, borrowed as the box is.
        unsafe { self.0.as_ref() }
    }
}

impl<T> DerefMut for KBox<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: a live value, borrowed as the box is.
        unsafe { self.0.as_mut() }
    }
}

/// New memory of this layout, with `len` bytes from `start` in it. Errors: `NO_MEMORY`.
///
/// # Safety
/// `len` bytes can be read there, and fit the layout.
#[cfg_attr(kp_driver, optimize(size))]
#[inline(never)]
unsafe fn copied_to_new(start: NonNull<u8>, len: usize, layout: Layout) -> Result<NonNull<u8>> {
    let new = allocate(layout)?;
    // SAFETY: the caller's promise; new memory overlaps nothing.
    unsafe { ptr::copy_nonoverlapping(start.as_ptr(), new.as_ptr(), len) };
    Ok(new)
}

/// An array that grows. Growing needs `Passive`; [`push_within`](Self::push_within) does not grow, and works at any level.
/// It is a slice for everything else.
///
/// INVARIANT: `len <= capacity`; `start` is dangling if the capacity or `T` has no bytes, else memory of `allocate` for
/// `capacity` values, of which the first `len` are live.
pub struct KVec<T> {
    start: NonNull<T>,
    capacity: usize,
    len: usize,
}
// SAFETY: owns its values, as a `[T; N]` would.
unsafe impl<T: Send> Send for KVec<T> {}
// SAFETY: a shared array gives shared values only, as a `[T; N]` would.
unsafe impl<T: Sync> Sync for KVec<T> {}

impl<T> KVec<T> {
    /// An empty array, without memory.
    pub const fn new() -> Self {
        let capacity = if size_of::<T>() == 0 { usize::MAX } else { 0 };
        Self { start: NonNull::dangling(), capacity, len: 0 }
    }

    /// An empty array with room for `count` values. Errors: `NO_MEMORY`.
    pub fn with_capacity(cx: &mut Passive, count: usize) -> Result<Self> {
        let mut array = Self::new();
        array.grow_to(cx, count)?;
        Ok(array)
    }

    /// How many values fit without growing.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Makes room for `more` values. Errors: `NO_MEMORY`, and the array is as before.
    pub fn reserve(&mut self, cx: &mut Passive, more: usize) -> Result<()> {
        let needed = self.len.checked_add(more).ok_or(Status::NO_MEMORY)?;
        if needed <= self.capacity {
            return Ok(());
        }
        // Twice as much each time, so that pushing n values copies no more than 2n.
        self.grow_to(cx, needed.max(self.capacity.saturating_mul(2)).max(4))
    }

    /// Appends a value. Errors: `NO_MEMORY`; the value is dropped, the array is as before.
    pub fn push(&mut self, cx: &mut Passive, value: T) -> Result<()> {
        self.reserve(cx, 1)?;
        self.push_within(value).map_err(|_| Status::NO_MEMORY.into())
    }

    /// Appends a value if there is room, else gives it back. Any level.
    pub fn push_within(&mut self, value: T) -> Result<(), T> {
        if self.len == self.capacity {
            return Err(value);
        }
        // SAFETY: below the capacity, so inside the memory.
        let end = unsafe { self.start.add(self.len) };
        // SAFETY: memory for one value, not live yet.
        unsafe { end.write(value) };
        self.len += 1;
        Ok(())
    }

    /// Takes the last value off. Any level.
    pub fn pop(&mut self) -> Option<T> {
        self.len = self.len.checked_sub(1)?;
        // SAFETY: was below `len`, so inside the memory.
        let last = unsafe { self.start.add(self.len) };
        // SAFETY: was live; `len` has given it up.
        Some(unsafe { last.read() })
    }

    /// Drops all values behind the first `len`. Any level.
    pub fn truncate(&mut self, len: usize) {
        let Some(count) = self.len.checked_sub(len) else { return };
        self.len = len;
        // SAFETY: at most the old length, so inside the memory.
        let tail = unsafe { self.start.add(len) };
        // SAFETY: these `count` values were live; `len` has given them up.
        unsafe { ptr::drop_in_place(ptr::slice_from_raw_parts_mut(tail.as_ptr(), count)) }
    }

    /// Drops all values; the memory stays. Any level.
    pub fn clear(&mut self) {
        self.truncate(0);
    }

    /// Moves to memory for `capacity` values, which is at least `len`.
    fn grow_to(&mut self, _cx: &mut Passive, capacity: usize) -> Result<()> {
        if capacity <= self.capacity {
            return Ok(());
        }
        let layout = Layout::array::<T>(capacity).map_err(|_| Status::NO_MEMORY)?;
        // SAFETY: `len` live values, which are below the capacity; from here on only the copies count.
        let start = unsafe { copied_to_new(self.start.cast(), self.len * size_of::<T>(), layout)? };
        self.release();
        self.start = start.cast();
        self.capacity = capacity;
        Ok(())
    }

    /// Frees the memory. The values in it have moved or dropped, and the fields are overwritten or not read again.
    fn release(&mut self) {
        if size_of::<T>() == 0 {
            return;
        }
        // SAFETY: the layout that `grow_to` allocated with, or one of no bytes: both are in range.
        let layout = unsafe { Layout::from_size_align_unchecked(self.capacity * size_of::<T>(), align_of::<T>()) };
        // SAFETY: of `allocate` with this layout; dangling if the capacity is 0.
        unsafe { release(self.start.cast(), layout) }
    }
}

impl<T: Copy> KVec<T> {
    /// Appends all of `values`, or none. Errors: `NO_MEMORY`, and the array is as before.
    pub fn extend(&mut self, cx: &mut Passive, values: &[T]) -> Result<()> {
        self.reserve(cx, values.len())?;
        // SAFETY: at most the capacity, so inside the memory.
        let end = unsafe { self.start.add(self.len) };
        // SAFETY: `reserve` made room for them; `values` is borrowed from elsewhere while `self` is ours alone.
        unsafe { ptr::copy_nonoverlapping(values.as_ptr(), end.as_ptr(), values.len()) };
        self.len += values.len();
        Ok(())
    }
}

impl<T: FromZeros> KVec<T> {
    /// `count` values of zero bytes. Errors: `NO_MEMORY`.
    pub fn zeroed(cx: &mut Passive, count: usize) -> Result<Self> {
        let mut array = Self::with_capacity(cx, count)?;
        // SAFETY: memory for `count` values.
        unsafe { array.start.write_bytes(0, count) };
        array.len = count; // zero bytes are a value: `FromZeros`
        Ok(array)
    }
}

impl<T> Default for KVec<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for KVec<T> {
    fn drop(&mut self) {
        self.clear();
        self.release();
    }
}

impl<T> Deref for KVec<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `len` live values, borrowed as the array is.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for KVec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: `len` live values, borrowed as the array is.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

/// A fixed amount of memory to allocate from at any level. It lives until the pool and its last box are dropped.
///
/// Its allocator checks its own free list by assertions: a release build that shows that `int_at_irql` cannot panic counts
/// them.
///
/// INVARIANT: points to an arena of which this is one of the `users`.
pub struct Pool(NonNull<Arena>);
// SAFETY: the arena counts its users atomically, and its heap is behind a lock.
unsafe impl Send for Pool {}
// SAFETY: the arena's heap is behind a lock, and its count of users is atomic.
unsafe impl Sync for Pool {}

struct Arena {
    /// Pools and boxes that point here.
    users: AtomicUsize,
    heap: SpinLock<Heap, Irql>,
    memory: NonNull<u8>,
    layout: Layout,
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: of `allocate` with this layout; no box is left.
        unsafe { release(self.memory, self.layout) }
    }
}

impl Pool {
    /// Smallest pool, and what its size is rounded up to a multiple of: a cache line.
    const ALIGN: usize = 64;

    /// A pool of at least `bytes` bytes; each allocation costs up to 16 bytes more than its size. Errors: `NO_MEMORY`.
    #[track_caller]
    pub fn new(cx: &mut Passive, bytes: usize) -> Result<Self> {
        let size = bytes.max(1).checked_next_multiple_of(Self::ALIGN).ok_or(Status::NO_MEMORY)?;
        let layout = Layout::from_size_align(size, Self::ALIGN).map_err(|_| Status::NO_MEMORY)?;
        let heap = SpinLock::new(cx, Heap::empty())?;
        let arena = Arena { users: AtomicUsize::new(1), heap, memory: allocate(layout)?, layout };
        let arena = KBox::new(cx, arena)?;
        // SAFETY: this much memory, the heap's alone as long as the arena lives; done once.
        arena.heap.with_any(|heap| unsafe { heap.init(arena.memory.as_ptr(), size) });
        Ok(Self(arena.into_raw()))
    }

    /// Any level. Errors: `NO_MEMORY`; the value is dropped.
    pub fn alloc<T>(&self, value: T) -> Result<PoolBox<T>> {
        const { assert!(size_of::<T>() != 0, "a `PoolBox` needs a value that has bytes") }
        let place = self.arena().heap.with_any(|heap| heap.allocate_first_fit(Layout::new::<T>()));
        let place = place.map_err(|()| Status::NO_MEMORY)?.cast::<T>();
        // SAFETY: just allocated with T's layout.
        unsafe { place.write(value) };
        Ok(PoolBox { value: place, pool: self.share() })
    }

    fn arena(&self) -> &Arena {
        // SAFETY: alive as long as it has users.
        unsafe { self.0.as_ref() }
    }

    fn share(&self) -> Self {
        self.arena().users.fetch_add(1, Relaxed);
        Self(self.0)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.arena().users.fetch_sub(1, AcqRel) == 1 {
            // SAFETY: of `into_raw`, and the last user is gone.
            drop(unsafe { KBox::from_raw(self.0) });
        }
    }
}

/// One value in a [`Pool`]. INVARIANT: a live value, allocated from the pool's heap.
pub struct PoolBox<T> {
    value: NonNull<T>,
    pool: Pool,
}
// SAFETY: owns its value, as `T` itself would; the pool may be used from any thread.
unsafe impl<T: Send> Send for PoolBox<T> {}
// SAFETY: a shared box gives shared values only, as `T` itself would.
unsafe impl<T: Sync> Sync for PoolBox<T> {}

impl<T> Drop for PoolBox<T> {
    fn drop(&mut self) {
        // SAFETY: a live value, which nobody uses after this.
        unsafe { self.value.drop_in_place() };
        let place = self.value.cast();
        // SAFETY: of this heap, with this layout.
        self.pool.arena().heap.with_any(|heap| unsafe { heap.deallocate(place, Layout::new::<T>()) });
    }
}

impl<T> Deref for PoolBox<T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        // SAFETY: a live value, borrowed as the box is.
        unsafe { self.value.as_ref() }
    }
}

impl<T> DerefMut for PoolBox<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: a live value, borrowed as the box is.
        unsafe { self.value.as_mut() }
    }
}
