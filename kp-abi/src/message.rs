//! Messages: how their arguments and replies become bytes, and who carries them.
//!
//! Fixed arguments stand back to back without padding; one slice, the last parameter, is the data. Hosts copy both from
//! the app once and place the data at a multiple of 8, so that a slice can be used where it lies.
use crate::{Error, Result, Status, Type, Wire};
use core::marker::PhantomData;
use zerocopy::{FromBytes, IntoBytes, TryCastError, TryFromBytes};

/// One call as the host copied it, once, from the app. Never user memory.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Number of the message.
    pub id: u32,
    /// The fixed arguments, back to back.
    pub args: &'a [u8],
    /// The data: elements of the last parameter, if that is a slice. The host places it at a multiple of 8.
    pub data: &'a [u8],
}

/// Where the answer goes. It counts what was written, and nothing else ever leaves the kernel: the room behind may hold
/// old bytes, and no method shows them.
///
/// `'a` is the time for which the message's own bytes stay as they are: what lives that long can be [lent](Self::lend).
pub struct Reply<'a> {
    room: &'a mut [u8],
    written: usize,
    /// The whole reply, if it is not empty: then nothing is in `room` yet.
    lent: &'a [u8],
}

impl<'a> Reply<'a> {
    /// An empty reply with this room.
    #[inline]
    pub fn new(room: &'a mut [u8]) -> Self {
        Self { room, written: 0, lent: &[] }
    }

    /// Bytes that can still be written.
    #[inline]
    pub fn room(&self) -> usize {
        self.room.len() - self.written
    }

    /// Bytes written so far.
    #[inline]
    pub fn written(&self) -> usize {
        self.written
    }

    /// Is there room for `more` bytes? Else [`Status::OUTPUT_LENGTH`]; the detail is the length of the whole reply.
    #[inline]
    pub fn need(&self, more: usize) -> Result<()> {
        if more <= self.room() { Ok(()) } else { Err(self.too_small(more)) }
    }

    /// Appends a value. [`Status::OUTPUT_LENGTH`] as for [`need`](Self::need); then nothing is written.
    #[inline]
    pub fn put<T: Wire>(&mut self, value: &T) -> Result<()> {
        self.bytes(value.as_bytes())
    }

    /// Appends bytes. [`Status::OUTPUT_LENGTH`] as for [`need`](Self::need); then nothing is written.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let Some(place) = self.room.get_mut(self.written..).and_then(|room| room.get_mut(..bytes.len())) else {
            return Err(self.too_small(bytes.len()));
        };
        place.copy_from_slice(bytes);
        self.written += bytes.len();
        if !self.lent.is_empty() {
            self.settle();
        }
        Ok(())
    }

    /// Appends bytes that stay as they are until the app has its reply: the message's own, above all. They are not copied if they
    /// are the whole reply. [`Status::OUTPUT_LENGTH`] as for [`need`](Self::need); then nothing is written.
    #[inline]
    pub fn lend(&mut self, bytes: &'a [u8]) -> Result<()> {
        if self.written != 0 {
            return self.append(bytes);
        }
        self.need(bytes.len())?;
        self.written = bytes.len();
        self.lent = bytes;
        Ok(())
    }

    /// What was written, for the host.
    #[inline]
    pub fn into_bytes(self) -> &'a [u8] {
        if self.lent.is_empty() { self.room.get(..self.written).unwrap_or_default() } else { self.lent }
    }

    /// The reply as a list of `T`: what handlers of `-> [T]` write to.
    #[inline]
    pub fn out<T: Wire>(&mut self) -> Out<'_, 'a, T> {
        Out { reply: self, elements: PhantomData }
    }

    /// There is something before these bytes: they have to be where the rest is.
    #[cold]
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes(bytes)
    }

    /// Something was appended to bytes that were lent: they have to be where the rest is.
    #[cold]
    fn settle(&mut self) {
        if let Some(place) = self.room.get_mut(..self.lent.len()) {
            place.copy_from_slice(self.lent);
        }
        self.lent = &[];
    }

    #[cold]
    fn too_small(&self, more: usize) -> Error {
        let needed = self.written.saturating_add(more);
        Error::new(Status::OUTPUT_LENGTH, u32::try_from(needed).unwrap_or(u32::MAX))
    }
}

/// A reply of as many `T` as the app has room for. `'a` is that of [`Reply`].
pub struct Out<'r, 'a, T> {
    reply: &'r mut Reply<'a>,
    elements: PhantomData<fn(T)>,
}

impl<'a, T: Wire> Out<'_, 'a, T> {
    /// Elements that can still be written.
    pub fn room(&self) -> usize {
        self.reply.room() / size_of::<T>()
    }

    /// Appends an element. [`Status::OUTPUT_LENGTH`] as for [`Reply::need`]; then nothing is written.
    #[inline]
    pub fn push(&mut self, element: T) -> Result<()> {
        self.reply.put(&element)
    }

    /// Appends elements. [`Status::OUTPUT_LENGTH`] as for [`Reply::need`]; then nothing is written.
    #[inline]
    pub fn extend(&mut self, elements: &[T]) -> Result<()> {
        self.reply.bytes(elements.as_bytes())
    }

    /// Appends elements of the message itself, or others that live as long. They are not copied if they are the whole reply.
    /// [`Status::OUTPUT_LENGTH`] as for [`Reply::need`]; then nothing is written.
    #[inline]
    pub fn lend(&mut self, elements: &'a [T]) -> Result<()> {
        self.reply.lend(elements.as_bytes())
    }
}

/// The host's side of one call in the direct form, as the `direct` of an [`interface!`](crate::interface!) drives it: that knows the
/// messages, this knows the app's buffer, the plugin and its session.
pub trait Direct: Sized {
    /// The plugin.
    type Handler: ?Sized;
    /// The level its methods get.
    type Context: ?Sized;
    /// The session its methods get.
    type Session: ?Sized;
    /// What is to be told to the app.
    type Answer;

    /// Message `ID` has [`Shape::Fixed`](crate::Shape::Fixed). `run` answers it; its data are empty, and the reply has room for `REPLY` bytes.
    /// A host may stop the build if the plugin's interface says another shape: the app has no more memory there.
    fn fixed<const ID: u32, const ARGS: usize, const REPLY: usize>(
        self,
        run: impl for<'m> FnOnce(
            &Self::Handler,
            &mut Self::Context,
            &Self::Session,
            Message<'m>,
            &mut Reply<'m>,
        ) -> Result<()>,
    ) -> Self::Answer;

    /// The message has [`Shape::Segments`](crate::Shape::Segments), and `args` bytes of arguments. `run` answers it, as `dispatch` would.
    fn segments(
        self,
        args: usize,
        run: impl for<'m> FnOnce(
            &Self::Handler,
            &mut Self::Context,
            &Self::Session,
            Message<'m>,
            &mut Reply<'m>,
        ) -> Result<()>,
    ) -> Self::Answer;

    /// There is no such message.
    fn unknown(self) -> Self::Answer;
}

/// Takes a message's arguments out, one by one. `dispatch` uses it.
pub struct Reader<'a> {
    args: &'a [u8],
    data: Option<&'a [u8]>,
}

impl<'a> Reader<'a> {
    /// At the first argument.
    #[inline]
    pub fn new(message: &Message<'a>) -> Self {
        Self { args: message.args, data: Some(message.data) }
    }

    /// [`Status::INPUT_LENGTH`] if something is left over.
    #[inline]
    pub fn finish(self) -> Result<()> {
        let data_left = self.data.is_some_and(|data| !data.is_empty());
        if self.args.is_empty() && !data_left { Ok(()) } else { Err(Status::INPUT_LENGTH.into()) }
    }
}

/// Gathers a message's arguments: `ROOM` is the size of the fixed ones together. The client's methods use it.
pub struct Writer<'a, const ROOM: usize> {
    args: [u8; ROOM],
    len: usize,
    data: &'a [u8],
}

impl<'a, const ROOM: usize> Writer<'a, ROOM> {
    /// No arguments yet.
    #[expect(clippy::new_without_default, reason = "not a value to have lying about")]
    #[inline]
    pub fn new() -> Self {
        Self { args: [0; ROOM], len: 0, data: &[] }
    }

    /// The fixed arguments so far.
    #[inline]
    pub fn args(&self) -> &[u8] {
        &self.args[..self.len]
    }

    /// The data.
    #[inline]
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// Sends the message; the reply is one value, checked. `room` is as long as it is. [`Status::PROTOCOL`] if the reply
    /// has another length, or is no value of the type.
    #[doc(hidden)]
    #[inline]
    pub fn __value<R: Wire>(self, transport: &impl Transport, id: u32, room: &mut [u8]) -> Result<R> {
        // Apart, so that the optimiser still knows length and data when the transport has seen the arguments' address.
        let Self { args, len, data } = self;
        let written = transport.call(id, &args[..len], data, room)?;
        if written != room.len() {
            return Err(Status::PROTOCOL.into());
        }
        match R::try_read_from_bytes(room) {
            Ok(value) if value.valid() => Ok(value),
            _ => Err(Status::PROTOCOL.into()),
        }
    }

    /// Sends the message; the reply is the front of `out`, which is not cleared before. [`Status::PROTOCOL`] if it is not
    /// made of whole elements, or longer than `out`.
    #[doc(hidden)]
    #[inline]
    pub fn __slice<'o, R: Element>(&self, transport: &impl Transport, id: u32, out: &'o mut [R]) -> Result<&'o [R]> {
        let written = transport.call(id, self.args(), self.data, out.as_mut_bytes())?;
        if written % size_of::<R>() != 0 {
            return Err(Status::PROTOCOL.into());
        }
        out.get(..written / size_of::<R>()).ok_or(Status::PROTOCOL.into())
    }
}

/// What a reply's slice can be made of: any bytes must be a value, since the app's buffer takes them as they come.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an element of a reply: not all bytes are a value of it",
    label = "not all bytes are a value",
    note = "use integers, arrays of them, or a struct declared with `wire! {{ struct Name: FromBytes {{ … }} }}`",
    note = "bool, enums and flags can be in a reply of fixed size, which is checked as a whole"
)]
pub trait Element: Wire + FromBytes {}
#[diagnostic::do_not_recommend]
impl<T: Wire + FromBytes> Element for T {}

/// Kind of [`Arg`] that is a value of fixed size.
pub enum Fixed {}

/// Kind of [`Arg`] that is a slice: the message's data.
pub enum Slice {}

/// A parameter of a message: a [`Wire`] value, or one `&[T]`. `Kind` keeps the two implementations apart, and is always
/// inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a message's parameter",
    label = "not wire data",
    note = "use u8..u64, i8..i64, bool, arrays of them, a type declared with `wire!`, or a last `&[T]` of those"
)]
pub trait Arg<'a, Kind>: Sized {
    /// The type as data.
    const TYPE: &'static Type;
    /// Bytes among the fixed arguments: 0 for a slice.
    const SIZE: usize;

    /// Takes the next argument. [`Status::INPUT_LENGTH`] if its bytes are too few, [`Status::BAD_VALUE`] if they are no
    /// value of the type, or if the host has not placed a slice at a multiple of 8.
    fn take(reader: &mut Reader<'a>) -> Result<Self>;

    /// Appends the argument. Panics if `ROOM` is too small, which the generated client rules out.
    fn put<const ROOM: usize>(self, writer: &mut Writer<'a, ROOM>);
}

impl<'a, T: Wire> Arg<'a, Fixed> for T {
    const TYPE: &'static Type = Type::__of::<T>();
    const SIZE: usize = size_of::<T>();

    #[inline(always)]
    fn take(reader: &mut Reader<'a>) -> Result<T> {
        let (bytes, rest) = reader.args.split_at_checked(size_of::<T>()).ok_or(Status::INPUT_LENGTH)?;
        reader.args = rest;
        // A copy, so the bytes can lie at any address.
        match T::try_read_from_bytes(bytes) {
            Ok(value) if value.valid() => Ok(value),
            _ => Err(Status::BAD_VALUE.into()),
        }
    }

    #[inline(always)]
    fn put<const ROOM: usize>(self, writer: &mut Writer<'a, ROOM>) {
        let end = writer.len + size_of::<T>();
        writer.args[writer.len..end].copy_from_slice(self.as_bytes());
        writer.len = end;
    }
}

impl<'a, T: Wire> Arg<'a, Slice> for &'a [T] {
    const TYPE: &'static Type = &Type::Slice(Type::__element::<T>());
    const SIZE: usize = 0;

    #[inline(always)]
    fn take(reader: &mut Reader<'a>) -> Result<Self> {
        let data = reader.data.take().ok_or(Status::INPUT_LENGTH)?;
        let elements = <[T]>::try_ref_from_bytes(data).map_err(|error| match error {
            TryCastError::Size(_) => Status::INPUT_LENGTH,
            TryCastError::Alignment(_) | TryCastError::Validity(_) => Status::BAD_VALUE,
        })?;
        if elements.iter().all(T::valid) { Ok(elements) } else { Err(Status::BAD_VALUE.into()) }
    }

    #[inline(always)]
    fn put<const ROOM: usize>(self, writer: &mut Writer<'a, ROOM>) {
        writer.data = self.as_bytes();
    }
}

/// What carries a call: the kernel's door, the simulator, a loop-back.
pub trait Transport {
    /// Sends message `id`, and answers how many bytes of `reply` were written.
    fn call(&self, id: u32, args: &[u8], data: &[u8], reply: &mut [u8]) -> Result<usize>;

    /// Does the other side have a message of this number? A transport that has negotiated says no above the driver's
    /// count; one that cannot tell says yes.
    fn knows(&self, id: u32) -> bool {
        let _ = id;
        true
    }
}

impl<T: Transport + ?Sized> Transport for &T {
    fn call(&self, id: u32, args: &[u8], data: &[u8], reply: &mut [u8]) -> Result<usize> {
        (**self).call(id, args, data, reply)
    }

    fn knows(&self, id: u32) -> bool {
        (**self).knows(id)
    }
}
