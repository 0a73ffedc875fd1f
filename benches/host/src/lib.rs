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
pub type Bytes = [u8; 64];

/// Answers messages.
pub struct Plugin;

impl bench::Handler<()> for Plugin {
    fn null(&self, _: &mut (), _: &()) -> Result<()> {
        Ok(())
    }

    #[inline(never)]
    fn copy64(&self, _: &mut (), _: &(), bytes: Bytes) -> Result<Bytes> {
        Ok(bytes)
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
        bench::dispatch(&Plugin, &mut (), &(), black_box(Message { id, args, data }), &mut reply)?;
        Ok(reply.written())
    }
}

/// Calls the handler's method.
#[inline(never)]
pub fn direct(bytes: Bytes) -> Bytes {
    Plugin.copy64(&mut (), &(), bytes).unwrap_or([0; 64])
}

/// Sends the message: the client's method, the checks of `dispatch`, the handler, and the client's check of the reply.
#[inline(never)]
pub fn dispatch(bytes: Bytes) -> Bytes {
    bench::Client(Loopback).copy64(bytes).unwrap_or([0; 64])
}

/// The requests of the same interface, as bincode and rkyv have them.
#[derive(bincode::Encode, bincode::Decode, rkyv::Archive, rkyv::Serialize)]
enum Request {
    Null,
    Copy64(Bytes),
    Copy(u32),
}

const CONFIG: bincode::config::Configuration<bincode::config::LittleEndian, bincode::config::Fixint> =
    bincode::config::standard().with_fixed_int_encoding();

/// Sends the request by bincode.
#[inline(never)]
pub fn bincode(bytes: Bytes) -> Bytes {
    through_bincode(bytes).unwrap_or([0; 64])
}

fn through_bincode(bytes: Bytes) -> Option<Bytes> {
    let mut wire = [0; 80];
    let len = bincode::encode_into_slice(Request::Copy64(bytes), &mut wire, CONFIG).ok()?;
    let (request, _) = bincode::decode_from_slice(black_box(&wire[..len]), CONFIG).ok()?;
    let Request::Copy64(bytes) = request else { return None };
    let reply = Plugin.copy64(&mut (), &(), bytes).ok()?;
    let len = bincode::encode_into_slice(reply, &mut wire, CONFIG).ok()?;
    bincode::decode_from_slice(black_box(&wire[..len]), CONFIG).ok().map(|(reply, _)| reply)
}

/// Sends the request by rkyv, which reads it where it lies.
#[inline(never)]
pub fn rkyv(bytes: Bytes) -> Bytes {
    through_rkyv(bytes).unwrap_or([0; 64])
}

fn through_rkyv(bytes: Bytes) -> Option<Bytes> {
    let mut wire = Align([MaybeUninit::<u8>::uninit(); 80]);
    let mut nothing: [MaybeUninit<u8>; 0] = [];
    let room = Buffer::from(&mut wire.0);
    let request =
        low::to_bytes_in_with_alloc::<_, _, Failure>(&Request::Copy64(bytes), room, SubAllocator::new(&mut nothing));
    let request = request.ok()?;
    let ArchivedRequest::Copy64(bytes) = low::access::<ArchivedRequest, Failure>(black_box(&request)).ok()? else {
        return None;
    };
    let reply = Plugin.copy64(&mut (), &(), *bytes).ok()?;
    let mut wire = Align([MaybeUninit::<u8>::uninit(); 80]);
    let room = Buffer::from(&mut wire.0);
    let reply = low::to_bytes_in_with_alloc::<_, _, Failure>(&reply, room, SubAllocator::new(&mut nothing)).ok()?;
    low::access::<Bytes, Failure>(black_box(&reply)).ok().copied()
}

/// A request and its reply.
pub type Way = fn(Bytes) -> Bytes;

/// All of them, by name.
pub const WAYS: [(&str, Way); 4] =
    [("direct-64", direct), ("dispatch-64", dispatch), ("bincode-64", bincode), ("rkyv-64", rkyv)];

#[cfg(test)]
mod tests {
    #[test]
    fn every_way_gives_the_bytes_back() {
        let bytes = std::array::from_fn(|at| at as u8);
        for (name, way) in super::WAYS {
            assert_eq!(way(bytes), bytes, "{name}");
        }
    }
}
