//! The rules that end a run when a driver breaks one, and where each is written: the title of Microsoft's page, or that it is this
//! loader's own.
use std::fmt;

/// Where a rule is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Microsoft's page with this title.
    Page(&'static str),
    /// The page of the function that is called, which has its name for a title.
    FunctionsPage,
    /// No page says so: the loader's own, and why.
    Own(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Page(title) => f.write_str(title),
            Source::FunctionsPage => f.write_str("the function's own page"),
            Source::Own(why) => write!(f, "the loader's own: {why}"),
        }
    }
}

/// A broken rule: which, and what the driver did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The rule.
    pub rule: Rule,
    /// What was done, with its numbers, in one line.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.what, self.rule.source())
    }
}

impl Rule {
    /// This rule, broken in this way.
    pub(crate) fn broken(self, what: impl Into<String>) -> Broken {
        Broken { rule: self, what: what.into() }
    }
}

macro_rules! rules {
    ($($name:ident: $says:literal, $source:expr;)*) => {
        /// What the loader holds drivers to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Rule {
            $(#[doc = $says] $name,)*
        }

        impl Rule {
            /// All of them.
            pub const ALL: &[Rule] = &[$(Rule::$name),*];

            /// The rule in one sentence.
            pub fn says(self) -> &'static str {
                match self { $(Rule::$name => $says,)* }
            }

            /// Where it is written.
            pub fn source(self) -> Source {
                match self { $(Rule::$name => $source,)* }
            }
        }
    };
}

use Source::{FunctionsPage, Own, Page};

const VERIFIER_IO: Source = Page("Bug Check 0xC9 DRIVER_VERIFIER_IOMANAGER_VIOLATION");

rules! {
    // Levels, locks, waits.
    Irql: "A function is called at a level that it may be called at.", FunctionsPage;
    IrqlKept: "A routine returns at the level that it was called at.", Page("Bug Check 0xC8 IRQL_UNEXPECTED_VALUE");
    IrqlRaised: "Raising a level does not lower it.", Page("KeRaiseIrql macro (wdm.h)");
    IrqlLowered: "Lowering a level does not raise it, and holds no spin lock.", Page("KeLowerIrql function (wdm.h)");
    SpinLockOnce: "A spin lock is not taken by the processor that has it.", Page("Preventing Errors and Deadlocks While Using Spin Locks");
    SpinLockOwned: "A spin lock is released by who has taken it.", Page("Bug Check 0x10 SPIN_LOCK_NOT_OWNED");
    SpinLockLevel: "A spin lock is released to the level that it was taken from.", Page("KeReleaseSpinLock macro (wdm.h)");
    SpinLockKept: "A routine returns with no spin lock that it has taken.", Page("Preventing Errors and Deadlocks While Using Spin Locks");
    RegionKept: "A routine returns in no critical region that it has entered.", Page("Bug Check 0x1 APC_INDEX_MISMATCH");
    RegionLeft: "A critical region is left by who is in one.", Page("KeLeaveCriticalRegion function (wdm.h)");
    WaitLevel: "Nothing waits at DISPATCH_LEVEL.", Page("KeWaitForSingleObject function (wdm.h)");
    WaitGuarded: "An app's thread waits in the driver in a critical region: stopped there, it would stop whoever waits for it.", Page("Run-Down Protection");
    WaitRelative: "No wait ends at a time of day.", Own("it is not played");
    EventKind: "An event is one of two kinds.", Page("KeInitializeEvent function (wdm.h)");

    // Requests.
    RequestLive: "A request that is sent on is one, and is not over.", VERIFIER_IO;
    RequestStack: "A request goes no further than its stack has locations.", Page("Bug Check 0x35 NO_MORE_IRP_STACK_LOCATIONS");
    CompletedOnce: "A request is completed once.", Page("Bug Check 0x44 MULTIPLE_IRP_COMPLETE_REQUESTS");
    CompletedForGood: "A request is not completed with STATUS_PENDING.", VERIFIER_IO;
    CancelRoutineCleared: "A request is completed without a cancel routine.", VERIFIER_IO;
    PendingReturned: "STATUS_PENDING is returned for a request that is marked pending, and only for one.", VERIFIER_IO;
    StatusReturned: "What a dispatch routine returns is what the request was completed with.", VERIFIER_IO;
    OutputFits: "No more bytes are returned than the buffer has.", VERIFIER_IO;
    Cancelled: "A request that is cancelled is completed soon.", Page("Canceling IRPs");
    CompletedSoon: "A request that nothing holds up is completed within half a minute.", Own("a limit for what would never end");
    UnknownUntouched: "A request that a driver does not know is passed on as it is.", Page("Handling Unsupported or Unrecognized Power IRPs");
    UnknownPassedOn: "A request that a driver does not know reaches the bus.", VERIFIER_IO;
    FailureNotPassed: "A request that a driver fails is completed and not passed on.", VERIFIER_IO;
    SynchronousMajor: "A synchronous request is of a kind that can be one.", Page("IoBuildSynchronousFsdRequest function (wdm.h)");

    // Memory.
    PoolBlock: "What is freed is a block of the pool, once.", Page("Bug Check 0xC2 BAD_POOL_CALLER");
    PoolTag: "A block is freed with its tag.", Page("ExFreePoolWithTag function (wdm.h)");
    PoolBounds: "Nothing is written around a block.", Page("Bug Check 0xC5 DRIVER_CORRUPTED_EXPOOL");
    PoolFreed: "Nothing is written into a block after it is freed.", Page("Bug Check 0xC5 DRIVER_CORRUPTED_EXPOOL");
    DpcFreed: "A block is freed with no DPC in it that is queued.", Page("Bug Check 0xC7 TIMER_OR_DPC_INVALID");
    TimerFreed: "A block is freed with no timer in it that is set.", Page("Bug Check 0xC7 TIMER_OR_DPC_INVALID");
    KernelMemory: "An app's address is probed before it is written to.", Page("ProbeForWrite function (wdm.h)");

    // What is done later.
    DpcProcessor: "A DPC is for a processor that there is.", Page("KeSetTargetProcessorDpc function (wdm.h)");
    TimerSet: "A timer that is set is not initialised.", Page("KeInitializeTimer function (wdm.h)");
    TimerKind: "A timer is one of two kinds.", Page("KeInitializeTimerEx function (wdm.h)");
    WorkItemFreed: "A work item that is freed is one, and is not queued.", Page("IoFreeWorkItem function (wdm.h)");
    WorkItemQueued: "A work item that is queued is one, and is not queued already.", Page("IoQueueWorkItem function (wdm.h)");

    // Objects.
    DriverObject: "A device is made for a driver.", Page("IoCreateDevice function (wdm.h)");
    DeviceObject: "A device that is deleted is one.", Page("IoDeleteDevice function (wdm.h)");
    DeviceClosed: "A device is deleted after its last file is closed.", Page("IoDeleteDevice function (wdm.h)");
    SymbolicLink: "A symbolic link has two names.", Page("IoCreateSymbolicLink function (wdm.h)");
    ObjectPointer: "A handle is made for an object.", Page("ObOpenObjectByPointer function (ntifs.h)");
    HandleClosed: "A handle that is closed is one.", Page("ZwClose function (wdm.h)");
    Token: "A token is one.", Page("SeTokenIsAdmin function (ntifs.h)");
    SecurityDescriptor: "A security descriptor that is set is well formed.", Page("ZwSetSecurityObject function (ntifs.h)");
    EntryUndone: "DriverEntry that refuses leaves no device.", Page("Writing a DriverEntry Routine");
    Unloaded: "A driver that is unloaded leaves no device.", Page("Unload Routine Functionality");
    RemoveLockInitialised: "A remove lock is initialised before it is used, with its size.", Page("IoInitializeRemoveLock macro (wdm.h)");
    AttachedReady: "A device object is attached when it can take requests: its remove lock is initialised by then.", Page("AddDevice Routines in Function or Filter Drivers");
    RemoveLockTag: "A remove lock is released with the tag that it was taken with.", Page("IoReleaseRemoveLock macro (wdm.h)");

    // Plug and play, power.
    Detached: "After a removal no device object is attached.", Page("Handling an IRP_MN_REMOVE_DEVICE Request");
    InterfaceDisabled: "After a removal no interface of the device is enabled.", Page("Handling an IRP_MN_REMOVE_DEVICE Request");
    InterfaceReference: "A device interface has a reference string only if a bus driver registers it.", Page("IoRegisterDeviceInterface function (wdm.h)");
    InterfaceRegistered: "A device interface that is enabled or disabled was registered.", Page("IoSetDeviceInterfaceState function (wdm.h)");
    InterfaceDisabledOnce: "A device interface that was disabled is not disabled again.", Page("IoSetDeviceInterfaceState function (wdm.h)");
    InterfaceKept: "A device that is stopped keeps its interface enabled.", Page("Enabling and Disabling a Device Interface Instance");
    StoppedReleased: "Nothing of a device that is stopped is mapped or connected.", Page("Handling an IRP_MN_STOP_DEVICE Request (Windows 2000 and later)");
    SurpriseReleased: "Nothing of a device that is gone by surprise is mapped or connected.", Page("Handling an IRP_MN_SURPRISE_REMOVAL Request");
    RemovedReleased: "Nothing of a device that is removed is mapped or connected.", Page("Handling an IRP_MN_REMOVE_DEVICE Request");
    MayNotFail: "A request that the plug-and-play manager lets nobody refuse is not refused.", Page("Plug and Play Minor IRPs");
    PowerStateTold: "The power manager is told of a device's power: D0 after START and once it has it, another before it is left.", Page("PoSetPowerState function (wdm.h)");
    PowerStateLevel: "The power manager is told of another state than D0 below DISPATCH_LEVEL.", Page("PoSetPowerState function (wdm.h)");
    AsleepUntouched: "Registers are not touched while the device is not in D0.", Page("Queuing I/O Requests While a Device is Sleeping");
    SystemThenDevice: "The system's request to sleep is passed down before the device's is asked for.", Page("Sending a Device Set-Power IRP in Response to a System Set-Power IRP");
    DevicesStatus: "The system's request to sleep is completed with the status of the device's.", Page("Sending a Device Set-Power IRP in Response to a System Set-Power IRP");
    PowerNotBlocked: "A power request's dispatch routine does not wait.", Page("Passing Power IRPs");

    // Devices.
    RegistersMapped: "What is mapped are registers of a device.", Page("MmMapIoSpaceEx function (wdm.h)");
    RegistersProtection: "Registers are mapped to be read and written.", Page("MmMapIoSpaceEx function (wdm.h)");
    RegistersUnmapped: "What is unmapped was mapped, with that length.", Page("MmUnmapIoSpace function (wdm.h)");
    RegisterAccess: "A register is read or written by one plain instruction.", Own("a device sees other instructions as more than one access, or as none that can be told");
    RegisterAligned: "A register is accessed aligned, inside its mapping.", Own("a device sees another access than was meant");
    PortsOwned: "A port that is accessed is an aligned one of a device's.", Own("an access to other ports meets another device");
    ConnectVersion: "An interrupt is connected by a version of the parameters that there is.", Page("IoConnectInterruptEx function (wdm.h)");
    DisconnectVersion: "An interrupt is disconnected by the version that it was connected by.", Page("IoDisconnectInterruptEx function (wdm.h)");
    Connected: "An interrupt that is disconnected was connected.", Page("IoDisconnectInterruptEx function (wdm.h)");
    Claimed: "A line that a device raises is claimed.", Page("Writing an ISR");
    BusInterfaceLevel: "The bus's interface is used up to DISPATCH_LEVEL.", Own("its page allows a handler's level too, which no driver here needs");

    // Pages, and devices' own transfers.
    PagesListed: "A list of pages is one, and its pages are freed once, before it.", Page("MmFreePagesFromMdl function (wdm.h)");
    PagesPlayed: "Pages are allocated and mapped in a way that is played.", Own("drivers here need no others");
    PagesMappedOnce: "Pages are mapped once at a time, and not when they are freed.", Page("MmMapLockedPagesSpecifyCache function (wdm.h)");
    PagesShown: "Pages that a device has are neither freed nor unlocked.", Page("Using Scatter/Gather DMA");
    ProcessUnlocked: "A process ends with none of its pages locked.", Page("Bug Check 0x76 PROCESS_HAS_LOCKED_PAGES");
    AdapterDescribed: "A device is described by a version that there is, as a bus master, with its reach.", Page("DEVICE_DESCRIPTION structure (wdm.h)");
    AdapterLive: "An adapter that is used was not put back.", Page("PPUT_DMA_ADAPTER callback function (wdm.h)");
    AdapterEmpty: "An adapter is put back when its device has nothing more.", Page("PPUT_DMA_ADAPTER callback function (wdm.h)");
    AdapterFunction: "A function of an adapter's table is one of those that are played.", Own("drivers here need no others");
    CommonBufferFreed: "A common buffer that is freed is one.", Page("PFREE_COMMON_BUFFER callback function (wdm.h)");
    ListPut: "A scatter/gather list is put back once, with its direction.", Page("PPUT_SCATTER_GATHER_LIST callback function (wdm.h)");
    DeviceMapped: "A device reads and writes what it was given, in its direction.", Own("other memory is somebody else's");

    // The registry.
    RegistryPath: "The registry is asked by a whole path.", Own("other paths are not played");
    RegistryTable: "The table of what the registry is asked is in non-paged pool.", Page("RtlQueryRegistryValues function (wdm.h)");
    RegistryQuery: "A value is stored directly only if its type is checked, and is never expanded.", Page("RtlQueryRegistryValues function (wdm.h)");

    // The driver itself.
    HandlerCalled: "The exception handler is called by the kernel.", Own("it is no function for drivers");
}
