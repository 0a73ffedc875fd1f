//! Connections through a device node.
mod bus;
mod direct;
mod group;
mod kernel;
mod mapping;
mod node;
mod nodes;
mod prepared;
mod socket;

pub use node::Node;
pub(crate) use nodes::{list, open, why_not_at};
pub use socket::Socket;
