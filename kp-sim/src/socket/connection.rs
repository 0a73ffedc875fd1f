//! One connection of a handle's, as the threads that serve it see it.
use super::{handle::Handle, record::Record};
use crate::{Process, Sim};
use kp_core::Plugin;
use std::{net::Shutdown, os::unix::net::UnixStream};

pub(super) struct Connection<'a, P: Plugin> {
    pub(super) sim: &'a Sim<P>,
    pub(super) handle: &'a Handle<P>,
    /// The app's thread that waits in the kernel for what is asked here.
    pub(super) thread: Process,
    pub(super) stream: &'a UnixStream,
    pub(super) record: Option<&'a Record>,
}

impl<P: Plugin> Connection<'_, P> {
    /// What is waited for ends: the client has gone.
    pub(super) fn cancel(&self) {
        self.sim.kill(&self.thread);
    }

    pub(super) fn close(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}
