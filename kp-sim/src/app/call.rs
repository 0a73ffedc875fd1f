//! Messages: as CALL, and in its direct form.
use super::{App, Layout, length};
use kp_abi::{
    Error, Result, Shape, Status,
    request::{self, Answer, Request, Segments},
    zerocopy::IntoBytes,
};
use kp_core::Plugin;

impl<P: Plugin> App<P> {
    /// In the direct form: the buffer where a request's struct would be.
    pub(super) fn call_directly(
        &self,
        layout: &Layout,
        shape: Shape,
        message: u32,
        args: &[u8],
        data: &[u8],
        reply: &mut [u8],
    ) -> Result<usize> {
        let (buffer, memory) = (layout.arena.address, self.memory());
        let body = buffer + size_of::<Answer>() as u64;
        match shape {
            Shape::Fixed { .. } => memory.write(body, args)?,
            Shape::Segments { .. } => {
                let (in_addr, out_addr) = (layout.input, layout.output);
                let segments = Segments { in_len: length(data)?, out_len: length(reply)?, in_addr, out_addr };
                memory.write(body, segments.as_bytes())?;
                memory.write(body + size_of::<Segments>() as u64, args)?;
                memory.write(layout.input, data)?;
            }
        }
        let status = self.raw_direct(message, buffer)?;
        let answer: Answer = memory.value(buffer)?;
        if status != Status::OK {
            return Err(Error::new(Status(answer.status), answer.detail));
        }
        let (from, written) = match shape {
            Shape::Fixed { reply, .. } => (body, reply),
            Shape::Segments { .. } => (layout.output, answer.detail as usize),
        };
        memory.read(from, reply.get_mut(..written).ok_or(Status::PROTOCOL)?)?;
        Ok(written)
    }

    /// As CALL.
    pub(super) fn call_in(
        &self,
        layout: &Layout,
        (message, flags): (u32, u32),
        args: &[u8],
        data: &[u8],
        reply: &mut [u8],
    ) -> Result<usize> {
        let mut call = request::Call::new();
        call.head.flags = flags;
        call.message = message;
        (call.args_len, call.in_len, call.out_len) = (length(args)?, length(data)?, length(reply)?);
        let data_at = layout.input + args.len().next_multiple_of(8) as u64;
        (call.args_addr, call.in_addr, call.out_addr) = (layout.input, data_at, layout.output);
        self.memory().write(layout.input, args)?;
        self.memory().write(data_at, data)?;
        self.send(layout, &mut call)?;
        let written = call.head.detail as usize;
        let room = reply.get_mut(..written).ok_or(Status::PROTOCOL)?;
        self.memory().read(layout.output, room)?;
        Ok(written)
    }
}
