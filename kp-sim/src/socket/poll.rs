//! A connection that is readable when a notification can be taken, and hung up when the session is over.
use super::connection::Connection;
use kp_core::Plugin;
use std::{io::Read, panic, thread};

/// Tells the client until it goes, or its session is over. A panic of the thread that watches goes on here.
pub(super) fn serve<P: Plugin>(connection: &Connection<'_, P>) {
    thread::scope(|scope| {
        let watch = || watch(connection);
        let Ok(watcher) = thread::Builder::new().name("poll".into()).spawn_scoped(scope, watch) else { return };
        // A client says nothing here.
        let mut stream = connection.stream;
        let _ = stream.read(&mut [0]);
        connection.cancel();
        connection.close();
        if let Err(payload) = watcher.join() {
            panic::resume_unwind(payload);
        }
    });
}

fn watch<P: Plugin>(connection: &Connection<'_, P>) {
    let mut seen = None;
    while let Some(app) = &*connection.handle.app() {
        let (readiness, wakes) = app.poll_in(&connection.thread, seen);
        if readiness.over || connection.thread.is_killed() {
            break;
        }
        if readiness.notification {
            connection.handle.tell();
        }
        seen = Some(wakes);
    }
    connection.close();
}
