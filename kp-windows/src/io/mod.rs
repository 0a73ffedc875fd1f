//! Requests: what apps and the kernel ask of the driver, as IRPs.
//!
//! - `irp`: one request, of whatever kind. `device_object`: what it is for. `dispatch`: how the kernel hands both over.
//! - `node`: what apps open. `handle`: CREATE to CLOSE. `control`: DeviceIoControl. `wait`: the requests that stay pending. `outcome`:
//!   whether one does.
//! - `buffered_request`: an app's bytes, as kp-core reads and writes them. `seh`: copies that may fail. `pinned`: an app's memory that stays, and its
//!   request with it. `work_item`: what is run later.
pub(crate) mod buffered_request;
pub(crate) mod control;
pub(crate) mod device_object;
pub(crate) mod dispatch;
pub(crate) mod handle;
pub(crate) mod irp;
pub(crate) mod node;
pub(crate) mod outcome;
pub(crate) mod pinned;
pub(crate) mod seh;
pub(crate) mod wait;
pub(crate) mod work_item;
