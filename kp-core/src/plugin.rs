//! `plugin!`: a plugin's table of callbacks, checked against what the plugin implements.
#![deny(unsafe_code)]
use crate::{
    Call, Caller, Deliver, Dispatch, Enabling, Event, Granted, Happening, Init, IntAtDpc, IntAtIrql, IntEnable, Irql,
    MatchId, Message, Open, Passive, Reply, Result, Source, TimerAtDpc, Verdict, Work,
};
use core::marker::PhantomData;

type OpenFn<P> = fn(&P, &mut Passive, &Caller, &[u8]) -> Result<<P as Init>::Session>;
type CloseFn<P> = fn(&P, &mut Passive, <P as Init>::Session);
type CallFn<P> = for<'m> fn(&P, &mut Passive, &<P as Init>::Session, Message<'m>, &mut Reply<'m>) -> Result<()>;
type EventFn<P> = fn(&P, &mut Passive, Happening) -> Deliver;
type EnableFn<P> = fn(&P, &mut Passive, Enabling<'_, P>) -> Result<<P as Init>::Interrupt>;
type ArmFn<P> = fn(&P, &mut Passive, &<P as Init>::Interrupt, Granted) -> Result<()>;
type DisarmFn<P> = fn(&P, &mut Passive, &<P as Init>::Interrupt);
type DisableFn<P> = fn(&P, &mut Passive, <P as Init>::Interrupt);
type AtIrqlFn<P> = fn(&P, &mut Irql, &<P as Init>::Interrupt, Source) -> Verdict;
type TimerFn<P> = fn(&P, &mut Dispatch, u16);
type WorkFn<P> = fn(&P, &mut Passive, u16);
type AtDpcFn<P> = fn(&P, &mut Dispatch, &<P as Init>::Interrupt, Source, u32) -> u32;

/// A plugin type with its [`plugin!`](crate::plugin!) lines, which write this.
#[diagnostic::on_unimplemented(message = "`{Self}` has no `plugin!` lines")]
pub trait Plugin: Init {
    /// What it is called, drives and implements.
    const TABLE: Table<Self>;

    /// Has `direct` carry out message `id`: the `direct` of the plugin's interface.
    #[doc(hidden)]
    #[inline(always)]
    fn direct<D>(id: u32, direct: D) -> D::Answer
    where
        D: kp_abi::Direct<Handler = Self, Context = Passive, Session = Self::Session>,
    {
        let _ = id;
        direct.unknown()
    }
}

/// What a plugin implements. One constant per plugin type: the host's `if let Some` on it is decided by the compiler.
pub struct Table<P: Init> {
    /// 1 to 31 of a-z, 0-9, `_` and `-`.
    pub name: &'static str,
    /// What it drives; nothing for a plugin without hardware.
    pub devices: &'static [MatchId],
    /// How many interrupt vectors it can serve: at least, at most.
    pub vectors: (u32, u32),
    /// The interrupt is the plugin's own: enabled as long as it drives the device. Else an app enables it.
    pub own_interrupt: bool,
    /// Its typed messages.
    pub interface: Option<&'static kp_abi::Interface>,
    /// The interface's fingerprint chain at 0, 1, 2, … messages; empty without an interface.
    pub chain: &'static [u64],
    /// The interface as bytes, which SCHEMA answers; empty without an interface.
    pub schema: &'static [u8],
    /// The same without the messages' documentation, for a driver that is built so.
    pub schema_names: &'static [u8],
    /// [`Open::open`], or `Session::default`.
    pub open: Option<OpenFn<P>>,
    /// [`Open::close`].
    pub close: Option<CloseFn<P>>,
    /// [`Call::call`].
    pub call: Option<CallFn<P>>,
    /// The interrupt callbacks, if there is [`IntAtIrql`].
    pub int: Option<IntTable<P>>,
    /// [`Event::event`].
    pub event: Option<EventFn<P>>,
    /// [`TimerAtDpc::timer_at_dpc`].
    pub timer_at_dpc: Option<TimerFn<P>>,
    /// [`Work::work`].
    pub work: Option<WorkFn<P>>,
}

impl<P: Init> Table<P> {
    /// Do the plugin's messages name buffers of the app's?
    pub(crate) const fn has_buffers(&self) -> bool {
        match self.interface {
            Some(interface) => interface.has_buffers(),
            None => false,
        }
    }

    /// Stops the build of a plugin whose table was written by hand, and says what [`plugin!`](crate::plugin!) would have refused. What a
    /// host and its tools do with a name, and what an app believes of the messages, relies on it.
    pub(crate) const fn check(&self) {
        check_name(self.name);
        check_vectors(&[self.vectors.0, self.vectors.1]);
        check_own_interrupt(self.own_interrupt, self.int.is_some(), self.devices.is_empty());
        match self.interface {
            Some(interface) => {
                interface.__check();
                assert!(interface.__has_chains(self.chain), "`chain` is not that of `interface`");
                let is_its = interface.__has_schema(self.schema, self.schema_names);
                assert!(is_its, "`schema` or `schema_names` is not that of `interface`");
            }
            None => {
                assert!(self.chain.is_empty(), "without `interface` there is no `chain`");
                let has_none = self.schema.is_empty() && self.schema_names.is_empty();
                assert!(has_none, "without `interface` there is no `schema`");
            }
        }
    }
}

/// The interrupt callbacks of a [`Table`].
pub struct IntTable<P: Init> {
    /// [`IntEnable::int_enable`], or `Interrupt::default`.
    pub enable: Option<EnableFn<P>>,
    /// [`IntEnable::int_arm`].
    pub arm: Option<ArmFn<P>>,
    /// [`IntEnable::int_disarm`].
    pub disarm: Option<DisarmFn<P>>,
    /// [`IntEnable::int_disable`].
    pub disable: Option<DisableFn<P>>,
    /// [`IntAtIrql::int_at_irql`].
    pub at_irql: AtIrqlFn<P>,
    /// [`IntAtDpc::int_at_dpc`].
    pub at_dpc: Option<AtDpcFn<P>>,
}

/// Asks which callbacks `P` has: an inherent constant, where its bound holds, hides the one of the same name in [`Absent`].
#[doc(hidden)]
pub struct Probe<P>(PhantomData<P>);

#[doc(hidden)]
pub trait Absent<P: Init>: Sized {
    const OPEN: Option<OpenFn<P>> = None;
    const CLOSE: Option<CloseFn<P>> = None;
    const CALL: Option<CallFn<P>> = None;
    const EVENT: Option<EventFn<P>> = None;
    const TIMER_AT_DPC: Option<TimerFn<P>> = None;
    const WORK: Option<WorkFn<P>> = None;
    const INT_ENABLE: Option<EnableFn<P>> = None;
    const INT_ARM: Option<ArmFn<P>> = None;
    const INT_DISARM: Option<DisarmFn<P>> = None;
    const INT_DISABLE: Option<DisableFn<P>> = None;
    const AT_IRQL: Option<AtIrqlFn<P>> = None;
    const AT_DPC: Option<AtDpcFn<P>> = None;
    const DEFAULT_SESSION: Option<OpenFn<P>> = None;
    const DEFAULT_INTERRUPT: Option<EnableFn<P>> = None;
}
impl<P: Init> Absent<P> for Probe<P> {}

#[doc(hidden)]
impl<P: Open> Probe<P> {
    pub const OPEN: Option<OpenFn<P>> = Some(P::open);
    pub const CLOSE: Option<CloseFn<P>> = Some(P::close);
}
#[doc(hidden)]
impl<P: Call> Probe<P> {
    pub const CALL: Option<CallFn<P>> = Some(P::call);
}
#[doc(hidden)]
impl<P: Event> Probe<P> {
    pub const EVENT: Option<EventFn<P>> = Some(P::event);
}
#[doc(hidden)]
impl<P: TimerAtDpc> Probe<P> {
    pub const TIMER_AT_DPC: Option<TimerFn<P>> = Some(P::timer_at_dpc);
}
#[doc(hidden)]
impl<P: Work> Probe<P> {
    pub const WORK: Option<WorkFn<P>> = Some(P::work);
}
#[doc(hidden)]
impl<P: IntEnable> Probe<P> {
    pub const INT_ENABLE: Option<EnableFn<P>> = Some(P::int_enable);
    pub const INT_ARM: Option<ArmFn<P>> = Some(P::int_arm);
    pub const INT_DISARM: Option<DisarmFn<P>> = Some(P::int_disarm);
    pub const INT_DISABLE: Option<DisableFn<P>> = Some(P::int_disable);
}
#[doc(hidden)]
impl<P: IntAtIrql> Probe<P> {
    pub const AT_IRQL: Option<AtIrqlFn<P>> = Some(P::int_at_irql);
}
#[doc(hidden)]
impl<P: IntAtDpc> Probe<P> {
    pub const AT_DPC: Option<AtDpcFn<P>> = Some(P::int_at_dpc);
}
#[doc(hidden)]
impl<P: Init<Session: Default>> Probe<P> {
    pub const DEFAULT_SESSION: Option<OpenFn<P>> = Some(|_, _, _, _| Ok(Default::default()));
}
#[doc(hidden)]
impl<P: Init<Interrupt: Default>> Probe<P> {
    pub const DEFAULT_INTERRUPT: Option<EnableFn<P>> = Some(|_, _, _| Ok(Default::default()));
}

/// A plugin's last lines: its name, the devices it drives, its interface, and the callbacks it implements.
///
/// `name` is the device node's, 1 to 31 of a-z, 0-9, `_` and `-`; the package's name, which names the module, should be the plugin's.
///
/// `devices` says which PCI devices are the plugin's. An entry is one of
///
/// | entry | takes |
/// |---|---|
/// | `0x1234:0x11e8` | this vendor's device |
/// | `0x10ee:0x7024 sub 0x10ee:0x0007` | it, on a card of this subsystem vendor and number: for a chip that many makers use |
/// | `class 0x0108` | every device of this base class and sub-class, written with four digits |
/// | `class 0x010802` | and of this programming interface, written with six |
///
/// `vectors: 1..=8` says how many interrupt vectors it can serve; left out, 1 to 32. An INT_ENABLE gets no more than the second number, and
/// is NoInterrupt if it wants more. The first number is for a card that is no use with fewer: INT_ENABLE is NoInterrupt if the app allows
/// fewer or the machine has fewer. A line is one vector.
///
/// `interrupt: own` has the interrupt enabled from the return of `init` until the device goes, whether an app listens or not, with as many
/// vectors as the machine gives of those, and of the best kind that it has. An app's INT_ENABLE then only listens. Left out, the interrupt is
/// enabled by an app, and for it.
///
/// `devices`, `vectors`, `interrupt` and `interface` may be left out. The list of callbacks is checked both ways: what is listed must be implemented,
/// what is implemented must be listed. With an interface, calls go to its `Handler`, and `Call` is not listed.
/// Once per module; a plugin crate has it in its root.
///
/// ```
/// # use kp_core::*;
/// # struct Echo;
/// # impl Init for Echo {
/// #     type Session = ();
/// #     type Interrupt = ();
/// #     fn init(_: &mut Passive, _: Device) -> Result<Self> {
/// #         Ok(Echo)
/// #     }
/// # }
/// # impl Call for Echo {
/// #     fn call(&self, _: &mut Passive, _: &(), message: Message<'_>, reply: &mut Reply<'_>) -> Result<()> {
/// #         reply.bytes(message.data)
/// #     }
/// # }
/// plugin! { Echo { name: "echo", callbacks: [Call] } }
/// assert_eq!(Echo::TABLE.name, "echo");
/// ```
#[macro_export]
macro_rules! plugin {
    ($plugin:ident {
        name: $name:literal,
        $(devices: [$($devices:tt)*],)?
        $(vectors: $least:literal ..= $most:literal,)?
        $(interrupt: $whose:ident,)?
        $(interface: $($interface:ident)::+,)?
        callbacks: [$($callback:ident),* $(,)?] $(,)?
    }) => {
        $(
            impl $crate::Call for $plugin {
                #[inline]
                fn call<'m>(
                    &self,
                    cx: &mut $crate::Passive,
                    session: &<$plugin as $crate::Init>::Session,
                    message: $crate::Message<'m>,
                    reply: &mut $crate::Reply<'m>,
                ) -> $crate::Result<()> {
                    $($interface)::+::dispatch(self, cx, session, message, reply)
                }
            }
        )?
        const _: () = {
            $( {
                const fn needs<T: $crate::$callback>() {}
                needs::<$plugin>()
            } )*
        };
        impl $crate::Plugin for $plugin {
            #[allow(clippy::unreadable_literal, reason = "how many digits a class is written with says what it is")]
            const TABLE: $crate::Table<$plugin> = {
                #[allow(unused_imports, reason = "not needed if nothing is absent")]
                use $crate::__plugin::Absent as _;
                type Probe = $crate::__plugin::Probe<$plugin>;
                const LIST: &[&str] = &[$(::core::stringify!($callback)),*];
                const INTERFACE: ::core::option::Option<&'static $crate::kp_abi::Interface> =
                    $crate::__plugin_interface!($($($interface)::+)?);
                const OWN_INTERRUPT: bool = $crate::__plugin_interrupt!($($whose)?);
                $crate::__plugin::check_name($name);
                $crate::__plugin::check_own_interrupt(
                    OWN_INTERRUPT,
                    Probe::AT_IRQL.is_some(),
                    ::core::stringify!($($($devices)*)?).is_empty(),
                );
                $crate::__plugin_listed! { $plugin LIST
                    Open: Probe::OPEN.is_some(),
                    Call: Probe::CALL.is_some() && INTERFACE.is_none(),
                    IntEnable: Probe::INT_ENABLE.is_some(),
                    IntAtIrql: Probe::AT_IRQL.is_some(),
                    IntAtDpc: Probe::AT_DPC.is_some(),
                    TimerAtDpc: Probe::TIMER_AT_DPC.is_some(),
                    Work: Probe::WORK.is_some(),
                    Event: Probe::EVENT.is_some(),
                }
                ::core::assert!(
                    INTERFACE.is_none() || !$crate::__plugin::contains(LIST, "Call"),
                    "with `interface`, calls go to its `Handler`: take `Call` off the list"
                );
                ::core::assert!(
                    Probe::AT_IRQL.is_some() || Probe::AT_DPC.is_none() && Probe::INT_ENABLE.is_none(),
                    "`IntEnable` and `IntAtDpc` need `IntAtIrql`: nothing would defer to them"
                );
                ::core::assert!(
                    Probe::OPEN.is_some() || Probe::DEFAULT_SESSION.is_some(),
                    "without `Open`, `Session` must implement Default"
                );
                ::core::assert!(
                    Probe::AT_IRQL.is_none() || Probe::INT_ENABLE.is_some() || Probe::DEFAULT_INTERRUPT.is_some(),
                    "without `IntEnable`, `Interrupt` must implement Default"
                );
                $crate::Table {
                    name: $name,
                    devices: $crate::__plugin_devices!([] $($($devices)*)?),
                    vectors: $crate::__plugin::check_vectors(&[$($least, $most)?]),
                    own_interrupt: OWN_INTERRUPT,
                    interface: INTERFACE,
                    chain: $crate::__plugin_chain!($($($interface)::+)?),
                    schema: $crate::__plugin_schema!($($($interface)::+)?),
                    schema_names: $crate::__plugin_schema_names!($($($interface)::+)?),
                    open: if Probe::OPEN.is_some() { Probe::OPEN } else { Probe::DEFAULT_SESSION },
                    close: Probe::CLOSE,
                    call: Probe::CALL,
                    event: Probe::EVENT,
                    timer_at_dpc: Probe::TIMER_AT_DPC,
                    work: Probe::WORK,
                    int: match Probe::AT_IRQL {
                        ::core::option::Option::None => ::core::option::Option::None,
                        ::core::option::Option::Some(at_irql) => ::core::option::Option::Some($crate::IntTable {
                            enable: if Probe::INT_ENABLE.is_some() { Probe::INT_ENABLE } else { Probe::DEFAULT_INTERRUPT },
                            arm: Probe::INT_ARM,
                            disarm: Probe::INT_DISARM,
                            disable: Probe::INT_DISABLE,
                            at_irql,
                            at_dpc: Probe::AT_DPC,
                        }),
                    },
                }
            };
            $(
                #[inline(always)]
                fn direct<D>(id: u32, direct: D) -> D::Answer
                where
                    D: $crate::kp_abi::Direct<
                            Handler = Self,
                            Context = $crate::Passive,
                            Session = <$plugin as $crate::Init>::Session,
                        >,
                {
                    $($interface)::+::direct(id, direct)
                }
            )?
        }
        // The table is evaluated where it is used: use it here, so that its checks do not wait for a host.
        const _: () = {
            let _ = <$plugin as $crate::Plugin>::TABLE;
        };
        /// Where a port finds the plugin.
        #[doc(hidden)]
        pub type __KpPlugin = $plugin;
        /// Where a tool finds the plugin's interface.
        #[doc(hidden)]
        pub const __KP_SCHEMA: &[u8] = $crate::__plugin_schema!($($($interface)::+)?);
    };
    // The keys in another order, or without `callbacks`.
    ($plugin:ident { $($key:ident: $value:tt $(:: $more:tt)* $(..= $most:tt)?),* $(,)? }) => {
        ::core::compile_error!(
            "`plugin!` has, in this order, `name`, then `devices`, `vectors`, `interrupt` and `interface` if there are any, and `callbacks`, which may be `[]`"
        );
    };
}

/// The entries of `devices`, one after the other. Those of other buses will begin with a word of their own.
#[doc(hidden)]
#[macro_export]
macro_rules! __plugin_devices {
    ([$($done:expr,)*]) => {
        &[$($done),*]
    };
    ([$($done:expr,)*] $vendor:literal : $device:literal sub $by:literal : $number:literal $(, $($rest:tt)*)?) => {
        $crate::__plugin_devices!(
            [$($done,)* $crate::MatchId::pci_subsystem(
                $crate::MatchId::hexadecimal(::core::stringify!($vendor), $vendor),
                $crate::MatchId::hexadecimal(::core::stringify!($device), $device),
                $crate::MatchId::hexadecimal(::core::stringify!($by), $by),
                $crate::MatchId::hexadecimal(::core::stringify!($number), $number),
            ),] $($($rest)*)?
        )
    };
    ([$($done:expr,)*] $vendor:literal : $device:literal $(, $($rest:tt)*)?) => {
        $crate::__plugin_devices!(
            [$($done,)* $crate::MatchId::pci(
                $crate::MatchId::hexadecimal(::core::stringify!($vendor), $vendor),
                $crate::MatchId::hexadecimal(::core::stringify!($device), $device),
            ),] $($($rest)*)?
        )
    };
    ([$($done:expr,)*] class $class:literal $(, $($rest:tt)*)?) => {
        $crate::__plugin_devices!(
            [$($done,)* $crate::MatchId::pci_class(::core::stringify!($class), $class),] $($($rest)*)?
        )
    };
    ([$($done:expr,)*] $($wrong:tt)+) => {
        ::core::compile_error!(
            "an entry of `devices` is `0x1234:0x11e8`, `0x10ee:0x7024 sub 0x10ee:0x0007` or `class 0x0108`, with a comma between entries"
        )
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __plugin_interrupt {
    () => {
        false
    };
    (own) => {
        true
    };
    ($wrong:ident) => {
        ::core::compile_error!("`interrupt` is `own`, or left out: then an app enables it")
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __plugin_interface {
    () => {
        ::core::option::Option::None
    };
    ($($interface:ident)::+) => {
        ::core::option::Option::Some($($interface)::+::INTERFACE)
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __plugin_chain {
    () => {
        &[]
    };
    ($($interface:ident)::+) => {
        &$($interface)::+::INTERFACE.chains::<{ $($interface)::+::INTERFACE.methods.len() + 1 }>()
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __plugin_schema {
    () => {
        &[]
    };
    ($($interface:ident)::+) => {
        $($interface)::+::SCHEMA
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __plugin_schema_names {
    () => {
        &[]
    };
    ($($interface:ident)::+) => {
        &$($interface)::+::INTERFACE.schema::<{ $($interface)::+::INTERFACE.schema_names_len() }>()
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __plugin_listed {
    ($plugin:ident $list:ident $($callback:ident: $implemented:expr,)*) => { $(
        ::core::assert!(
            !$implemented || $crate::__plugin::contains($list, ::core::stringify!($callback)),
            ::core::concat!(
                "`", ::core::stringify!($plugin), "` implements `", ::core::stringify!($callback), "`: list it in `callbacks`"
            )
        );
    )* };
}

#[doc(hidden)]
pub const fn contains(list: &[&str], name: &str) -> bool {
    let mut i = 0;
    while i < list.len() {
        if equal(list[i].as_bytes(), name.as_bytes()) {
            return true;
        }
        i += 1;
    }
    false
}

const fn equal(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// Vectors that an app gets at most of a plugin that does not say how many it serves.
const DEFAULT_VECTORS: u32 = 32;

/// The two ends of `vectors`, or none.
#[doc(hidden)]
pub const fn check_vectors(ends: &[u32]) -> (u32, u32) {
    if ends.is_empty() {
        return (1, DEFAULT_VECTORS);
    }
    let (least, most) = (ends[0], ends[1]);
    assert!(least >= 1, "`vectors` begins with 1 or more: an interrupt has a vector");
    assert!(least <= most, "`vectors` ends below its beginning: write the fewer first, as in 1..=8");
    assert!(most <= kp_abi::limits::MAX_VECTORS, "`vectors` ends with 2048 at most, as many as a device can have");
    (least, most)
}

/// Is there what an interrupt of the plugin's own needs?
#[doc(hidden)]
pub const fn check_own_interrupt(own: bool, has_handler: bool, has_no_device: bool) {
    assert!(!own || has_handler, "`interrupt: own` needs `IntAtIrql`: nothing would serve it");
    assert!(!own || !has_no_device, "`interrupt: own` needs `devices`: nothing would interrupt");
}

#[doc(hidden)]
pub const fn check_name(name: &str) {
    let name = name.as_bytes();
    assert!(!name.is_empty() && name.len() <= kp_abi::limits::MAX_NAME, "a plugin's name has 1 to 31 characters");
    let mut i = 0;
    while i < name.len() {
        let good = matches!(name[i], b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        assert!(good, "a plugin's name is made of a-z, 0-9, _ and -");
        i += 1;
    }
}
