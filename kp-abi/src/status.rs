//! The status table: one number per answer, forever. [`docs/abi.md`] prints the same table, and a test holds the two together.
//!
//! If a reply's header can be delivered, the transport succeeds and the status in it decides. Rows below 16 marked T are what a
//! transport itself answers.
use core::fmt;

/// What a request was answered with: one number on every kernel and every transport.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Status(
    /// The number on the wire.
    pub u32,
);

/// A row of the status table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusRow {
    /// The status.
    pub status: Status,
    /// Its name in documents, logs and transcripts.
    pub name: &'static str,
    /// Linux's errno of the same class. Several statuses share one: the reply has the exact answer.
    pub errno: u16,
    /// NTSTATUS: the native code where one fits, else `0xE4B50000 | number`. No two statuses share one.
    pub ntstatus: u32,
    /// What it means.
    pub meaning: &'static str,
}

/// An answer that only a transport gives (T in the table): no handler answers so, and it is no [`Error`] by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportStatus(Status);

impl TransportStatus {
    /// The status, as it is on the wire.
    pub const fn status(self) -> Status {
        self.0
    }
}

impl PartialEq<TransportStatus> for Status {
    fn eq(&self, other: &TransportStatus) -> bool {
        *self == other.0
    }
}

/// In the order of their numbers.
const fn sorted<const ROWS: usize>(mut rows: [StatusRow; ROWS]) -> [StatusRow; ROWS] {
    let mut done = 1;
    while done < ROWS {
        let mut at = done;
        while at > 0 && rows[at - 1].status.0 > rows[at].status.0 {
            (rows[at - 1], rows[at]) = (rows[at], rows[at - 1]);
            at -= 1;
        }
        done += 1;
    }
    rows
}

macro_rules! status_table {
    (
        Transport { $($t_number:literal $t_constant:ident $t_name:ident $t_errno:literal $t_nt:literal $t_meaning:literal;)* }
        Status { $($number:literal $constant:ident $name:ident $errno:literal $nt:literal $meaning:literal;)* }
    ) => {
        impl TransportStatus {
            $(#[doc = $t_meaning] pub const $t_constant: TransportStatus = TransportStatus(Status($t_number));)*
        }
        impl Status {
            $(#[doc = $meaning] pub const $constant: Status = Status($number);)*
            /// Every row, in the order of its number.
            pub const TABLE: &'static [StatusRow] = &sorted([
                $(StatusRow { status: Status($t_number), name: stringify!($t_name), errno: $t_errno, ntstatus: $t_nt, meaning: $t_meaning },)*
                $(StatusRow { status: Status($number), name: stringify!($name), errno: $errno, ntstatus: $nt, meaning: $meaning }),*
            ]);
        }
    };
}
status_table! {
    Transport {
        1 UNKNOWN_REQUEST UnknownRequest 25 0xC000_0010 "T: no such request, or not with this method.";
        2 FAULT Fault 14 0xC000_0005 "T: an address of the caller cannot be read or written.";
        3 HEADER_TOO_SMALL HeaderTooSmall 22 0xC000_0004 "T, Windows: a buffer has no room for a header of 16 bytes.";
        4 DENIED Denied 13 0xC000_0022 "T: the handle was not opened for reading and writing.";
        7 WRONG_CONTEXT WrongContext 6 0xC000_0184 "T: the request came in another process's context.";
    }
    Status {
        0 OK Ok 0 0x0000_0000 "Done.";
        5 INTERRUPTED Interrupted 4 0xC000_0120 "T: a signal or a cancellation came first.";
        6 NO_MEMORY NoMemory 12 0xC000_009A "T: the kernel has no memory to spare.";
        16 TOO_SMALL TooSmall 22 0xE4B5_0010 "`size` is below the request's first version.";
        17 TOO_LARGE TooLarge 7 0xC000_0206 "`size` is above 4096.";
        18 UNKNOWN_TAIL UnknownTail 7 0xE4B5_0012 "Bytes that this driver does not know are not zero.";
        19 UNKNOWN_FLAG UnknownFlag 95 0xC000_00BB "A flag that this driver does not know is set.";
        20 BAD_FIELD BadField 22 0xC000_000D "A field's value is not allowed, or a reserved field is not zero.";
        21 UNKNOWN_MESSAGE UnknownMessage 42 0xC000_0002 "The plugin has no such message, or it was retired.";
        22 INPUT_LENGTH InputLength 74 0xE4B5_0016 "The message's input has the wrong length.";
        23 OUTPUT_LENGTH OutputLength 105 0xC000_0023 "The reply does not fit; detail = the length needed.";
        24 PAYLOAD_TOO_LARGE PayloadTooLarge 90 0xE4B5_0018 "Input or output is above the driver's limit.";
        25 BAD_VALUE BadValue 71 0xE4B5_0019 "Bytes that are no value of their type.";
        32 ABI_MISMATCH AbiMismatch 93 0xC000_0059 "Another major ABI; detail = the driver's, major << 16 | minor.";
        33 INTERFACE_MISMATCH InterfaceMismatch 92 0xC000_0024 "The interfaces differ in their names, or in a message that both know.";
        34 NOT_OPEN NotOpen 107 0xC000_023A "No OPEN came before.";
        35 ALREADY_OPEN AlreadyOpen 106 0xC000_023B "The session is open already.";
        36 CLOSED Closed 108 0xC000_0128 "The session is closed, or closing.";
        37 DEVICE_GONE DeviceGone 19 0xC000_02B6 "The device was removed.";
        38 POISONED Poisoned 5 0xC000_00E5 "The plugin panicked: nothing runs until it is loaded anew.";
        39 TOO_MANY_SESSIONS TooManySessions 24 0xC000_00CE "The device's limit of open sessions is reached.";
        40 TOO_MANY_CALLS TooManyCalls 87 0xC000_0044 "The session's limit of calls in flight is reached.";
        41 BUSY Busy 16 0xE4B5_0029 "In use; ask again.";
        42 SUSPENDED Suspended 11 0xC000_00A3 "The device sleeps or is being reset, and the caller asked not to wait; or its call kept the device from going to sleep for too long.";
        48 NOT_ENABLED NotEnabled 67 0xE4B5_0030 "The interrupt is not enabled.";
        49 ALREADY_ENABLED AlreadyEnabled 114 0xC000_0021 "This session has enabled the interrupt already.";
        50 INTERRUPT_OWNED InterruptOwned 16 0xC000_0043 "Another session has enabled the interrupt.";
        51 NO_INTERRUPT NoInterrupt 6 0xE4B5_0033 "The device or the plugin has no such interrupt.";
        52 INT_DISABLED IntDisabled 125 0xE4B5_0034 "The interrupt was disabled during the wait.";
        53 TIMEOUT Timeout 110 0xC000_00B5 "The time given has passed.";
        54 TOO_MANY_WAITS TooManyWaits 87 0xE4B5_0036 "The session's limit of pending waits is reached.";
        55 NEEDS_OVERLAPPED NeedsOverlapped 35 0xE4B5_0037 "Windows: a wait needs a handle opened for overlapped use.";
        56 INTERRUPT_STORM InterruptStorm 75 0xE4B5_0038 "The interrupt never stopped, and is not served any more. INT_DISABLE clears this.";
        57 BAD_VECTOR BadVector 44 0xE4B5_0039 "No such vector.";
        58 CONNECT_FAILED ConnectFailed 5 0xE4B5_003A "The kernel refused to connect the interrupt; detail = its code.";
        64 PLUGIN_ERROR PluginError 121 0xE4B5_0040 "The plugin's own error; detail = its number.";
        65 INIT_FAILED InitFailed 5 0xE4B5_0041 "The kernel refused, or lacks, what the driver needs to start.";
        66 WRONG_DEVICE WrongDevice 6 0xE4B5_0042 "Not the device, or not the part of it, that was asked for.";
        67 BAR_TOO_SHORT BarTooShort 6 0xE4B5_0043 "The BAR is shorter than its register map.";
        68 NOT_PERMITTED NotPermitted 1 0xE4B5_0044 "The plugin refuses this caller.";
        80 RING_CORRUPT RingCorrupt 117 0xE4B5_0050 "An index of the ring is impossible; nothing was taken.";
        81 RING_EXISTS RingExists 17 0xE4B5_0051 "The session has a ring already.";
        82 NO_RING NoRing 61 0xE4B5_0052 "The session has no ring.";
        83 NO_DMA NoDma 6 0xE4B5_0053 "The device reaches no memory of this machine, or the machine cannot let it.";
        84 NO_BUFFER NoBuffer 2 0xE4B5_0054 "The session has registered no buffer of this number.";
        85 BUFFER_IN_USE BufferInUse 16 0xE4B5_0055 "The session has registered a buffer of this number already.";
        86 NOT_PINNABLE NotPinnable 95 0xE4B5_0056 "Memory that a device must not be let into: of a file, or of another device.";
        87 PIN_LIMIT PinLimit 122 0xE4B5_0057 "More memory than the caller may have pinned.";
        89 READ_ONLY ReadOnly 30 0xE4B5_0059 "The buffer was registered for reading only.";
        0xFFFF_FFFE PROTOCOL Protocol 71 0xE4B5_FFFE "Client side: the reply is no reply of this message.";
        0xFFFF_FFFF NO_REPLY NoReply 5 0xE4B5_FFFF "Client side: the driver left no answer.";
    }
}

impl Status {
    /// The table's row. `None` for a number that is in no table.
    pub const fn row(self) -> Option<&'static StatusRow> {
        let mut i = 0;
        while i < Self::TABLE.len() {
            if Self::TABLE[i].status.0 == self.0 {
                return Some(&Self::TABLE[i]);
            }
            i += 1;
        }
        None
    }

    /// The table's name; `Unknown` for a number that is in no table.
    pub const fn name(self) -> &'static str {
        match self.row() {
            Some(row) => row.name,
            None => "Unknown",
        }
    }

    /// Is it an answer that a transport itself gives (T in the table)?
    pub const fn is_transport(self) -> bool {
        self.0 >= 1 && self.0 <= 7
    }

    /// Linux's errno of the same class; EIO for a number in no table.
    pub const fn errno(self) -> u16 {
        match self.row() {
            Some(row) => row.errno,
            None => 5,
        }
    }

    /// The NTSTATUS of this status; [`from_ntstatus`](Self::from_ntstatus) is its inverse.
    pub const fn ntstatus(self) -> u32 {
        match self.row() {
            Some(row) => row.ntstatus,
            None => Self::INTERRUPTED.ntstatus(),
        }
    }

    /// The status of an NTSTATUS; `None` if no status maps to it.
    pub const fn from_ntstatus(ntstatus: u32) -> Option<Self> {
        let mut i = 0;
        while i < Self::TABLE.len() {
            if Self::TABLE[i].ntstatus == ntstatus {
                return Some(Self::TABLE[i].status);
            }
            i += 1;
        }
        None
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.row() {
            Some(row) => f.write_str(row.name),
            None => write!(f, "Status({:#x})", self.0),
        }
    }
}
impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why something failed: a [`Status`] and, where its row says so, a detail.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Error {
    /// The row of the status table.
    pub status: Status,
    /// What the row says it is; else 0.
    pub detail: u32,
}

/// `Ok`, or why not.
pub type Result<T, E = Error> = core::result::Result<T, E>;

impl Error {
    /// An error with a detail.
    pub const fn new(status: Status, detail: u32) -> Self {
        Self { status, detail }
    }

    /// A plugin's own error: [`Status::PLUGIN_ERROR`] with its number.
    pub const fn plugin(number: u32) -> Self {
        Self { status: Status::PLUGIN_ERROR, detail: number }
    }
}
impl From<Status> for Error {
    #[inline]
    fn from(status: Status) -> Self {
        Self { status, detail: 0 }
    }
}
impl PartialEq<Status> for Error {
    fn eq(&self, other: &Status) -> bool {
        self.status == *other
    }
}
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.detail {
            0 => write!(f, "{}", self.status),
            detail => write!(f, "{} ({detail})", self.status),
        }
    }
}
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl core::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_ascend_and_ntstatus_is_lossless() {
        for pair in Status::TABLE.windows(2) {
            assert!(pair[0].status.0 < pair[1].status.0, "{} before {}", pair[0].name, pair[1].name);
        }
        for row in Status::TABLE {
            assert_eq!(Status::from_ntstatus(row.ntstatus), Some(row.status), "{}", row.name);
        }
        assert_eq!(Status(9999).name(), "Unknown");
    }
}
