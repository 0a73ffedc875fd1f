//! One handle, and what is connected to it.
use super::linux::send_byte;
use crate::{App, Process, sync::lock};
use kp_core::Plugin;
use std::{
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard},
};

/// One open handle. It lives as long as the connection that made it.
pub(super) struct Handle<P: Plugin> {
    /// None once it is closed.
    app: RwLock<Option<App<P>>>,
    process: Process,
    members: Mutex<Members>,
}

#[derive(Default)]
struct Members {
    is_over: bool,
    next: u64,
    list: Vec<Member>,
}

/// A connection of the handle's, but for the first one.
struct Member {
    id: u64,
    stream: Arc<UnixStream>,
    is_poll: bool,
}

impl<P: Plugin> Handle<P> {
    pub(super) fn new(app: App<P>, process: Process) -> Self {
        Self { app: RwLock::new(Some(app)), process, members: Mutex::default() }
    }

    /// A thread of the app's.
    pub(super) fn thread(&self) -> Process {
        self.process.thread()
    }

    /// The app, as long as the answer is held; nothing if the handle is closed. A thread holds one at a time.
    pub(super) fn app(&self) -> RwLockReadGuard<'_, Option<App<P>>> {
        self.app.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another connection has come: its number. None: the handle is closed, or about to be.
    pub(super) fn join(&self, stream: &Arc<UnixStream>, is_poll: bool) -> Option<u64> {
        let mut members = lock(&self.members);
        if members.is_over {
            return None;
        }
        members.next += 1;
        let id = members.next;
        members.list.push(Member { id, stream: stream.clone(), is_poll });
        Some(id)
    }

    pub(super) fn leave(&self, id: u64) {
        lock(&self.members).list.retain(|member| member.id != id);
    }

    /// A notification can be taken: each poll connection is told.
    pub(super) fn tell(&self) {
        lock(&self.members).list.iter().filter(|member| member.is_poll).for_each(|member| send_byte(&member.stream));
    }

    /// Closes the handle: its other connections end, and with them what they wait for. Then its session is released.
    pub(super) fn close(&self) {
        let others = {
            let mut members = lock(&self.members);
            members.is_over = true;
            std::mem::take(&mut members.list)
        };
        for member in others {
            let _ = member.stream.shutdown(Shutdown::Both);
        }
        let app = self.app.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(app);
    }
}
