//! Batches: messages that queue up and go in one request, typed like calls.
use crate::{Element, Result, Status, Wire};
use core::{fmt, marker::PhantomData, num::NonZeroU64};

/// Where messages queue up.
pub trait Queue {
    /// Queues message `id`, with room for a reply of `room` bytes. [`Status::BUSY`] if there is no place for it any more.
    fn queue(&mut self, id: u32, args: &[u8], data: &[u8], room: usize) -> Result<Place>;
}

/// What can send messages in batches.
pub trait Batching {
    /// The batch.
    type Queue: Queue;

    /// Starts one.
    fn start_batch(&self) -> Result<Self::Queue>;
}

/// Where a message stands: in which run of which batch, and its number there. Only the queue that gave it knows what to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of the run.
    pub run: NonZeroU64,
    /// Number of the message in it, from 0.
    pub number: usize,
}

/// A message in a batch, by which its reply is asked for; `R` is the reply's type.
pub struct Ticket<R: ?Sized> {
    place: Place,
    reply: PhantomData<fn(&R)>,
}

impl<R: ?Sized> Ticket<R> {
    #[doc(hidden)]
    pub fn __new(place: Place) -> Self {
        Self { place, reply: PhantomData }
    }

    /// The message's place.
    pub fn place(&self) -> Place {
        self.place
    }
}

impl<R: Wire> Ticket<R> {
    /// The reply that these bytes are. [`Status::PROTOCOL`] if they are none.
    pub fn read(&self, bytes: &[u8]) -> Result<R> {
        match R::try_read_from_bytes(bytes) {
            Ok(value) if value.valid() => Ok(value),
            _ => Err(Status::PROTOCOL.into()),
        }
    }
}

impl<R: Element> Ticket<[R]> {
    /// How many elements so many bytes are. [`Status::PROTOCOL`] if they are no whole number.
    pub fn count(&self, bytes: usize) -> Result<usize> {
        if bytes.is_multiple_of(size_of::<R>()) { Ok(bytes / size_of::<R>()) } else { Err(Status::PROTOCOL.into()) }
    }
}

impl<R: ?Sized> Clone for Ticket<R> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<R: ?Sized> Copy for Ticket<R> {}
impl<R: ?Sized> fmt::Debug for Ticket<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ticket").field(&self.place).finish()
    }
}

/// The batch's method of a message.
#[doc(hidden)]
#[macro_export]
macro_rules! __batch_method {
    ([$(doc = $doc:literal,)*] $id:literal $method:ident ($($arg:ident: $ty:ty),* $(,)?)) => {
        $crate::__batch_method! { [$(doc = $doc,)*] $id $method ($($arg: $ty),*) () }
    };
    ([$(doc = $doc:literal,)*] $id:literal $method:ident ($($arg:ident: $ty:ty),* $(,)?) [$reply:ty]) => {
        $(#[doc = $doc])*
        #[doc = concat!("\n\nQueues message ", $id, ". `room` is how many elements the reply may have.")]
        #[allow(clippy::too_many_arguments, reason = "as many as the message has")]
        #[inline]
        pub fn $method(&mut self, $($arg: $ty,)* room: usize) -> $crate::Result<$crate::Ticket<[$reply]>> {
            let writer = $crate::__gather!($($arg: $ty),*);
            let room = room.saturating_mul(::core::mem::size_of::<$reply>());
            $crate::Queue::queue(&mut self.0, $id, writer.args(), writer.data(), room).map($crate::Ticket::__new)
        }
    };
    ([$(doc = $doc:literal,)*] $id:literal $method:ident ($($arg:ident: $ty:ty),* $(,)?) $reply:ty) => {
        $(#[doc = $doc])*
        #[doc = concat!("\n\nQueues message ", $id, ".")]
        #[allow(clippy::too_many_arguments, reason = "as many as the message has")]
        #[inline]
        pub fn $method(&mut self, $($arg: $ty),*) -> $crate::Result<$crate::Ticket<$reply>> {
            let writer = $crate::__gather!($($arg: $ty),*);
            let room = ::core::mem::size_of::<$reply>();
            $crate::Queue::queue(&mut self.0, $id, writer.args(), writer.data(), room).map($crate::Ticket::__new)
        }
    };
    ([$(doc = $doc:literal,)* retired, $(doc = $more:literal,)*] $($declaration:tt)*) => {};
}
