//! Where the kernel's structs, on 64-bit Windows, have what the port uses of them. The compiler holds our structs to this list, and
//! cargo-kp's test `layouts`, which reads it as text, one entry a line, holds it to the headers of mingw-w64.
use super::structs::*;

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
    Event = KEVENT, size 24 {
    }
    SpinLock = KSPIN_LOCK, size 8 {
    }
    DriverObject = DRIVER_OBJECT, size 336 {
        device_object = DeviceObject at 8;
        driver_unload = DriverUnload at 104;
        major_function = MajorFunction at 112;
    }
    DeviceObject = DEVICE_OBJECT, size 336 {
        flags = Flags at 48;
        device_extension = DeviceExtension at 64;
    }
    FileObject = FILE_OBJECT {
        fs_context = FsContext at 24;
        related_file_object = RelatedFileObject at 64;
        file_name = FileName at 88;
    }
    IoStatusBlock = IO_STATUS_BLOCK, size 16 {
        status = Status at 0;
        information = Information at 8;
    }
    Irp = IRP, size 208 {
        system_buffer = AssociatedIrp.SystemBuffer at 24;
        io_status = IoStatus at 48;
        requestor_mode = RequestorMode at 64;
        user_buffer = UserBuffer at 112;
        current_stack_location = Tail.Overlay.CurrentStackLocation at 184;
    }
    IoStackLocation = IO_STACK_LOCATION, size 72 {
        output_buffer_length = Parameters.DeviceIoControl.OutputBufferLength at 8;
        input_buffer_length = Parameters.DeviceIoControl.InputBufferLength at 16;
        io_control_code = Parameters.DeviceIoControl.IoControlCode at 24;
        type3_input_buffer = Parameters.DeviceIoControl.Type3InputBuffer at 32;
        file_object = FileObject at 48;
    }
}
