//! A connection that carries requests, one at a time. It is read while one is under way, by a thread of its own: a client that goes ends its
//! request.
use super::{
    connection::Connection,
    frame::{Frame, read_head, read_rest, write_reply},
};
use kp_abi::{
    Status,
    request::{IntWait, Request, control_code},
};
use kp_core::Plugin;
use std::{
    io::{self, ErrorKind},
    panic,
    sync::{
        atomic::{AtomicBool, Ordering::*},
        mpsc::{self, Receiver, Sender},
    },
    thread,
};

/// Serves until the client goes, or breaks the rules. A panic of the thread that serves goes on here.
pub(super) fn serve<P: Plugin>(connection: &Connection<'_, P>) {
    let is_busy = &AtomicBool::new(false);
    let (give, frames) = mpsc::channel();
    thread::scope(|scope| {
        let answer = || answer_all(connection, frames, is_busy);
        let Ok(server) = thread::Builder::new().name("request".into()).spawn_scoped(scope, answer) else { return };
        let gone = read_all(connection, give, is_busy);
        // A client that has closed its own side may wait for the end of its handle on the other one. One that breaks the rules gets no answer.
        if gone != ErrorKind::UnexpectedEof {
            connection.close();
        }
        connection.cancel();
        if let Err(payload) = server.join() {
            panic::resume_unwind(payload);
        }
    });
}

/// Passes requests on. Why there are no more.
fn read_all<P: Plugin>(connection: &Connection<'_, P>, give: Sender<Frame>, is_busy: &AtomicBool) -> ErrorKind {
    loop {
        let frame = match read_head(connection.stream) {
            // The next one comes after the answer to this one.
            Ok(_) if is_busy.swap(true, AcqRel) => return ErrorKind::InvalidData,
            Ok(head) => read_rest(connection.stream, &head),
            Err(error) => Err(error),
        };
        match frame.map(|frame| give.send(frame)) {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return ErrorKind::BrokenPipe,
            Err(error) => return error.kind(),
        }
    }
}

fn answer_all<P: Plugin>(connection: &Connection<'_, P>, frames: Receiver<Frame>, is_busy: &AtomicBool) {
    for frame in frames {
        if answer(connection, &frame, is_busy).is_err() {
            connection.close();
            return;
        }
    }
}

/// Serves one request. Err: the client has gone.
fn answer<P: Plugin>(connection: &Connection<'_, P>, frame: &Frame, is_busy: &AtomicBool) -> io::Result<()> {
    const INT_WAIT: Option<u32> = control_code(<IntWait as Request>::NR);
    if let Some(record) = connection.record {
        record.add(frame.code, &frame.input);
    }
    let mut output = vec![0; frame.out_len];
    let answer = match &*connection.handle.app() {
        None => Err(Status::CLOSED),
        Some(app) => {
            let answer = app.control_in(&connection.thread, frame.code, &frame.input, &mut output);
            // What is left is said before the answer: a client may look as soon as it has that.
            if Some(frame.code) == INT_WAIT && app.readiness().notification {
                connection.handle.tell();
            }
            answer
        }
    };
    is_busy.store(false, Release);
    write_reply(connection.stream, answer.map(|written| &output[..written]))
}
