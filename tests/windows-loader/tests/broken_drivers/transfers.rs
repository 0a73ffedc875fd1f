//! What a driver does wrong with pages, with its adapter and with what its device is to reach. Each deed is done in a device control, whose
//! out-buffer is the app's memory, by a driver that the bus has shown a card to.
use crate::{
    card::{CODE, Deed, KEEPS, LEN, ORDER, PAGE, Scene, Stage, Transfer, entry, reads, verdict, writes},
    dma::{
        Adapter, adapter, block, bytes, description, elements, free, free_pages, get_adapter, map, operation, pages,
        unmap,
    },
    skeleton,
};
use std::{ffi::c_void, ptr, time::Duration};
use windows_loader::{Buffer, Mode, Options, Rule, Token, access, kernel_call, nt::Mdl};

/// All that a driver may do, in its order.
fn does_right(scene: &Scene, adapter: &Adapter) {
    let common = adapter.common(2 * PAGE);
    bytes(common.1, 2 * PAGE).fill(7);
    assert_eq!(reads(common.0 + 100, 2 * PAGE - 100), [7; 2 * PAGE - 100]);
    writes(common.0, 2 * PAGE, 8);
    assert_eq!(bytes(common.1, 2 * PAGE), [8; 2 * PAGE]);
    adapter.free_common(2 * PAGE, common);

    let own = pages(3 * PAGE);
    let at = map(own);
    bytes(at, 3 * PAGE).fill(9);
    let list = adapter.list(own, 100, 2 * PAGE, true);
    for (bus, len) in elements(list) {
        assert_eq!(reads(bus, len), vec![9; len]);
    }
    adapter.put_list(list, true);
    let list = adapter.list(own, 100, 2 * PAGE, false);
    elements(list).iter().for_each(|(bus, len)| writes(*bus, *len, 10));
    adapter.put_list(list, false);
    assert_eq!(bytes(at, 3 * PAGE).iter().map(|byte| usize::from(*byte == 10)).sum::<usize>(), 2 * PAGE);
    unmap(at, own);
    free_pages(own);
    free(own.cast());

    // The app's memory, from its second page on: lists for two parts at once.
    let (first, second) = (adapter.list(scene.app, 0, 0x80, false), adapter.list(scene.app, 0x80, LEN - 0x80, false));
    elements(first).iter().for_each(|(bus, len)| writes(*bus, *len, 1));
    elements(second).iter().for_each(|(bus, len)| writes(*bus, *len, 2));
    adapter.put_list(first, false);
    adapter.put_list(second, false);
    adapter.put();
}

#[test]
fn a_driver_that_transfers_by_the_rules_is_left_alone() {
    for map_registers in [None, Some(8)] {
        let mut options = Options::default();
        options.map_registers = map_registers;
        for deed in [(|scene| does_right(scene, &get_adapter(&description(3)))) as Deed, |scene| {
            does_right(scene, &get_adapter(&description(2)))
        }] {
            let mut stage = Stage::new(options.clone());
            assert_eq!(stage.verdict(deed), "");
            let (first, second) = stage.app().split_at(0x80);
            assert!(first.iter().all(|byte| *byte == 1) && second.iter().all(|byte| *byte == 2));
        }
    }
}

/// Without map registers a device's addresses are the pages' own, also of a list that does not begin with a page.
#[test]
fn an_element_has_the_number_of_its_page() {
    let said = verdict(|scene| {
        let adapter = adapter();
        // SAFETY: a list of the kernel's has a number for each of its pages.
        let number = |page: usize| unsafe { scene.app.wrapping_add(1).cast::<u64>().wrapping_add(page).read() };
        let list = adapter.list(scene.app, 0x90, 0x20, true);
        assert_eq!(elements(list), [(number(1) * PAGE as u64 + 0x10, 0x20)]);
        adapter.put_list(list, true);
        adapter.put();
    });
    assert_eq!(said, "");
}

#[test]
fn each_broken_rule_of_pages_is_named() {
    let deeds: &[(Rule, &str, Deed)] = &[
        (Rule::PagesListed, "is no list of pages", |_| _ = map(block())),
        (Rule::PagesListed, "are freed, which it has none of its own", |_| {
            let own = pages(PAGE);
            free_pages(own);
            free_pages(own);
        }),
        (Rule::PagesListed, "are freed, which it has none of its own", |scene| free_pages(scene.app)),
        (Rule::PagesListed, "is freed with its pages", |_| free(pages(PAGE).cast())),
        (Rule::PagesListed, "is freed with its pages", |scene| free(scene.app.cast())),
        (Rule::PagesListed, "is no list of pages", |_| {
            let own = pages(PAGE);
            free_pages(own);
            map(own);
        }),
        (Rule::PagesListed, "KeFlushIoBuffers: ", |_| {
            kernel_call!("KeFlushIoBuffers"(block() => *mut Mdl, 1 => u8, 1 => u8));
        }),
        (Rule::PagesListed, "is no list of pages with 0 bytes", |_| _ = adapter().list(block(), 0, 1, true)),
        (Rule::PagesListed, "is no list of pages at 0x", |_| {
            _ = get_adapter(&description(2)).list(block(), 0, 1, true);
        }),
        (Rule::PagesListed, "is no list of pages with 4097 bytes", |_| {
            _ = adapter().list(pages(PAGE), PAGE + 1, 1, true);
        }),
        (Rule::PagesListed, "4096 bytes are asked for of a list of pages with 4095 left", |_| {
            _ = adapter().list(pages(PAGE), 1, PAGE, true);
        }),
        (Rule::PagesListed, "0 bytes are asked for of", |_| _ = adapter().list(pages(PAGE), 0, 0, true)),
        (Rule::PagesPlayed, "the flags 0x0 are not played", |_| {
            kernel_call!("MmAllocatePagesForMdlEx"(0 => u64, u64::MAX => u64, 0 => u64, PAGE => usize, 1 => i32, 0 => u32) -> *mut Mdl);
        }),
        (Rule::PagesPlayed, "into a process, at an address or with a bug check", |scene| {
            kernel_call!("MmMapLockedPagesSpecifyCache"(scene.app => *mut Mdl, 1 => i8, 1 => i32, 0 => usize, 0 => u32, 16 => u32) -> *mut u8);
        }),
        (Rule::PagesMappedOnce, "are mapped a second time", |scene| {
            map(scene.app);
            map(scene.app);
        }),
        (Rule::PagesMappedOnce, "is not where the pages of", |scene| {
            unmap(map(scene.app).wrapping_add(PAGE), scene.app)
        }),
        (Rule::PagesMappedOnce, "is not where the pages of", |scene| {
            let at = map(scene.app);
            unmap(at, scene.app);
            unmap(at, scene.app);
        }),
        (Rule::PagesMappedOnce, "are freed while they are mapped", |_| {
            let own = pages(PAGE);
            map(own);
            free_pages(own);
        }),
        (Rule::PagesShown, "are freed while a device has them", |_| {
            let own = pages(3 * PAGE);
            adapter().list(own, 2 * PAGE, PAGE, true);
            free_pages(own);
        }),
        (Rule::PagesShown, "an app's request is completed while a device has its pages", |scene| {
            adapter().list(scene.app, LEN - 1, 1, true);
        }),
    ];
    for (i, (rule, want, deed)) in deeds.iter().enumerate() {
        skeleton::says(&verdict(*deed), Some(*rule), want, &format!("the deed {i}"));
    }
}

#[test]
fn each_broken_rule_of_an_adapter_is_named() {
    /// A description with another word.
    fn described(word: usize, value: u32) -> Adapter {
        let mut description = description(3);
        description[word] = value;
        get_adapter(&description)
    }
    let deeds: &[(Rule, &str, Deed)] = &[
        (Rule::AdapterDescribed, "IoGetDmaAdapter: version 1", |_| _ = described(0, 1)),
        (Rule::AdapterDescribed, "IoGetDmaAdapter: version 3", |_| _ = described(1, 0x0000_0100)),
        (Rule::AdapterDescribed, "IoGetDmaAdapter: version 3", |_| _ = described(1, 0x0000_0001)),
        (Rule::AdapterDescribed, "IoGetDmaAdapter: version 3", |_| _ = described(5, 1)),
        (Rule::AdapterDescribed, "IoGetDmaAdapter: version 3", |_| _ = described(8, 0)),
        (Rule::AdapterDescribed, "version 3, 0 bits", |_| _ = described(10, 0)),
        (Rule::AdapterDescribed, "version 3, 65 bits", |_| _ = described(10, 65)),
        (Rule::AdapterLive, "is no adapter, or was put back", |_| {
            let adapter = adapter();
            adapter.put();
            adapter.put();
        }),
        (Rule::AdapterLive, "is no adapter, or was put back", |_| {
            let adapter = adapter();
            adapter.put();
            adapter.common(PAGE);
        }),
        (Rule::AdapterLive, "is no adapter, or was put back", |_| {
            let adapter = Adapter { this: block().cast(), ..adapter() };
            adapter.list(pages(PAGE), 0, PAGE, true);
        }),
        (Rule::AdapterEmpty, "is put back while its device has memory", |_| {
            let adapter = adapter();
            adapter.common(PAGE);
            adapter.put();
        }),
        (Rule::AdapterEmpty, "is put back while its device has memory", |_| {
            let adapter = adapter();
            adapter.list(pages(PAGE), 0, PAGE, true);
            adapter.put();
        }),
        // FreeAdapterChannel
        (Rule::AdapterFunction, "that is not played was called", |_| operation!(adapter(), 6())),
        (Rule::CommonBufferFreed, "are no common buffer of the device's", |_| {
            let adapter = adapter();
            let common = adapter.common(PAGE);
            adapter.free_common(PAGE, common);
            adapter.free_common(PAGE, common);
        }),
        (Rule::CommonBufferFreed, "FreeCommonBuffer: 8192 bytes at", |_| {
            let adapter = adapter();
            adapter.free_common(2 * PAGE, adapter.common(PAGE));
        }),
        (Rule::CommonBufferFreed, "are no common buffer of the device's", |_| {
            let adapter = adapter();
            let (bus, memory) = adapter.common(2 * PAGE);
            adapter.free_common(2 * PAGE, (bus + PAGE as u64, memory));
        }),
        (Rule::CommonBufferFreed, "are no common buffer of the device's", |_| {
            let adapter = adapter();
            let list = adapter.list(pages(PAGE), 0, PAGE, true);
            let (bus, len) = elements(list)[0];
            adapter.free_common(len, (bus, list.cast()));
        }),
        (Rule::ListPut, "is no list of this direction", |_| {
            let adapter = adapter();
            adapter.put_list(adapter.list(pages(PAGE), 0, PAGE, true), false);
        }),
        (Rule::ListPut, "is no list of this direction", |_| {
            let adapter = adapter();
            let list = adapter.list(pages(PAGE), 0, PAGE, true);
            adapter.put_list(list, true);
            adapter.put_list(list, true);
        }),
        (Rule::ListPut, "is no list of this direction", |_| {
            let adapter = adapter();
            let (_, memory) = adapter.common(PAGE);
            adapter.put_list(memory.cast(), true);
        }),
    ];
    for (i, (rule, want, deed)) in deeds.iter().enumerate() {
        skeleton::says(&verdict(*deed), Some(*rule), want, &format!("the deed {i}"));
    }
}

/// The device is sent to memory that it has not, or no more, or may only read: through map registers too.
#[test]
fn a_device_that_is_sent_elsewhere_is_found() {
    let deeds: &[(&str, Deed)] = &[
        ("a device wrote 4 bytes at bus address 0x1000, which are not mapped for it", |_| {
            writes(0x1000, 4, 1);
            free(block().cast());
        }),
        ("which are not mapped for it", |_| {
            let adapter = adapter();
            let common = adapter.common(PAGE);
            adapter.free_common(PAGE, common);
            reads(common.0, 1);
            adapter.put();
        }),
        ("a device read 4097 bytes", |_| {
            let adapter = adapter();
            let common = adapter.common(PAGE);
            reads(common.0, PAGE + 1);
            adapter.free_common(PAGE, common);
        }),
        ("which are not mapped for it", |scene| {
            let adapter = adapter();
            let list = adapter.list(scene.app, 0, LEN, false);
            let (bus, len) = *elements(list).last().expect("it is not empty");
            writes(bus, len + 1, 1);
            adapter.put_list(list, false);
        }),
        ("which are not mapped for it", |scene| {
            let adapter = adapter();
            let list = adapter.list(scene.app, 0, 1, true);
            let bus = elements(list)[0].0;
            adapter.put_list(list, true);
            reads(bus, 1);
            adapter.put();
        }),
        ("which it may only read", |scene| {
            let adapter = adapter();
            let list = adapter.list(scene.app, 0, 1, true);
            writes(elements(list)[0].0, 1, 1);
            adapter.put_list(list, true);
        }),
        // It does so when the driver is gone, and nobody calls the kernel any more.
        ("which are not mapped for it", |_| ORDER.set(Some(Transfer::Writes(0x1000, 1, 1)))),
    ];
    for map_registers in [None, Some(8)] {
        for (i, (want, deed)) in deeds.iter().enumerate() {
            let mut options = Options::default();
            options.map_registers = map_registers;
            let said = Stage::new(options).verdict(*deed);
            skeleton::says(&said, Some(Rule::DeviceMapped), want, &format!("the deed {i}"));
        }
    }
}

/// A request that is never completed, whoever cancels it, keeps a process from its end.
#[test]
fn a_process_that_cannot_end_is_found() {
    KEEPS.set(true);
    let direct = (CODE, Rule::ProcessUnlocked, "its pages are locked by a request that was never completed");
    let buffered = (CODE & !3, Rule::Cancelled, "a request of its is never completed");
    for (code, rule, want) in [direct, buffered] {
        let mut options = Options::default();
        options.patience = Some(Duration::from_millis(50));
        let mut stage = Stage::new(options);
        let memory = Buffer::output(stage.app());
        let said = skeleton::verdict(&stage.machine, || {
            let _driver = stage.machine.start_broken("planted", entry).expect("it starts");
            let process = stage.machine.process(Token::User);
            let handle = process.open(r"\\.\planted", access::READ, Mode::Overlapped).expect("it opens");
            let _pending = handle.start(code, Buffer::default(), memory).expect("it is sent");
            process.exit();
        });
        skeleton::says(&said, Some(rule), want, "a request that is kept");
    }
}
