//! Where a DPC runs. A line that is never silent lets nothing else run on its processor.
use crate::{
    kernel::dpc::Dpc,
    kernel::optional::{PROCESSOR, PROCESSORS, SET_IMPORTANCE, SET_TARGET_PROCESSOR},
};

/// HighImportance: the other processor is told at once.
const HIGH: i32 = 2;

/// Has a DPC run on another processor, soon, if there is one. Any level.
///
/// # Safety
/// It is initialised, and not queued.
#[inline(never)] // as in `irql`
pub(crate) unsafe fn aim_elsewhere(dpc: &Dpc) {
    let (Some(count), Some(here)) = (PROCESSORS.get(), PROCESSOR.get()) else { return };
    let (Some(aim), Some(importance)) = (SET_TARGET_PROCESSOR.get(), SET_IMPORTANCE.get()) else { return };
    let (count, here) = (count(None).min(64), here(None));
    if count > 1 {
        // SAFETY: initialised, and not queued.
        unsafe { importance(dpc.as_raw(), HIGH) };
        // SAFETY: initialised, not queued, and for a processor that there is.
        unsafe { aim(dpc.as_raw(), ((here + 1) % count) as i8) };
    }
}
