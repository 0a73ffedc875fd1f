//! The frames of the protocol. What is not one ends the connection.
use kp_abi::{
    Status,
    socket::{Hello, MAGIC, MAX_BUFFER, ReplyFrame, RequestFrame, Welcome},
    zerocopy::{FromZeros, IntoBytes},
};
use std::{
    io::{self, ErrorKind, Read, Write},
    os::unix::net::UnixStream,
};

/// One request of an app's.
pub(super) struct Frame {
    pub(super) code: u32,
    pub(super) input: Vec<u8>,
    pub(super) out_len: usize,
}

/// A client's first words. Err: there are none, or not in time.
pub(super) fn read_hello(mut stream: &UnixStream) -> io::Result<Hello> {
    let mut hello = Hello::new_zeroed();
    stream.read_exact(hello.as_mut_bytes())?;
    if hello.magic == MAGIC { Ok(hello) } else { Err(ErrorKind::InvalidData.into()) }
}

pub(super) fn write_welcome(mut stream: &UnixStream, answer: Result<u64, Status>) -> io::Result<()> {
    let (status, handle) = answer.map_or_else(|status| (status.0, 0), |handle| (Status::OK.0, handle));
    stream.write_all(Welcome { magic: MAGIC, status, handle }.as_bytes())
}

/// What stands before a request. Err: the client has gone, or breaks the rules.
pub(super) fn read_head(mut stream: &UnixStream) -> io::Result<RequestFrame> {
    let mut head = RequestFrame::new_zeroed();
    stream.read_exact(head.as_mut_bytes())?;
    let fits = head.in_len <= MAX_BUFFER && head.out_len <= MAX_BUFFER && head.reserved == 0;
    if fits { Ok(head) } else { Err(ErrorKind::InvalidData.into()) }
}

/// The rest of a request.
pub(super) fn read_rest(mut stream: &UnixStream, head: &RequestFrame) -> io::Result<Frame> {
    let mut input = vec![0; head.in_len as usize];
    stream.read_exact(&mut input)?;
    Ok(Frame { code: head.code, input, out_len: head.out_len as usize })
}

pub(super) fn write_reply(mut stream: &UnixStream, answer: Result<&[u8], Status>) -> io::Result<()> {
    let (status, output) = answer.map_or_else(|status| (status, &[][..]), |output| (Status::OK, output));
    let head = ReplyFrame { status: status.0, out_len: output.len() as u32, reserved: [0; 2] };
    // In one piece, for a client that reads but once.
    stream.write_all(&[head.as_bytes(), output].concat())
}
