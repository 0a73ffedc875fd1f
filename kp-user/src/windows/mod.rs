//! Connections through a device's name. What touches Windows is in `handle`, with `event` and `errors`, in `kept`, `nodes` and `pending`.
mod answer;
mod control;
#[cfg(windows)]
mod errors;
#[cfg(windows)]
mod event;
#[cfg(windows)]
mod handle;
#[cfg(windows)]
mod kept;
mod node;
#[cfg(windows)]
mod nodes;
#[cfg(windows)]
mod pending;

pub use control::DeviceControl;
#[cfg(windows)]
pub use control::Handle;
pub use node::ControlNode;
#[cfg(windows)]
pub use node::Node;
#[cfg(windows)]
pub(crate) use nodes::{list, open};
#[cfg(windows)]
pub use pending::PendingWait;
