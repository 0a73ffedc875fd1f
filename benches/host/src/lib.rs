//! One request of 64 bytes and its reply, in one process: by a direct call, as a message, and through bincode and rkyv.
//!
//! All four end in the same handler, and all but the first check what they read. bincode and rkyv write to the stack: nothing here
//! allocates.
use bench_interface::bench::{self, Handler as _};
use kp_abi::{Message, Out, Reply, Result, Transport};
use rkyv::{
    api::low,
    rancor::Failure,
    ser::{allocator::SubAllocator, writer::Buffer},
    util::Align,
};
use std::{hint::black_box, mem::MaybeUninit};

/// What request and reply carry.
pub type Words = [u64; 8];

/// Answers messages.
pub struct Plugin;

impl bench::Handler<()> for Plugin {
    fn null(&self, _: &mut (), _: &()) -> Result<()> {
        Ok(())
    }

    #[inline(never)]
    fn copy64(&self, _: &mut (), _: &(), words: Words) -> Result<Words> {
        Ok(words)
    }

    fn copy(&self, _: &mut (), _: &(), data: &[u8], out: &mut Out<'_, '_, u8>) -> Result<()> {
        out.extend(data)
    }
}

/// Carries a message to the plugin in the same process.
struct Loopback;

impl Transport for Loopback {
    #[inline]
    fn call(&self, id: u32, args: &[u8], data: &[u8], reply: &mut [u8]) -> Result<usize> {
        let mut reply = Reply::new(reply);
        let message = Message { id: black_box(id), args: black_box(args), data };
        bench::dispatch(&Plugin, &mut (), &(), message, &mut reply)?;
        Ok(reply.written())
    }
}

/// Calls the handler's method.
#[inline(never)]
pub fn direct(words: Words) -> Words {
    Plugin.copy64(&mut (), &(), words).unwrap_or([0; 8])
}

/// Sends the message: the client's method, the checks of `dispatch`, the handler, and the client's check of the reply.
#[inline(never)]
pub fn dispatch(words: Words) -> Words {
    bench::Client(Loopback).copy64(words).unwrap_or([0; 8])
}

/// The requests of the same interface, as bincode and rkyv have them.
#[derive(bincode::Encode, bincode::Decode, rkyv::Archive, rkyv::Serialize)]
enum Request {
    Null,
    Copy64(Words),
    Copy(u32),
}

const CONFIG: bincode::config::Configuration<bincode::config::LittleEndian, bincode::config::Fixint> =
    bincode::config::standard().with_fixed_int_encoding();

/// Sends the request by bincode.
#[inline(never)]
pub fn bincode(words: Words) -> Words {
    through_bincode(words).unwrap_or([0; 8])
}

fn through_bincode(words: Words) -> Option<Words> {
    let mut wire = [0; 80];
    let len = bincode::encode_into_slice(Request::Copy64(words), &mut wire, CONFIG).ok()?;
    let (request, _) = bincode::decode_from_slice(black_box(&wire[..len]), CONFIG).ok()?;
    let Request::Copy64(words) = request else { return None };
    let reply = Plugin.copy64(&mut (), &(), words).ok()?;
    let len = bincode::encode_into_slice(reply, &mut wire, CONFIG).ok()?;
    bincode::decode_from_slice(black_box(&wire[..len]), CONFIG).ok().map(|(reply, _)| reply)
}

/// Sends the request by rkyv, which reads it where it lies.
#[inline(never)]
pub fn rkyv(words: Words) -> Words {
    through_rkyv(words).unwrap_or([0; 8])
}

fn through_rkyv(words: Words) -> Option<Words> {
    let mut wire = Align([MaybeUninit::<u8>::uninit(); 80]);
    let mut nothing: [MaybeUninit<u8>; 0] = [];
    let room = Buffer::from(&mut wire.0);
    let request =
        low::to_bytes_in_with_alloc::<_, _, Failure>(&Request::Copy64(words), room, SubAllocator::new(&mut nothing));
    let request = request.ok()?;
    let ArchivedRequest::Copy64(words) = low::access::<ArchivedRequest, Failure>(black_box(&request)).ok()? else {
        return None;
    };
    let reply = Plugin.copy64(&mut (), &(), words.map(|word| word.to_native())).ok()?;
    let mut wire = Align([MaybeUninit::<u8>::uninit(); 80]);
    let room = Buffer::from(&mut wire.0);
    let reply = low::to_bytes_in_with_alloc::<_, _, Failure>(&reply, room, SubAllocator::new(&mut nothing)).ok()?;
    low::access::<rkyv::Archived<Words>, Failure>(black_box(&reply))
        .ok()
        .map(|reply| reply.map(|word| word.to_native()))
}

/// A request and its reply.
pub type Way = fn(Words) -> Words;

/// All of them, by name.
pub const WAYS: [(&str, Way); 4] =
    [("direct-64", direct), ("dispatch-64", dispatch), ("bincode-64", bincode), ("rkyv-64", rkyv)];

#[cfg(test)]
mod tests {
    #[test]
    fn every_way_gives_the_words_back() {
        let words = std::array::from_fn(|at| at as u64);
        for (name, way) in super::WAYS {
            assert_eq!(way(words), words, "{name}");
        }
    }
}
