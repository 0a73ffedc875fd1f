//! Where a deferred call runs. A line that is never silent lets nothing else run on its processor.
use crate::{kernel::names::Routine, nt::Dpc};
use core::{ffi::c_void, mem::transmute, ptr, ptr::NonNull};

static COUNT: Routine = Routine::new(c"KeQueryActiveProcessorCount");
static HERE: Routine = Routine::new(c"KeGetCurrentProcessorNumberEx");
static AIM: Routine = Routine::new(c"KeSetTargetProcessorDpc");
static IMPORTANCE: Routine = Routine::new(c"KeSetImportanceDpc");

/// HighImportance: the other processor is told at once.
const HIGH: i32 = 2;

/// Looks up what not every kernel has. Passive, before anything else here.
pub(crate) fn find_all() {
    for routine in [&COUNT, &HERE, &AIM, &IMPORTANCE] {
        routine.find();
    }
}

/// Has a deferred call run on another processor, soon, if there is one. Any level.
///
/// # Safety
/// It is initialised, and not queued.
#[inline(never)] // as in `irql`
pub(crate) unsafe fn aim_elsewhere(dpc: *mut Dpc) {
    let (Some(count), Some(here)) = (COUNT.get(), HERE.get()) else { return };
    let (Some(aim), Some(importance)) = (AIM.get(), IMPORTANCE.get()) else { return };
    // SAFETY: KeQueryActiveProcessorCount has this type.
    let count = unsafe { transmute::<NonNull<c_void>, unsafe extern "efiapi" fn(*mut usize) -> u32>(count) };
    // SAFETY: KeGetCurrentProcessorNumberEx has this type.
    let here = unsafe { transmute::<NonNull<c_void>, unsafe extern "efiapi" fn(*mut c_void) -> u32>(here) };
    // SAFETY: KeSetTargetProcessorDpc has this type.
    let aim = unsafe { transmute::<NonNull<c_void>, unsafe extern "efiapi" fn(*mut Dpc, i8)>(aim) };
    // SAFETY: KeSetImportanceDpc has this type.
    let importance = unsafe { transmute::<NonNull<c_void>, unsafe extern "efiapi" fn(*mut Dpc, i32)>(importance) };
    // SAFETY: nothing is asked for but the number.
    let count = unsafe { count(ptr::null_mut()) }.min(64);
    // SAFETY: as above.
    let here = unsafe { here(ptr::null_mut()) };
    if count > 1 {
        // SAFETY: the caller's promise.
        unsafe { importance(dpc, HIGH) };
        // SAFETY: as above, and a processor that there is.
        unsafe { aim(dpc, ((here + 1) % count) as i8) };
    }
}
