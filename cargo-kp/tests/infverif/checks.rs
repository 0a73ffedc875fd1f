//! What finds an INF that breaks a code of the list: each says what is wrong, or nothing.
use crate::parse::{Inf, Line, tokens};

/// System-Defined Device Setup Classes: available to vendors, and reserved for system use; "Sample" is that of Microsoft's samples.
#[rustfmt::skip]
const MICROSOFTS: &[&str] = &[
    "AudioProcessingObject", "Battery", "Biometric", "Bluetooth", "Camera", "CDROM", "DiskDrive", "Display", "Extension", "FDC",
    "FloppyDisk", "HDC", "HIDClass", "Dot4", "Dot4Print", "61883", "AVC", "SBP2", "1394", "Image", "Infrared", "Keyboard",
    "MediumChanger", "MTD", "Modem", "Monitor", "Mouse", "Multifunction", "Media", "MultiportSerial", "Net", "NetClient", "NetService",
    "NetTrans", "SecurityAccelerator", "PCMCIA", "Ports", "Printer", "PNPPrinters", "Processor", "SCSIAdapter", "Securitydevices",
    "Sensor", "SmartCardReader", "SoftwareComponent", "NvmeDisk", "Volume", "System", "TapeDrive", "USBDevice", "WCEUSBS", "WPD",
    "Adapter", "APMSupport", "Computer", "Decoder", "1394Debug", "Enum1394", "NoDriver", "LegacyDriver", "Unknown", "PrinterUpgrade",
    "PrintQueue", "SoftwareDevice", "AudioEndpoint", "Sound", "VolumeSnapshot", "USB", "Sample",
];

/// What stands where: each kind of section with its directives. None: its lines are entries, not directives.
#[rustfmt::skip]
const DIRECTIVES: &[(&str, Option<&[&str]>)] = &[
    ("version", Some(&["signature", "class", "classguid", "provider", "catalogfile", "driverver", "pnplockdown"])),
    ("destinationdirs", None), ("sourcedisksnames", None), ("sourcedisksfiles", None), ("manufacturer", None), ("strings", None),
    ("models.", None), ("files", None),
    ("classinstall32", Some(&["addreg"])),
    ("install.nt", Some(&["copyfiles"])), ("install.nt.hw", Some(&["addreg"])), ("install.nt.services", Some(&["addservice"])),
    ("defaultinstall.", Some(&["copyfiles", "addservice"])),
    ("service", Some(&["displayname", "servicetype", "starttype", "errorcontrol", "servicebinary", "addreg"])),
    ("class_addreg", None), ("device_addreg", None), ("service_addreg", None),
];

/// The registry's types, as flags of AddReg: FLG_ADDREG_TYPE_SZ, …_DWORD, and "create the key only".
const SZ: u32 = 0;
const DWORD: u32 = 0x0001_0001;
const KEY_ONLY: u32 = 0x10;

pub fn said(wrong: bool, what: impl ToString) -> Vec<String> {
    wrong.then(|| what.to_string()).into_iter().collect()
}

pub fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

/// A number as INFs write it: 10, or 0x10.
pub fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok(),
        None => text.parse().ok(),
    }
}

/// The sections that Manufacturer names, by their whole names, each with its decoration.
pub fn models(inf: &Inf) -> Vec<(String, String)> {
    let lines = inf.lines("Manufacturer").filter(|line| !line.at(0).is_empty());
    let named = lines.flat_map(|line| {
        let decorations = line.values.iter().skip(1);
        decorations.map(|decoration| (format!("{}.{decoration}", line.at(0)), decoration.clone())).collect::<Vec<_>>()
    });
    named.collect()
}

/// Each device's line.
pub fn devices(inf: &Inf) -> Vec<&Line> {
    let names = models(inf);
    inf.sections.iter().filter(|s| names.iter().any(|(name, _)| same(name, &s.name))).flat_map(|s| &s.lines).collect()
}

pub fn services(inf: &Inf) -> Vec<&Line> {
    inf.directives("AddService").map(|(_, line)| line).collect()
}

/// Sections with AddReg's lines, and whether the key that they are relative to is a service's.
pub fn registry(inf: &Inf) -> Vec<(bool, &Line)> {
    let mut found = Vec::new();
    for (section, directive) in inf.directives("AddReg") {
        let of_service = services(inf).iter().any(|service| same(service.at(2), &section.name));
        found.extend(directive.values.iter().flat_map(|name| inf.lines(name)).map(|line| (of_service, line)));
    }
    found
}

/// Names of files that CopyFiles copies.
pub fn copied(inf: &Inf) -> Vec<&Line> {
    inf.directives("CopyFiles").flat_map(|(_, line)| &line.values).flat_map(|name| inf.lines(name)).collect()
}

pub fn signature(inf: &Inf) -> Vec<String> {
    said(!same(inf.value("Version", "Signature"), "$Windows NT$"), "no signature")
}

pub fn not_text(inf: &Inf) -> Vec<String> {
    said(!inf.is_text, "neither ASCII nor UTF-16")
}

pub fn empty(inf: &Inf) -> Vec<String> {
    let lines = inf.sections.iter().flat_map(|section| &section.lines);
    lines.filter(|line| !line.key.is_empty() && line.values.iter().all(String::is_empty)).map(Line::to_string).collect()
}

pub fn disks(inf: &Inf) -> Vec<String> {
    let known: Vec<u32> =
        inf.lines("SourceDisksNames").filter_map(|line| number(&line.key)).filter(|id| *id > 0).collect();
    let bad = inf.lines("SourceDisksFiles").filter(|line| !number(line.at(0)).is_some_and(|id| known.contains(&id)));
    bad.map(Line::to_string).collect()
}

pub fn class_guid(inf: &Inf) -> Vec<String> {
    let guid = inf.value("Version", "ClassGuid");
    let inside = guid.strip_prefix('{').and_then(|guid| guid.strip_suffix('}')).unwrap_or_default();
    let groups: Vec<&str> = inside.split('-').collect();
    let is_hexadecimal = groups.iter().all(|group| group.chars().all(|letter| letter.is_ascii_hexdigit()));
    said(!is_hexadecimal || groups.iter().map(|group| group.len()).ne([8, 4, 4, 4, 12]), guid)
}

pub fn models_named(inf: &Inf) -> Vec<String> {
    inf.lines("Manufacturer").filter(|line| line.at(0).is_empty()).map(Line::to_string).collect()
}

pub fn service_keys(inf: &Inf) -> Vec<String> {
    let mut found = Vec::new();
    for service in services(inf).iter().map(|service| service.at(2)) {
        // A kernel driver, started on demand, whose failure is logged; "INF AddService Directive" says which must be there.
        for (key, right) in
            [("ServiceType", Some(1)), ("StartType", Some(3)), ("ErrorControl", Some(1)), ("ServiceBinary", None)]
        {
            let value = inf.value(service, key);
            let is_right = right.map_or(!value.is_empty(), |right| number(value) == Some(right));
            found.extend(said(!is_right, format!("[{service}] {key} = {value}")));
        }
    }
    found
}

/// Microsoft's samples' names, and those of its own services, do not begin with kp-.
pub fn service_named(inf: &Inf) -> Vec<String> {
    services(inf).iter().filter(|line| !line.at(0).starts_with("kp-")).map(|line| line.to_string()).collect()
}

pub fn add_service(inf: &Inf) -> Vec<String> {
    let is_right = |line: &Line| {
        let flags = if line.at(1).is_empty() { Some(0) } else { number(line.at(1)) };
        !line.at(0).is_empty() && matches!(flags, Some(0 | 2)) && !line.at(2).is_empty()
    };
    services(inf).into_iter().filter(|line| !is_right(line)).map(Line::to_string).collect()
}

pub fn twice(inf: &Inf) -> Vec<String> {
    let mut found = Vec::new();
    for section in &inf.sections {
        let is_models = models(inf).iter().any(|(name, _)| same(name, &section.name));
        let mut seen: Vec<String> = Vec::new();
        for line in &section.lines {
            let what = match line.key.as_str() {
                _ if is_models => line.values[1..].join(","),
                "AddService" => line.at(0).to_owned(),
                "" => line.values.iter().take(3).cloned().collect::<Vec<_>>().join(","),
                key => key.to_owned(),
            };
            let what = what.to_ascii_lowercase();
            found.extend(said(seen.contains(&what), format!("[{}] {line}", section.name)));
            seen.push(what);
        }
    }
    found
}

/// "Using DIRIDs" on 13: no DelFiles, no renaming, the same folder there as in the package.
pub fn driver_store(inf: &Inf) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(
        inf.lines("SourceDisksFiles")
            .chain(inf.lines("DestinationDirs"))
            .filter(|l| !l.at(1).is_empty())
            .map(Line::to_string),
    );
    found.extend(copied(inf).into_iter().filter(|line| line.values.len() > 1).map(Line::to_string));
    found.extend(
        inf.sections.iter().map(|s| &s.name).filter(|name| name.to_ascii_lowercase().ends_with(".security")).cloned(),
    );
    found.extend(
        ["DelFiles", "RenFiles"].into_iter().flat_map(|key| inf.directives(key)).map(|(_, line)| line.to_string()),
    );
    found
}

/// Services run from the Driver Store from Windows 10 1709 on: "Run from Driver Store".
pub fn oldest(inf: &Inf) -> Vec<String> {
    let old = models(inf).into_iter().filter(|(_, decoration)| build(decoration).is_none_or(|build| build < 16299));
    old.map(|(name, _)| name).collect()
}

/// `NTamd64.10.0...17763`: the build, if that is what it looks like.
pub fn build(decoration: &str) -> Option<u32> {
    let rest = ["NTamd64.", "NTARM64."].iter().find_map(|start| decoration.strip_prefix(start))?;
    rest.strip_prefix("10.0...")?.parse().ok()
}

pub fn too_many(inf: &Inf) -> Vec<String> {
    let mut found = Vec::new();
    let mut at_most = |most: usize, line: &Line| found.extend(said(line.values.len() > most, line));
    for line in inf.lines("Version") {
        at_most(if same(&line.key, "DriverVer") { 2 } else { 1 }, line);
    }
    services(inf).into_iter().for_each(|line| at_most(6, line));
    registry(inf).into_iter().for_each(|(_, line)| at_most(5, line));
    devices(inf).into_iter().for_each(|line| at_most(2, line));
    found
}

/// Each section that a directive names, with the directive's name.
pub fn references(inf: &Inf) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> =
        models(inf).into_iter().map(|(name, _)| ("Manufacturer".to_owned(), name)).collect();
    for line in inf.sections.iter().flat_map(|section| &section.lines) {
        let key = line.key.to_ascii_lowercase();
        match key.as_str() {
            "copyfiles" | "addreg" | "delreg" | "delfiles" | "renfiles" | "registerdlls" => {
                found.extend(line.values.iter().map(|value| (key.clone(), value.clone())));
            }
            "addservice" => found.push((key, line.at(2).to_owned())),
            _ => {}
        }
    }
    found.extend(devices(inf).iter().map(|line| ("Models".to_owned(), format!("{}.NT", line.at(0)))));
    found
}

pub fn missing_section(inf: &Inf) -> Vec<String> {
    let missing = references(inf).into_iter().filter(|(_, section)| !inf.has(section));
    missing.map(|(by, section)| format!("[{section}], which {by} names")).collect()
}

pub fn provider(inf: &Inf) -> Vec<String> {
    let provider = inf.shown(inf.value("Version", "Provider"));
    said(provider.is_empty() || provider.to_ascii_lowercase().starts_with("microsoft"), provider)
}

pub fn shared_section(inf: &Inf) -> Vec<String> {
    let all = references(inf);
    let others =
        |(by, section): &&(String, String)| all.iter().any(|(other, there)| same(there, section) && other != by);
    all.iter().filter(others).map(|(by, section)| format!("[{section}], which not only {by} names")).collect()
}

pub fn section_twice(inf: &Inf) -> Vec<String> {
    let times = |name: &str| inf.sections.iter().filter(|section| same(&section.name, name)).count();
    inf.sections.iter().filter(|section| times(&section.name) > 1).map(|section| section.name.clone()).collect()
}

/// A device has one function driver; a primitive driver's service belongs to none.
pub fn associated(inf: &Inf) -> Vec<String> {
    let associated = services(inf).iter().filter(|line| number(line.at(1)).is_some_and(|flags| flags & 2 != 0)).count();
    let wanted = usize::from(inf.has("Manufacturer"));
    said(associated != wanted, format!("{associated} associated services"))
}

pub fn both_kinds(inf: &Inf) -> Vec<String> {
    let is_primitive =
        inf.sections.iter().any(|section| section.name.to_ascii_lowercase().starts_with("defaultinstall"));
    said(is_primitive == inf.has("Manufacturer"), "both kinds of INF, or none")
}

pub fn catalog(inf: &Inf) -> Vec<String> {
    let name = inf.value("Version", "CatalogFile");
    let listed = inf.lines("SourceDisksFiles").any(|line| line.key.ends_with(".cat"));
    said(listed || name.strip_suffix(".cat").is_none_or(str::is_empty), name)
}

pub fn driver_ver(inf: &Inf) -> Line {
    let found = inf.directives("DriverVer").next();
    found.map_or(Line { key: String::new(), values: vec![] }, |(_, line)| line.clone())
}

pub fn version(inf: &Inf) -> Vec<String> {
    let text = driver_ver(inf).at(1).to_owned();
    let parts: Option<Vec<u32>> =
        text.split('.').map(|part| part.parse().ok().filter(|number| *number < 65535)).collect();
    said(parts.is_none_or(|parts| parts.len() != 4 || parts == [0; 4]), text)
}

pub fn date(inf: &Inf) -> Vec<String> {
    let text = driver_ver(inf).at(0).to_owned();
    let is_date = |text: &str| {
        let [month, day, year] = text.split('/').collect::<Vec<_>>().try_into().ok()?;
        let number = |part: &str, len| (part.len() == len).then(|| part.parse::<u32>().ok()).flatten();
        Some((1..=12).contains(&number(month, 2)?) && (1..=31).contains(&number(day, 2)?) && number(year, 4)? > 0)
    };
    said(!is_date(&text).unwrap_or(false), text)
}

pub fn roots(inf: &Inf) -> Vec<String> {
    registry(inf).iter().filter(|(_, line)| line.at(0) != "HKR").map(|(_, line)| line.to_string()).collect()
}

pub fn types(inf: &Inf) -> Vec<String> {
    let of_its_type = |line: &Line| {
        let wanted = match line.at(2) {
            "" | "Icon" | "Security" => SZ,
            _ => DWORD,
        };
        let flags = flags(line);
        flags == Some(wanted) || (flags == Some(KEY_ONLY) && line.at(2).is_empty())
    };
    registry(inf).iter().filter(|(_, line)| !of_its_type(line)).map(|(_, line)| line.to_string()).collect()
}

pub fn flags(line: &Line) -> Option<u32> {
    if line.at(3).is_empty() { Some(SZ) } else { number(line.at(3)) }
}

pub fn files(inf: &Inf) -> Vec<String> {
    let copied = copied(inf);
    let listed = |name: &str| inf.lines("SourceDisksFiles").any(|line| same(&line.key, name));
    let bad = copied.iter().filter(|line| line.at(0).is_empty() || line.at(0).ends_with('_') || !listed(line.at(0)));
    bad.map(|line| line.to_string()).chain(said(copied.is_empty(), "no file is copied")).collect()
}

pub fn required(inf: &Inf) -> Vec<String> {
    let directives = ["Signature", "Class", "ClassGuid", "Provider", "DriverVer"];
    let missing = directives.into_iter().filter(|key| inf.value("Version", key).is_empty());
    let mut found: Vec<String> = missing.map(|key| format!("[Version] {key}")).collect();
    if inf.has("Manufacturer") {
        // "INF ClassInstall32 Section": at least the class's own name.
        let section = inf.value("ClassInstall32", "AddReg");
        let named =
            inf.lines(section).any(|line| line.values.iter().take(4).eq(["HKR", "", "", ""]) && !line.at(4).is_empty());
        found.extend(said(!named, "[ClassInstall32] has no class name"));
    }
    found
}

pub fn undefined_tokens(inf: &Inf) -> Vec<String> {
    let sections = inf.sections.iter().filter(|section| !same(&section.name, "Strings"));
    let values = sections.flat_map(|section| &section.lines).flat_map(|line| line.values.iter().chain([&line.key]));
    let used = values.flat_map(|value| tokens(value)).filter_map(|(token, _)| token);
    // A number is a folder's.
    let missing = used.filter(|token| number(token).is_none() && inf.value("Strings", token).is_empty());
    missing.map(|token| format!("%{token}%")).collect()
}

pub fn destinations(inf: &Inf) -> Vec<String> {
    let bad = inf.lines("DestinationDirs").filter(|line| line.at(0) != "13").map(Line::to_string);
    bad.chain(said(inf.value("DestinationDirs", "DefaultDestDir").is_empty(), "[Files] has no destination")).collect()
}

pub fn binary(inf: &Inf) -> Vec<String> {
    let mut found = Vec::new();
    for (_, line) in inf.directives("ServiceBinary") {
        let name = line.at(0).strip_prefix("%13%\\").unwrap_or_default();
        found.extend(said(!copied(inf).iter().any(|file| same(file.at(0), name)), line));
    }
    found
}

pub fn paths_in_values(inf: &Inf) -> Vec<String> {
    let is_path = |value: &str| {
        let folder = tokens(value).iter().any(|(token, _)| token.is_some_and(|token| number(token).is_some()));
        folder || value.to_ascii_lowercase().contains("windows\\")
    };
    registry(inf).iter().filter(|(_, line)| is_path(line.at(4))).map(|(_, line)| line.to_string()).collect()
}

pub fn values(inf: &Inf) -> Vec<String> {
    let is_right = |line: &Line| match flags(line) {
        Some(SZ) => true,
        Some(DWORD) => number(line.at(4)).is_some(),
        Some(KEY_ONLY) => line.at(4).is_empty(),
        _ => false,
    };
    registry(inf).iter().filter(|(_, line)| !is_right(line)).map(|(_, line)| line.to_string()).collect()
}

pub fn model_without_section(inf: &Inf) -> Vec<String> {
    devices(inf).into_iter().filter(|line| line.at(0).is_empty()).map(Line::to_string).collect()
}

pub fn containing(inf: &Inf, what: &str) -> Vec<String> {
    let names = inf.sections.iter().map(|section| section.name.clone());
    names.filter(|name| name.to_ascii_lowercase().contains(what)).collect()
}

/// The pair that docs/windows.md names.
pub fn class_pair(inf: &Inf) -> Vec<String> {
    let (class, guid) = (inf.value("Version", "Class"), inf.value("Version", "ClassGuid"));
    said((class, guid) != ("KernelPlugin", "{1f131389-5e1f-4002-8ba3-7b8c2bf281d0}"), format!("{class} {guid}"))
}

pub fn foreign_class(inf: &Inf) -> Vec<String> {
    let class = inf.value("Version", "Class");
    said(MICROSOFTS.iter().any(|name| same(name, class)), class)
}

pub fn class_length(inf: &Inf) -> Vec<String> {
    let class = inf.value("Version", "Class");
    said(class.len() > 31, class)
}

pub fn decorations(inf: &Inf) -> Vec<String> {
    let all = models(inf).into_iter().map(|(_, decoration)| decoration);
    all.filter(|decoration| build(decoration).is_none_or(|build| build < 14310)).collect()
}

pub fn foreign_directives(inf: &Inf) -> Vec<String> {
    let mut found = Vec::new();
    for section in &inf.sections {
        let name = section.name.to_ascii_lowercase();
        let fits = |known: &str| name == known || (known.ends_with('.') && name.starts_with(known));
        match DIRECTIVES.iter().find(|(known, _)| fits(known)) {
            None => found.push(format!("[{}]", section.name)),
            Some((_, None)) => {}
            Some((_, Some(directives))) => {
                let bad =
                    section.lines.iter().filter(|line| !directives.contains(&line.key.to_ascii_lowercase().as_str()));
                found.extend(bad.map(|line| format!("[{}] {line}", section.name)));
            }
        }
    }
    found
}

pub fn without_service(inf: &Inf) -> Vec<String> {
    let lacks = |line: &&Line| !inf.has(&format!("{}.NT.Services", line.at(0)));
    devices(inf).into_iter().filter(lacks).map(Line::to_string).collect()
}

pub fn without_devices(inf: &Inf) -> Vec<String> {
    let ids = devices(inf).iter().filter(|line| line.at(1).starts_with("PCI\\")).count();
    said(inf.has("Manufacturer") && ids == 0, "it installs on no device")
}

pub fn outside_parameters(inf: &Inf) -> Vec<String> {
    let bad = registry(inf).into_iter().filter(|(of_service, line)| *of_service && !same(line.at(1), "Parameters"));
    bad.map(|(_, line)| line.to_string()).collect()
}

pub fn lockdown(inf: &Inf) -> Vec<String> {
    let value = inf.value("Version", "PnpLockdown");
    said(value != "1", format!("PnpLockdown = {value}"))
}

pub fn undecorated(inf: &Inf) -> Vec<String> {
    let starts = ["defaultinstall", "defaultuninstall", "models"];
    let is_bad = |name: &str| {
        let name = name.to_ascii_lowercase();
        let rest = starts.iter().find_map(|start| name.strip_prefix(start));
        rest.is_some_and(|rest| !rest.starts_with(".ntamd64") && !rest.starts_with(".ntarm64"))
    };
    inf.sections.iter().filter(|section| is_bad(&section.name)).map(|section| section.name.clone()).collect()
}

pub fn uninstall(inf: &Inf) -> Vec<String> {
    let sections = inf.sections.iter().map(|section| section.name.as_str());
    let sections = sections
        .filter(|name| name.to_ascii_lowercase().starts_with("defaultuninstall") && !name.ends_with(".Services"));
    sections.filter(|name| inf.value(name, "LegacyUninstall") != "1").map(str::to_owned).collect()
}

pub fn unused(inf: &Inf) -> Vec<String> {
    let own = [
        "version",
        "destinationdirs",
        "sourcedisksnames",
        "sourcedisksfiles",
        "strings",
        "manufacturer",
        "classinstall32",
    ];
    let installed: Vec<String> = devices(inf).iter().map(|line| line.at(0).to_ascii_lowercase()).collect();
    let is_used = |name: &str| {
        let name = name.to_ascii_lowercase();
        own.contains(&name.as_str())
            || name.starts_with("defaultinstall.")
            || references(inf).iter().any(|(_, section)| same(section, &name))
            || installed
                .iter()
                .any(|base| [".nt", ".nt.hw", ".nt.services"].iter().any(|end| name == format!("{base}{end}")))
    };
    inf.sections.iter().filter(|section| !is_used(&section.name)).map(|section| section.name.clone()).collect()
}
