//! A message's bytes, and the room for its reply, are the call's own: nobody keeps them.
use kp_core::*;

pub struct Keeps {
    data: Mutex<Option<&'static [u8]>>,
    reply: Mutex<Option<Reply<'static>>>,
}

impl Keeps {
    fn keep_data<'m>(&self, cx: &mut Passive, message: Message<'m>) {
        self.data.with(cx, |kept, _| *kept = Some(message.data));
    }
    fn keep_reply<'m>(&self, cx: &mut Passive, reply: &mut Reply<'m>) {
        let reply = core::mem::replace(reply, Reply::new(&mut []));
        self.reply.with(cx, |kept, _| *kept = Some(reply));
    }
}
