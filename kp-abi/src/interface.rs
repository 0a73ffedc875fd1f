//! [`interface!`]: a plugin's messages, declared once for both sides.
use crate::limits::MAX_ARGS;
use crate::{Field, Type};

/// Declares a plugin's messages once, for the app and for the plugin.
///
/// ```
/// kp_abi::interface! {
///     /// A store.
///     pub mod store, version 1 {
///         /// Writes `data` at `at`, and answers how many bytes fitted.
///         fn write(at: u64, data: &[u8]) -> u32 = 1;
///         /// Replaced by `read`.
///         #[retired]
///         fn read_byte(at: u64) -> u8 = 2;
///         /// Reads from `at`, up to what the app has room for.
///         fn read(at: u64) -> [u8] = 3;
///         /// Forgets all.
///         fn reset() = 4;
///     }
/// }
///
/// use kp_abi::{Message, Out, Reply, Result, Transport};
///
/// // The plugin answers; `()` stands for the host's level and for the session.
/// struct Store(Vec<u8>);
/// impl store::Handler<()> for Store {
///     fn write(&self, _: &mut (), _: &(), _at: u64, data: &[u8]) -> Result<u32> {
///         Ok(data.len() as u32)
///     }
///     fn read(&self, _: &mut (), _: &(), at: u64, out: &mut Out<'_, '_, u8>) -> Result<()> {
///         let rest = self.0.get(at as usize..).unwrap_or_default();
///         out.extend(&rest[..rest.len().min(out.room())])
///     }
///     fn reset(&self, _: &mut (), _: &()) -> Result<()> {
///         Ok(())
///     }
/// }
///
/// // A loop-back in the place of the kernel.
/// struct Loopback(Store);
/// impl Transport for Loopback {
///     fn call(&self, id: u32, args: &[u8], data: &[u8], reply: &mut [u8]) -> Result<usize> {
///         let mut reply = Reply::new(reply);
///         store::dispatch(&self.0, &mut (), &(), Message { id, args, data }, &mut reply)?;
///         Ok(reply.written())
///     }
/// }
///
/// // The app calls.
/// let client = store::Client(Loopback(Store(vec![1, 2, 3])));
/// assert_eq!(client.write(0, b"abc"), Ok(3));
/// assert_eq!(client.read(1, &mut [0; 8]), Ok(&[2, 3][..]));
/// assert!(client.has(3) && !client.has(2), "message 2 is retired");
/// assert_eq!(store::INTERFACE.methods[0].args[1].name, "data");
/// ```
///
/// The module has
/// - `INTERFACE: &Interface`, the messages as data, and `SCHEMA: &[u8]`, the same [as bytes](crate::schema_bytes);
/// - `trait Handler<Context, Session = ()>`, with a method per message, which the plugin implements;
/// - `dispatch(handler, context, session, message, reply)`, which checks a message and hands it to its method. Answers
///   [`UNKNOWN_MESSAGE`](crate::Status::UNKNOWN_MESSAGE), [`INPUT_LENGTH`](crate::Status::INPUT_LENGTH),
///   [`BAD_VALUE`](crate::Status::BAD_VALUE), or, for a reply of fixed size,
///   [`OUTPUT_LENGTH`](crate::Status::OUTPUT_LENGTH), before the handler runs;
/// - `direct(number, direct)`, which is `dispatch` for a host that has the arguments still to fetch: see [`Direct`](crate::Direct);
/// - `Client(transport)`, with a method per message, which the app calls, and `has(number)`. It answers
///   [`PROTOCOL`](crate::Status::PROTOCOL) to a reply that is none of its message;
/// - `Batch(queue)`, from the client's `batch()` if its transport has batches: a method per message, which queues it.
///
/// Parameters are [`Wire`](crate::Wire) values, 256 bytes of them at most, and perhaps a last `&[T]`. A reply is nothing, a
/// `Wire` value (a name in one word, or an array), or `[T]`, which the app reads into a `&mut [T]` of its own; `T` must be
/// made of any bytes ([`wire!`](crate::wire!) tells how).
///
/// Messages are numbered 1, 2, 3, … and are never changed, reordered or removed, since old apps know them: put new ones at
/// the end, and mark those that nobody shall use any more `#[retired]`. A retired message keeps its number and its
/// declaration, and has no method on either side. Names of parameters are part of the [fingerprint](crate::Interface::chain).
#[macro_export]
macro_rules! interface {
    (
        $(#[$meta:meta])* $vis:vis mod $name:ident, version $version:literal {
            $(
                $(#[$attr:ident $(= $doc:literal)?])*
                fn $method:ident ( $($args:tt)* ) $(-> $reply:tt)? = $id:literal ;
            )*
        }
    ) => {
        $(#[$meta])*
        $vis mod $name {
            #[allow(unused_imports, reason = "the messages may use types of the enclosing module, or may not")]
            use super::*;

            /// The messages as data.
            pub const INTERFACE: &$crate::Interface = &$crate::Interface {
                name: stringify!($name),
                version: $version,
                methods: &[$(
                    $crate::Method {
                        id: $id,
                        name: stringify!($method),
                        doc: $crate::__docs!($($attr $(= $doc)?,)*),
                        args: $crate::__args!($($args)*),
                        reply: $crate::__reply_type!($($reply)?),
                        retired: $crate::__retired!($($attr $(= $doc)?,)*),
                    }
                ),*],
            };
            const _: () = INTERFACE.__check();

            /// The messages as bytes, for whoever has no source of them.
            #[allow(dead_code, reason = "used by a driver, if at all")]
            pub const SCHEMA: &[u8] = &INTERFACE.schema::<{ INTERFACE.schema_len() }>();

            // Type parameters and constants that a macro makes are visible to the types that its user names: hence `Kp…`.
            /// What the driver answers, a method per message.
            #[diagnostic::on_unimplemented(
                message = "`{Self}` does not answer the messages of `this interface`",
                note = "write `impl …::Handler<Passive, Session> for {Self}` with the `Session` of its `impl Init`"
            )]
            pub trait Handler<KpContext: ?Sized, KpSession: ?Sized = ()> {
                $($crate::__handler_method! {
                    [$($attr $(= $doc)?,)*] $id $method ($($args)*) $($reply)?
                })*
            }

            /// Checks a message and hands it to its method. A bad one reaches nobody.
            #[inline]
            pub fn dispatch<
                'kp_message,
                KpContext: ?Sized,
                KpSession: ?Sized,
                KpHandler: Handler<KpContext, KpSession> + ?Sized,
            >(
                handler: &KpHandler,
                context: &mut KpContext,
                session: &KpSession,
                message: $crate::Message<'kp_message>,
                reply: &mut $crate::Reply<'kp_message>,
            ) -> $crate::Result<()> {
                match message.id {
                    $($id => $crate::__answer! {
                        [$($attr $(= $doc)?,)*] (handler, context, session, message, reply)
                        $method ($($args)*) $($reply)?
                    },)*
                    _ => Err($crate::Status::UNKNOWN_MESSAGE.into()),
                }
            }

            /// Has `direct` carry out message `id`. The number chooses by comparing, and indexes nothing.
            #[allow(unreachable_code, reason = "an interface may have no message with segments")]
            #[inline(always)]
            pub fn direct<KpDirect: $crate::Direct>(id: u32, direct: KpDirect) -> KpDirect::Answer
            where
                KpDirect::Handler: Handler<KpDirect::Context, KpDirect::Session>,
            {
                let args = match id {
                    $($id => $crate::__direct! {
                        [$($attr $(= $doc)?,)*] direct $id $method ($($args)*) $($reply)?
                    },)*
                    _ => return direct.unknown(),
                };
                direct.segments(args, #[inline(always)] |handler, context, session, message, reply| match message.id {
                    $($id => $crate::__segments! {
                        [$($attr $(= $doc)?,)*] (handler, context, session, message, reply)
                        $id $method ($($args)*) $($reply)?
                    },)*
                    _ => Err($crate::Status::UNKNOWN_MESSAGE.into()),
                })
            }

            /// What the app calls, a method per message.
            #[derive(Clone, Copy, Debug)]
            pub struct Client<KpTransport>(
                /// What carries the calls.
                pub KpTransport,
            );

            impl<KpTransport: $crate::Transport> Client<KpTransport> {
                /// Can message `id` be called? No if it is retired, or unknown to the driver or to this build.
                pub fn has(&self, id: u32) -> bool {
                    INTERFACE.method(id).is_some_and(|method| !method.retired) && self.0.knows(id)
                }

                $($crate::__client_method! {
                    [$($attr $(= $doc)?,)*] $id $method ($($args)*) $($reply)?
                })*
            }

            impl<KpTransport: $crate::Batching> Client<KpTransport> {
                /// Starts a batch: messages that go in one request.
                pub fn batch(&self) -> $crate::Result<Batch<KpTransport::Queue>> {
                    $crate::Batching::start_batch(&self.0).map(Batch)
                }
            }

            /// Messages that queue up and go in one request, a method per message. Each answers a ticket, by which its reply is asked
            /// for when the batch has run.
            #[derive(Debug)]
            pub struct Batch<KpQueue>(
                /// Where they queue up.
                pub KpQueue,
            );

            impl<KpQueue: $crate::Queue> Batch<KpQueue> {
                $($crate::__batch_method! {
                    [$($attr $(= $doc)?,)*] $id $method ($($args)*) $($reply)?
                })*
            }

            impl<KpQueue> ::core::ops::Deref for Batch<KpQueue> {
                type Target = KpQueue;
                fn deref(&self) -> &KpQueue {
                    &self.0
                }
            }
            impl<KpQueue> ::core::ops::DerefMut for Batch<KpQueue> {
                fn deref_mut(&mut self) -> &mut KpQueue {
                    &mut self.0
                }
            }
        }
    };
    // What is written otherwise than above, and means that.
    ($(#[$meta:meta])* $vis:vis mod $name:ident { $($body:tt)* }) => {
        ::core::compile_error!(::core::concat!(
            "an interface has a version, a number for people: `mod ", ::core::stringify!($name), ", version 1 { … }`"
        ));
    };
    ($(#[$meta:meta])* $vis:vis mod $name:ident, version $version:literal { $($body:tt)* }) => {
        $crate::__messages! { $($body)* }
    };
}

/// Says which message is written otherwise, and how it has to be. Not by an assertion: what names the module, which is not there, would be all
/// that the compiler speaks of.
#[doc(hidden)]
#[macro_export]
macro_rules! __messages {
    () => {};
    (
        $(#[$attr:ident $(= $doc:literal)?])* fn $method:ident ( $($args:tt)* ) $(-> $reply:tt)? = $id:literal ; $($rest:tt)*
    ) => {
        $crate::__messages! { $($rest)* }
    };
    ($(#[$($attr:tt)*])* fn $method:ident ( $($args:tt)* ) $(-> $reply:tt)? ; $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "message `",
            ::core::stringify!($method),
            "` has no number: the first has `= 1;` at its end, the next `= 2;`, and so on"
        ));
        $crate::__messages! { $($rest)* }
    };
    ($(#[$($attr:tt)*])* fn $method:ident ( $($args:tt)* ) $(-> $reply:tt)? = $id:literal ; $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "message `", ::core::stringify!($method), "` has an attribute: a message has documentation and `#[retired]`, and no other"
        ));
        $crate::__messages! { $($rest)* }
    };
    ($(#[$($attr:tt)*])* fn $method:ident ( $($args:tt)* ) -> $reply:ty = $id:literal ; $($rest:tt)*) => {
        ::core::compile_error!(::core::concat!(
            "the reply of `", ::core::stringify!($method), "`: write none, a name in one word (`use` it), an array as `[u8; 4]`, \
             or a list as `[u8]`; `Result` is not written, as each message has one"
        ));
        $crate::__messages! { $($rest)* }
    };
}

/// The parameters of a message → its fields.
#[doc(hidden)]
#[macro_export]
macro_rules! __args {
    ($($arg:ident: $ty:ty),* $(,)?) => {{
        const KP_NAMES: &[&str] = &[$(stringify!($arg)),*];
        const KP_TYPES: &[&$crate::Type] = &[$(<$ty as $crate::Arg<'_, _>>::TYPE),*];
        const KP_SIZES: &[usize] = &[$(<$ty as $crate::Arg<'_, _>>::SIZE),*];
        const KP_ARGS: [$crate::Field; KP_NAMES.len()] = $crate::__fields(KP_NAMES, KP_TYPES, KP_SIZES);
        &KP_ARGS
    }};
}

/// The parameters of a message, each at the end of the one before.
#[doc(hidden)]
pub const fn __fields<const N: usize>(names: &[&'static str], types: &[&'static Type], sizes: &[usize]) -> [Field; N] {
    let mut fields = [Field { name: "", offset: 0, ty: &Type::Unit }; N];
    let mut offset = 0;
    let mut i = 0;
    while i < N {
        assert!(!matches!(types[i], Type::Slice(_)) || i + 1 == N, "only the last parameter can be a slice");
        fields[i] = Field { name: names[i], offset, ty: types[i] };
        offset += sizes[i];
        i += 1;
    }
    assert!(offset <= MAX_ARGS, "a message's fixed parameters are over 256 bytes: pass a slice");
    fields
}

/// Attributes of a message → its documentation.
#[doc(hidden)]
#[macro_export]
macro_rules! __docs {
    ($(doc = $doc:literal,)* $(retired, $(doc = $more:literal,)*)?) => { &[$($doc,)* $($($more,)*)?] };
}

/// Attributes of a message → is it retired?
#[doc(hidden)]
#[macro_export]
macro_rules! __retired {
    ($(doc = $doc:literal,)*) => {
        false
    };
    ($(doc = $doc:literal,)* retired, $(doc = $more:literal,)*) => {
        true
    };
}

/// A reply → its type.
#[doc(hidden)]
#[macro_export]
macro_rules! __reply_type {
    () => {
        &$crate::Type::Unit
    };
    ([$ty:ty]) => {
        &$crate::Type::Slice($crate::Type::__element::<$ty>())
    };
    ($ty:ty) => {
        $crate::Type::__of::<$ty>()
    };
}

/// The handler's method of a message.
#[doc(hidden)]
#[macro_export]
macro_rules! __handler_method {
    ([$(doc = $doc:literal,)*] $id:literal $method:ident ($($args:tt)*)) => {
        $crate::__handler_method! { [$(doc = $doc,)*] $id $method ($($args)*) () }
    };
    ([$(doc = $doc:literal,)*] $id:literal $method:ident ($($args:tt)*) [$reply:ty]) => {
        $crate::__list_method! { [$(doc = $doc,)*] $id $method [$reply] () $($args)* }
    };
    ([$(doc = $doc:literal,)*] $id:literal $method:ident ($($arg:ident: $ty:ty),* $(,)?) $reply:ty) => {
        $(#[doc = $doc])*
        #[doc = concat!("\n\nMessage ", $id, ".")]
        #[allow(clippy::too_many_arguments, reason = "as many as the message has")]
        fn $method(&self, context: &mut KpContext, session: &KpSession, $($arg: $ty),*) -> $crate::Result<$reply>;
    };
    ([$(doc = $doc:literal,)* retired, $(doc = $more:literal,)*] $($declaration:tt)*) => {};
}

/// The handler's method of a message whose reply is a list: parameter by parameter, for the slice among them, the last one, gets the
/// lifetime of what can be lent.
#[doc(hidden)]
#[macro_export]
macro_rules! __list_method {
    ($attrs:tt $id:literal $method:ident $reply:tt ($($done:tt)*) $arg:ident: &[$ty:ty] $(,)?) => {
        $crate::__list_method! { $attrs $id $method $reply ($($done)* $arg: &'kp_message [$ty],) }
    };
    ($attrs:tt $id:literal $method:ident $reply:tt ($($done:tt)*) $arg:ident: $ty:ty $(, $($rest:tt)*)?) => {
        $crate::__list_method! { $attrs $id $method $reply ($($done)* $arg: $ty,) $($($rest)*)? }
    };
    ([$(doc = $doc:literal,)*] $id:literal $method:ident [$reply:ty] ($($args:tt)*)) => {
        $(#[doc = $doc])*
        #[doc = concat!("\n\nMessage ", $id, ". What lives for `'kp_message` can be lent to `out`, rather than copied.")]
        #[allow(clippy::too_many_arguments, reason = "as many as the message has")]
        fn $method<'kp_message>(
            &self,
            context: &mut KpContext,
            session: &KpSession,
            $($args)*
            out: &mut $crate::Out<'_, 'kp_message, $reply>,
        ) -> $crate::Result<()>;
    };
}

/// What `dispatch` does with a message. A reply of fixed size must fit before the handler runs.
#[doc(hidden)]
#[macro_export]
macro_rules! __answer {
    (
        [$(doc = $doc:literal,)*] ($handler:ident, $context:ident, $session:ident, $message:ident, $reply:ident)
        $method:ident ($($arg:ident: $ty:ty),* $(,)?) $($type:tt)?
    ) => {{
        #[allow(unused_mut, reason = "a message may have no arguments")]
        let mut reader = $crate::Reader::new(&$message);
        $(let $arg = <$ty as $crate::Arg<'_, _>>::take(&mut reader)?;)*
        reader.finish()?;
        $crate::__run!($reply, $($type)?; $handler.$method($context, $session $(, $arg)*))
    }};
    ([$(doc = $doc:literal,)* retired, $(doc = $more:literal,)*] $($declaration:tt)*) => {
        Err($crate::Status::UNKNOWN_MESSAGE.into())
    };
}

/// What `direct` does with a message: of one with segments only the length of its arguments.
#[doc(hidden)]
#[macro_export]
macro_rules! __direct {
    ([$(doc = $doc:literal,)*] $direct:ident $id:literal $method:ident ($($args:tt)*) $($reply:tt)?) => {{
        const KP_SHAPE: $crate::Shape = INTERFACE.methods[$id - 1].shape();
        const KP_SIZES: (usize, usize) = match KP_SHAPE {
            $crate::Shape::Fixed { args, reply } => (args, reply),
            $crate::Shape::Segments { args } => (args, 0),
        };
        if const { matches!(KP_SHAPE, $crate::Shape::Fixed { .. }) } {
            return $direct.fixed::<$id, { KP_SIZES.0 }, { KP_SIZES.1 }>(
                #[inline(always)] |handler, context, session, message, reply| {
                    $crate::__answer! { [] (handler, context, session, message, reply) $method ($($args)*) $($reply)? }
                }
            );
        }
        KP_SIZES.0
    }};
    ([$(doc = $doc:literal,)* retired, $(doc = $more:literal,)*] $direct:ident $($declaration:tt)*) => {
        return $direct.unknown()
    };
}

/// What a message with segments does, when they are there.
#[doc(hidden)]
#[macro_export]
macro_rules! __segments {
    ([$(doc = $doc:literal,)*] $parts:tt $id:literal $method:ident ($($args:tt)*) $($reply:tt)?) => {
        if const { matches!(INTERFACE.methods[$id - 1].shape(), $crate::Shape::Segments { .. }) } {
            $crate::__answer! { [] $parts $method ($($args)*) $($reply)? }
        } else {
            Err($crate::Status::UNKNOWN_MESSAGE.into())
        }
    };
    ([$(doc = $doc:literal,)* retired, $(doc = $more:literal,)*] $($declaration:tt)*) => {
        Err($crate::Status::UNKNOWN_MESSAGE.into())
    };
}

/// Runs a handler, as its kind of reply wants it.
#[doc(hidden)]
#[macro_export]
macro_rules! __run {
    ($out:ident, ; $handler:ident.$method:ident($($arg:ident),*)) => { $handler.$method($($arg),*) };
    ($out:ident, [$reply:ty]; $handler:ident.$method:ident($($arg:ident),*)) => {
        $handler.$method($($arg,)* &mut $out.out::<$reply>())
    };
    ($out:ident, $reply:ty; $handler:ident.$method:ident($($arg:ident),*)) => {{
        $out.need(::core::mem::size_of::<$reply>())?;
        let value: $reply = $handler.$method($($arg),*)?;
        $out.put(&value)
    }};
}

/// The client's method of a message.
#[doc(hidden)]
#[macro_export]
macro_rules! __client_method {
    ([$(doc = $doc:literal,)*] $id:literal $method:ident ($($arg:ident: $ty:ty),* $(,)?)) => {
        $crate::__client_method! { [$(doc = $doc,)*] $id $method ($($arg: $ty),*) () }
    };
    ([$(doc = $doc:literal,)*] $id:literal $method:ident ($($arg:ident: $ty:ty),* $(,)?) [$reply:ty]) => {
        $(#[doc = $doc])*
        #[doc = concat!("\n\nMessage ", $id, ". The reply is the front of `out`.")]
        #[allow(clippy::too_many_arguments, reason = "as many as the message has")]
        #[inline]
        pub fn $method<'kp_out>(
            &self,
            $($arg: $ty,)*
            out: &'kp_out mut [$reply],
        ) -> $crate::Result<&'kp_out [$reply]> {
            let writer = $crate::__gather!($($arg: $ty),*);
            writer.__slice(&self.0, $id, out)
        }
    };
    ([$(doc = $doc:literal,)*] $id:literal $method:ident ($($arg:ident: $ty:ty),* $(,)?) $reply:ty) => {
        $(#[doc = $doc])*
        #[doc = concat!("\n\nMessage ", $id, ".")]
        #[allow(clippy::too_many_arguments, reason = "as many as the message has")]
        #[inline]
        pub fn $method(&self, $($arg: $ty),*) -> $crate::Result<$reply> {
            let writer = $crate::__gather!($($arg: $ty),*);
            writer.__value(&self.0, $id, &mut [0; ::core::mem::size_of::<$reply>()])
        }
    };
    ([$(doc = $doc:literal,)* retired, $(doc = $more:literal,)*] $($declaration:tt)*) => {};
}

/// Arguments → a writer that has them.
#[doc(hidden)]
#[macro_export]
macro_rules! __gather {
    ($($arg:ident: $ty:ty),* $(,)?) => {{
        const KP_ROOM: usize = 0 $(+ <$ty as $crate::Arg<'_, _>>::SIZE)*;
        #[allow(unused_mut, reason = "a message may have no arguments")]
        let mut writer = $crate::Writer::<'_, KP_ROOM>::new();
        $($crate::Arg::put($arg, &mut writer);)*
        writer
    }};
}
