//! A kernel function that is looked up by its name.
use crate::{kernel::names::Name, nt::MmGetSystemRoutineAddress};
use core::{
    ffi::{CStr, c_void},
    marker::PhantomData,
    mem::transmute_copy,
    ptr,
    sync::atomic::{AtomicPtr, Ordering::Relaxed},
};

/// A kernel function that not every kernel has, which is looked up once. `F`: its type, a function pointer's.
pub(crate) struct Routine<F> {
    lookup: Lookup,
    function: PhantomData<F>,
}

struct Lookup {
    name: &'static CStr,
    at: AtomicPtr<c_void>,
}

impl<F: Copy> Routine<F> {
    /// # Safety
    /// `F` is the type of a pointer to the kernel's function of this name.
    pub(crate) const unsafe fn new(name: &'static CStr) -> Self {
        const { assert!(size_of::<F>() == size_of::<*mut c_void>()) };
        Self { lookup: Lookup { name, at: AtomicPtr::new(ptr::null_mut()) }, function: PhantomData }
    }

    /// Looks it up. Passive, before it is first used.
    pub(crate) fn find(&self) {
        self.lookup.find();
    }

    /// None: this kernel does not have it.
    #[inline]
    pub(crate) fn get(&self) -> Option<F> {
        let at = self.lookup.at.load(Relaxed);
        // SAFETY: the address of the kernel's function, whose pointers have this type, as `new` was promised.
        (!at.is_null()).then(|| unsafe { transmute_copy::<*mut c_void, F>(&at) })
    }
}

impl Lookup {
    #[inline(never)] // the same for all types
    fn find(&self) {
        let name = Name::new(&[self.name.to_str().unwrap_or_default()]);
        // SAFETY: the text is alive for the call.
        self.at.store(unsafe { MmGetSystemRoutineAddress(&name.as_unicode()) }, Relaxed);
    }
}
