//! A plugin is ready for happenings that do not exist yet.
use kp_core::*;

pub fn event(happening: Happening) -> Deliver {
    match happening {
        Happening::Suspend | Happening::Resume => Deliver::Swallow,
        Happening::Removing => Deliver::ToApp,
    }
}
