//! Where the kernel's structs, on 64-bit Windows, have what the port uses of them. The compiler holds our structs to this list, and
//! cargo-kp's test `layouts`, which reads it as text, one entry a line, holds it to the headers of mingw-w64.
use super::{structs::*, structs_device::*, structs_dma::*, structs_resource::*};

/// `Ours = WINDOWS_NAME, size N { field = Windows.Path at N; }`. No size: our struct is only the beginning of Windows'.
macro_rules! layouts {
    ($($ours:ident = $theirs:ident $(, size $size:literal)? {
        $($($field:ident).+ = $($path:ident).+ at $offset:literal;)*
    })*) => {
        #[cfg(target_pointer_width = "64")]
        const _: () = {
            $($(assert!(size_of::<$ours>() == $size);)?
            $(assert!(core::mem::offset_of!($ours, $($field).+) == $offset);)*)*
        };
    };
}

layouts! {
    UnicodeString = UNICODE_STRING, size 16 {
        length = Length at 0;
        maximum_length = MaximumLength at 2;
        buffer = Buffer at 8;
    }
    RegistryQuery = RTL_QUERY_REGISTRY_TABLE, size 56 {
        routine = QueryRoutine at 0;
        flags = Flags at 8;
        name = Name at 16;
        entry_context = EntryContext at 24;
        default_type = DefaultType at 32;
        default_data = DefaultData at 40;
        default_length = DefaultLength at 48;
    }
    Event = KEVENT, size 24 {
    }
    SpinLock = KSPIN_LOCK, size 8 {
    }
    Dpc = KDPC, size 64 {
    }
    Timer = KTIMER, size 64 {
    }
    ListEntry = LIST_ENTRY, size 16 {
        next = Flink at 0;
        previous = Blink at 8;
    }
    Guid = GUID, size 16 {
        a = Data1 at 0;
        b = Data2 at 4;
        c = Data3 at 6;
        d = Data4 at 8;
    }
    RemoveLock = IO_REMOVE_LOCK_COMMON_BLOCK, size 32 {
    }
    DriverExtension = DRIVER_EXTENSION {
        add_device = AddDevice at 8;
    }
    DriverObject = DRIVER_OBJECT, size 336 {
        device_object = DeviceObject at 8;
        driver_extension = DriverExtension at 48;
        driver_unload = DriverUnload at 104;
        major_function = MajorFunction at 112;
    }
    DeviceObject = DEVICE_OBJECT, size 336 {
        flags = Flags at 48;
        device_extension = DeviceExtension at 64;
    }
    FileObject = FILE_OBJECT {
        fs_context = FsContext at 24;
        fs_context2 = FsContext2 at 32;
        related_file_object = RelatedFileObject at 64;
        flags = Flags at 80;
        file_name = FileName at 88;
    }
    IoStatusBlock = IO_STATUS_BLOCK, size 16 {
        status = Status at 0;
        information = Information at 8;
    }
    Irp = IRP, size 208 {
        mdl = MdlAddress at 8;
        system_buffer = AssociatedIrp.SystemBuffer at 24;
        io_status = IoStatus at 48;
        requestor_mode = RequestorMode at 64;
        pending_returned = PendingReturned at 65;
        current_location = CurrentLocation at 67;
        cancel = Cancel at 68;
        cancel_irql = CancelIrql at 69;
        cancel_routine = CancelRoutine at 104;
        user_buffer = UserBuffer at 112;
        driver_context = Tail.Overlay.DriverContext at 120;
        list_entry = Tail.Overlay.ListEntry at 168;
        current_stack_location = Tail.Overlay.CurrentStackLocation at 184;
    }
    IoStackLocation = IO_STACK_LOCATION, size 72 {
        major_function = MajorFunction at 0;
        minor_function = MinorFunction at 1;
        control = Control at 3;
        parameters = Parameters at 8;
        parameters.device_control.output_buffer_length = Parameters.DeviceIoControl.OutputBufferLength at 8;
        parameters.device_control.input_buffer_length = Parameters.DeviceIoControl.InputBufferLength at 16;
        parameters.device_control.io_control_code = Parameters.DeviceIoControl.IoControlCode at 24;
        parameters.device_control.type3_input_buffer = Parameters.DeviceIoControl.Type3InputBuffer at 32;
        parameters.start_device.allocated_resources = Parameters.StartDevice.AllocatedResources at 8;
        parameters.start_device.allocated_resources_translated = Parameters.StartDevice.AllocatedResourcesTranslated at 16;
        parameters.query_interface.interface_type = Parameters.QueryInterface.InterfaceType at 8;
        parameters.query_interface.size = Parameters.QueryInterface.Size at 16;
        parameters.query_interface.version = Parameters.QueryInterface.Version at 18;
        parameters.query_interface.interface = Parameters.QueryInterface.Interface at 24;
        parameters.query_interface.interface_specific_data = Parameters.QueryInterface.InterfaceSpecificData at 32;
        parameters.power.kind = Parameters.Power.Type at 16;
        parameters.power.state = Parameters.Power.State at 24;
        device_object = DeviceObject at 40;
        file_object = FileObject at 48;
        completion_routine = CompletionRoutine at 56;
        context = Context at 64;
    }
    ResourceList = CM_RESOURCE_LIST {
        count = Count at 0;
        first = List at 4;
    }
    FullDescriptor = CM_FULL_RESOURCE_DESCRIPTOR {
        partial_count = PartialResourceList.Count at 12;
        partial = PartialResourceList.PartialDescriptors at 16;
    }
    PartialDescriptor = CM_PARTIAL_RESOURCE_DESCRIPTOR, size 20 {
        kind = Type at 0;
        share_disposition = ShareDisposition at 1;
        flags = Flags at 2;
        u = u at 4;
    }
    BusInterface = BUS_INTERFACE_STANDARD, size 64 {
        size = Size at 0;
        version = Version at 2;
        context = Context at 8;
        reference = InterfaceReference at 16;
        dereference = InterfaceDereference at 24;
        set_bus_data = SetBusData at 48;
        get_bus_data = GetBusData at 56;
    }
    MsixTableInterface = PCI_MSIX_TABLE_CONFIG_INTERFACE, size 72 {
        size = Size at 0;
        version = Version at 2;
        context = Context at 8;
        reference = InterfaceReference at 16;
        dereference = InterfaceDereference at 24;
        set_entry = SetTableEntry at 32;
        mask_entry = MaskTableEntry at 40;
        unmask_entry = UnmaskTableEntry at 48;
    }
    SecurityContext = IO_SECURITY_CONTEXT, size 24 {
        access_state = AccessState at 8;
    }
    AccessState = ACCESS_STATE {
        client_token = SubjectSecurityContext.ClientToken at 32;
        primary_token = SubjectSecurityContext.PrimaryToken at 48;
    }
    ConnectInterrupt = IO_CONNECT_INTERRUPT_PARAMETERS, size 80 {
        version = Version at 0;
        physical_device_object = LineBased.PhysicalDeviceObject at 8;
        connection = LineBased.InterruptObject at 16;
        service_routine = LineBased.ServiceRoutine at 24;
        service_context = LineBased.ServiceContext at 32;
        spin_lock = LineBased.SpinLock at 40;
        synchronize_irql = LineBased.SynchronizeIrql at 48;
        floating_save = LineBased.FloatingSave at 49;
        physical_device_object = MessageBased.PhysicalDeviceObject at 8;
        connection = MessageBased.ConnectionContext at 16;
        service_routine = MessageBased.MessageServiceRoutine at 24;
        service_context = MessageBased.ServiceContext at 32;
        spin_lock = MessageBased.SpinLock at 40;
        synchronize_irql = MessageBased.SynchronizeIrql at 48;
        floating_save = MessageBased.FloatingSave at 49;
        fallback_service_routine = MessageBased.FallBackServiceRoutine at 56;
    }
    DisconnectInterrupt = IO_DISCONNECT_INTERRUPT_PARAMETERS, size 16 {
        version = Version at 0;
        connection = ConnectionContext at 8;
    }
    Mdl = MDL, size 48 {
        flags = MdlFlags at 10;
        mapped_system_va = MappedSystemVa at 24;
        start_va = StartVa at 32;
        byte_count = ByteCount at 40;
        byte_offset = ByteOffset at 44;
    }
    DeviceDescription = DEVICE_DESCRIPTION {
        version = Version at 0;
        master = Master at 4;
        scatter_gather = ScatterGather at 5;
        dma32_bit_addresses = Dma32BitAddresses at 8;
        dma64_bit_addresses = Dma64BitAddresses at 11;
        interface_type = InterfaceType at 20;
        maximum_length = MaximumLength at 32;
    }
    DmaAdapter = DMA_ADAPTER, size 16 {
        operations = DmaOperations at 8;
    }
    DmaOperations = DMA_OPERATIONS {
        size = Size at 0;
        put_adapter = PutDmaAdapter at 8;
        allocate_common_buffer = AllocateCommonBuffer at 16;
        free_common_buffer = FreeCommonBuffer at 24;
        get_list = GetScatterGatherList at 88;
        put_list = PutScatterGatherList at 96;
    }
    ScatterGatherList = SCATTER_GATHER_LIST {
        number_of_elements = NumberOfElements at 0;
        elements = Elements at 16;
    }
    ScatterGatherElement = SCATTER_GATHER_ELEMENT, size 24 {
        address = Address at 0;
        length = Length at 8;
    }
    MessageInfo = IO_INTERRUPT_MESSAGE_INFO {
        unified_irql = UnifiedIrql at 0;
    }
}
