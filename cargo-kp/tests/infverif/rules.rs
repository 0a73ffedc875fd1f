//! The list's codes, as far as they can meet an INF of ours: each with what finds it, and changes to a good INF that it must find.
use crate::checks::*;
use crate::parse::Inf;
use std::ops::RangeInclusive;

pub struct Rule {
    pub codes: &'static [u16],
    pub finds: fn(&Inf) -> Vec<String>,
    /// What is replaced in edu's INF, or in echo's if edu's lacks it, and by what.
    pub broken: &'static [(&'static str, &'static str)],
}

const fn rule(
    codes: &'static [u16],
    finds: fn(&Inf) -> Vec<String>,
    broken: &'static [(&'static str, &'static str)],
) -> Rule {
    Rule { codes, finds, broken }
}

pub const RULES: &[Rule] = &[
    rule(&[1001], signature, &[("$WINDOWS NT$", "$CHICAGO$"), ("[Version]", "[Versions]")]),
    rule(
        &[1002],
        |inf| inf.unread.clone(),
        &[("\"-18\"", "\"-18"), ("[Service]", "[Service"), ("; Generated", "x = 1 ;")],
    ),
    rule(&[1003], not_text, &[("Ada", "\u{c4}da")]),
    rule(&[1005, 1006], empty, &[("CopyFiles = Files", "CopyFiles ="), ("ServiceType = 1", "ServiceType =")]),
    rule(&[1008, 1273], disks, &[(".sys = 1", ".sys = 2"), (".sys = 1", ".sys = x"), ("1 = %Disk%", "0 = %Disk%")]),
    rule(&[1010], class_guid, &[("{1f131389-", "{1f13138-"), ("d0}", "d0"), ("1f131389", "1f13138x")]),
    rule(&[1011], models_named, &[("%Provider% = Models,NTamd64.10.0...17763", "%Provider% = ")]),
    rule(
        &[1013, 1014, 1251, 1252],
        service_keys,
        &[
            ("ErrorControl = 1\r\n", ""),
            ("StartType = 3", "StartType = 4"),
            ("StartType = 3", "StartType = soon"),
            ("ServiceType = 1", "ServiceType = 0x110"),
        ],
    ),
    rule(
        &[1017, 1293],
        service_named,
        &[("AddService = kp-", "AddService = "), ("AddService = kp-edu", "AddService = Toaster")],
    ),
    rule(
        &[1080, 1081, 1082, 1083, 1085, 1253, 1272],
        add_service,
        &[
            (",0x00000002,Service", ""),
            (",0x00000002,", ",associated,"),
            (",0x00000002,", ",0x10000000,"),
            ("AddService = kp-edu", "AddService = "),
        ],
    ),
    rule(
        &[1086, 1088, 1294],
        twice,
        &[
            (
                "%Description% = Install,PCI\\VEN_1234&DEV_11E8\r\n",
                "%Description% = Install,PCI\\VEN_1234&DEV_11E8\r\n%Description% = Install,PCI\\VEN_1234&DEV_11E8\r\n",
            ),
            ("StartType = 3", "StartType = 3\r\nStartType = 2"),
            ("HKR,,Icon,,\"-18\"", "HKR,,Icon,,\"-18\"\r\nHKR,,Icon,,\"-5\""),
        ],
    ),
    rule(
        &[1100, 1101, 1102, 1103, 1226],
        driver_store,
        &[
            (".sys = 1", ".sys = 1,x64"),
            ("DefaultDestDir = 13", "DefaultDestDir = 13,edu"),
            ("[Files]\r\nkp-edu.sys", "[Files]\r\nkp-edu.sys,edu.sys"),
            ("[Files]\r\nkp-edu.sys", "[Files]\r\nkp-edu.sys,,,0x10"),
            ("[ClassInstall32]", "[Files.Security]\r\n\"D:P(A;;GA;;;SY)\"\r\n[ClassInstall32]"),
            ("CopyFiles = Files", "CopyFiles = Files\r\nDelFiles = Files"),
        ],
    ),
    rule(&[1199], oldest, &[("17763", "15063")]),
    rule(
        &[1201],
        too_many,
        &[
            ("Class = KernelPlugin", "Class = KernelPlugin,x"),
            ("DriverVer = 01/02/2026,1.2.3.0", "DriverVer = 01/02/2026,1.2.3.0,x"),
            ("HKR,,Icon,,\"-18\"", "HKR,,Icon,,\"-18\",\"-19\""),
            (",0x00000002,Service", ",0x00000002,Service,,,,x"),
        ],
    ),
    rule(
        &[1203, 1261, 2006],
        missing_section,
        &[
            ("[Files]", "[File]"),
            ("[Service]", "[Services]"),
            ("[Device_AddReg]", "[DeviceAddReg]"),
            ("[Models.NTamd64.10.0...17763]", "[Models.NTamd64]"),
            ("[Install.NT]", "[Installs.NT]"),
        ],
    ),
    rule(
        &[1204],
        provider,
        &[("Provider = \"Ada Lovelace\"", "Provider = \"Microsoft\""), ("\"Ada Lovelace\"", "\"microsoft fans\"")],
    ),
    rule(&[1205, 1206], shared_section, &[("CopyFiles = Files", "CopyFiles = Files\r\nAddReg = Files")]),
    rule(&[1209], section_twice, &[("[Service]", "[Files]")]),
    rule(
        &[1211],
        associated,
        &[(",0x00000002,Service", ",0x00000002,Service\r\nAddService = kp-two,0x00000002,Service"), ("0x00000002", "")],
    ),
    rule(&[1212, 1420], both_kinds, &[("[ClassInstall32]", "[DefaultInstall.NTamd64]\r\n[ClassInstall32]")]),
    rule(
        &[1213, 1214, 1233],
        catalog,
        &[
            ("kp-edu.sys = 1", "kp-edu.sys = 1\r\nkp-edu.cat = 1"),
            ("CatalogFile = kp-edu.cat", "CatalogFile = kp-edu"),
            ("CatalogFile = kp-edu.cat\r\n", ""),
        ],
    ),
    rule(
        &[1217],
        version,
        &[("1.2.3.0", "1.2.3"), ("1.2.3.0", "1.2.3.70000"), ("1.2.3.0", "0.0.0.0"), ("1.2.3.0", "1.2.3.b")],
    ),
    rule(&[1218], date, &[("01/02/2026", "2026/01/02"), ("01/02/2026", "13/02/2026"), ("01/02/2026", "1/2/2026")]),
    rule(
        &[1222, 1223, 1224, 1304, 1320, 1321, 2660],
        roots,
        &[("HKR,,Icon", "HKLM,,Icon"), ("HKR,Parameters", "HKCR,Parameters"), ("HKR,,Icon", ",,Icon")],
    ),
    rule(
        &[1225, 1431],
        types,
        &[
            ("MSISupported,0x00010001", "MSISupported,0x00000000"),
            ("HKR,,Security,,", "HKR,,Security,0x00010001,"),
            ("RemappingSupported,0x00010001", "RemappingSupported,"),
        ],
    ),
    rule(
        &[1229, 1230, 1231],
        files,
        &[
            ("kp-edu.sys = 1", "edu.sys = 1"),
            ("[SourceDisksFiles]", "[SourceDisksFiles.arm64]"),
            ("[Files]\r\nkp-edu.sys", "[Files]\r\n"),
            ("kp-edu.sys\r\n", "kp-edu.sy_\r\n"),
        ],
    ),
    rule(
        &[1234, 1289],
        required,
        &[
            ("Class = KernelPlugin\r\n", ""),
            ("Provider = %Provider%\r\n", ""),
            ("DriverVer = 01/02/2026,1.2.3.0\r\n", ""),
            ("AddReg = Class_AddReg\r\n", ""),
            ("HKR,,,,%ClassName%\r\n", ""),
        ],
    ),
    rule(
        &[1235],
        undefined_tokens,
        &[("%ClassName%", "%Class%"), ("%13%", "%SystemRoot%"), ("ClassName = ", "Class = "), ("\"-18\"", "\"18 %\"")],
    ),
    rule(
        &[1241, 1242, 1243, 1275, 1306, 1322, 1340, 1341],
        destinations,
        &[
            ("DefaultDestDir = 13", "DefaultDestDir = 12"),
            ("DefaultDestDir = 13", "DefaultDestDir = 65536"),
            ("DefaultDestDir = 13", "Others = 13"),
            ("DefaultDestDir = 13", "DefaultDestDir = drivers"),
            ("DefaultDestDir = 13", "DefaultDestDir = 13\r\nFiles = 10,System32\\drivers"),
        ],
    ),
    rule(
        &[1254, 2084, 2085],
        binary,
        &[
            ("%13%\\kp-edu.sys", "%13%\\edu.sys"),
            ("%13%\\kp-edu.sys", "\\SystemRoot\\System32\\drivers\\kp-edu.sys"),
            ("%13%\\kp-edu.sys", "%12%\\kp-edu.sys"),
            ("%13%\\kp-edu.sys", "%13%\\my drivers\\kp-edu.sys"),
        ],
    ),
    rule(
        &[1257, 1258],
        paths_in_values,
        &[("\"-18\"", "\"%13%\\kp-edu.sys,-18\""), ("\"-18\"", "\"C:\\Windows\\edu.ico\"")],
    ),
    rule(
        &[1262, 1263, 1264, 1265, 1266, 1267, 1268, 1305],
        values,
        &[
            ("MSISupported,0x00010001,1", "MSISupported,0x00010001,yes"),
            ("MSISupported,0x00010001,1", "MSISupported,0x00010001,0x100000000"),
            ("MSISupported,0x00010001,1", "MSISupported,0x00010008,1"),
            ("MSISupported,0x00010001,1", "MSISupported,0x00000001,100"),
            ("MSISupported,0x00010001,1", "MSISupported,flags,1"),
        ],
    ),
    rule(&[1271], model_without_section, &[("Install,PCI", ",PCI")]),
    rule(&[1274], |inf| containing(inf, "$arch$"), &[("NTamd64", "NT$ARCH$")]),
    rule(&[1280, 1281], class_pair, &[("KernelPlugin", "KernelPlugins"), ("1f131389", "1f131388")]),
    rule(
        &[1284, 1285],
        foreign_class,
        &[("KernelPlugin", "Sample"), ("KernelPlugin", "System"), ("KernelPlugin", "usb")],
    ),
    rule(&[1286], class_length, &[("KernelPlugin", "KernelPluginKernelPluginKernelPl")]),
    rule(
        &[1287, 1288],
        decorations,
        &[
            ("NTamd64.10.0...17763", "NTamd64.10.0..17763"),
            ("NTamd64.10.0...17763", "NTamd64.10.0...10240"),
            ("NTamd64.10.0...17763", "amd64.10.0...17763"),
            ("NTamd64.10.0...17763", "NTx64.10.0...17763"),
        ],
    ),
    rule(
        &[1208, 1290, 1300, 1301, 1302, 1303, 1307, 1308, 1309, 1450, 2004, 2009],
        foreign_directives,
        &[
            ("CopyFiles = Files", "CopyFiles = Files\r\nDelReg = Device_AddReg"),
            ("CopyFiles = Files", "CopyFiles = Files\r\nRegisterDlls = Files"),
            ("PnpLockdown = 1", "PnpLockdown = 1\r\nLayoutFile = layout.inf"),
            ("AddService = kp-edu,", "DelService = kp-old\r\nAddService = kp-edu,"),
            ("ErrorControl = 1", "ErrorControl = 1\r\nLoadOrderGroup = Base"),
            ("[Install.NT.Services]", "[Install.NT.CoInstallers]\r\nAddReg = Device_AddReg\r\n[Install.NT.Services]"),
        ],
    ),
    rule(&[1296], without_service, &[("[Install.NT.Services]", "[Other.NT.Services]")]),
    rule(&[1297], without_devices, &[("%Description% = Install,PCI\\VEN_1234&DEV_11E8", "")]),
    rule(&[1323], outside_parameters, &[("HKR,Parameters,", "HKR,,"), ("HKR,Parameters,", "HKR,Enum,")]),
    rule(&[1324], lockdown, &[("PnpLockdown = 1\r\n", ""), ("PnpLockdown = 1", "PnpLockdown = 0")]),
    rule(
        &[1421, 1423, 2010],
        undecorated,
        &[
            ("[DefaultInstall.NTamd64]", "[DefaultInstall]"),
            ("[DefaultInstall.NTamd64.Services]", "[DefaultInstall.Services]"),
            ("[Models.NTamd64.10.0...17763]", "[Models]"),
        ],
    ),
    rule(&[1422], uninstall, &[("[Service]", "[DefaultUninstall.NTamd64]\r\n[Service]")]),
    rule(&[2083], unused, &[("[Service]", "[More]\r\n[Service]"), ("AddReg = Service_AddReg\r\n", "")]),
];

/// Codes that no INF of ours can meet, and why.
pub const NOT_OURS: &[(RangeInclusive<u16>, &str)] = &[
    (1000..=1000, "the file is named to InfVerif by hand"),
    (
        1015..=1016,
        "no file lies in a folder, and no path is written but the service's; what leads to 1016 are 1230 and 1273",
    ),
    (1019..=1019, "no GUID but the class's: the driver registers its interface itself"),
    (1020..=1020, "no filters"),
    (1021..=1022, "no names that are made unique at the installation"),
    (1078..=1078, "the page does not say which entries; those that we know are 1290's rule"),
    (1084..=1084, "no directive that wants another one"),
    (1087..=1087, "no filters"),
    (1110..=1110, "no CopyINF"),
    (1141..=1150, "no software components"),
    (1160..=1160, "no COM classes"),
    (1180..=1182, "no event channels"),
    (1202..=1202, "no Include"),
    (1207..=1207, "for Microsoft's own"),
    (1210..=1210, "the name that InfVerif's /provider asks for is given by hand"),
    (1220..=1220, "no Include"),
    (1245..=1245, "no feature score"),
    (1250..=1250, "no event log"),
    (1256..=1256, "no WMI interfaces"),
    (1260..=1260, "the page does not say which directives; those that we know are 1081's rule"),
    (1270..=1270, "no DeviceInstall32"),
    (1292..=1292, "no directive that is shown later than at the installation"),
    (1295..=1295, "one language"),
    (1299..=1299, "comes with another one only"),
    (1310..=1319, "no Needs"),
    (1325..=1325, "no COM classes"),
    (1326..=1328, "no data files"),
    (1329..=1329, "no filters"),
    (1330..=1333, "one section installs every device; a value that is set twice in it is 1086's rule"),
    (1380..=1384, "no extension INF"),
    (1400..=1402, "WDM: neither KMDF nor UMDF"),
    (1430..=1430, "the page does not say which values; ours are documented for drivers"),
    (2008..=2008, "no Include"),
    (2090..=2093, "shims: the page does not say for which patterns"),
    (2400..=2501, "no network component"),
    (2600..=2603, "no display driver"),
    (2650..=2652, "no Include"),
    (2661..=2663, "no audio device"),
];

/// Every code of the page, as of May 2024.
#[rustfmt::skip]
pub const CODES: &[u16] = &[
    1000, 1001, 1002, 1003, 1005, 1006, 1008, 1010, 1011, 1013, 1014, 1015, 1016, 1017, 1019, 1020, 1021, 1022, 1078, 1080,
    1081, 1082, 1083, 1084, 1085, 1086, 1087, 1088, 1100, 1101, 1102, 1103, 1110, 1141, 1142, 1144, 1150, 1160, 1180, 1181,
    1182, 1199, 1201, 1202, 1203, 1204, 1205, 1206, 1207, 1208, 1209, 1210, 1211, 1212, 1213, 1214, 1217, 1218, 1220, 1222,
    1223, 1224, 1225, 1226, 1229, 1230, 1231, 1233, 1234, 1235, 1241, 1242, 1243, 1245, 1250, 1251, 1252, 1253, 1254, 1256,
    1257, 1258, 1260, 1261, 1262, 1263, 1264, 1265, 1266, 1267, 1268, 1270, 1271, 1272, 1273, 1274, 1275, 1280, 1281, 1284,
    1285, 1286, 1287, 1288, 1289, 1290, 1292, 1293, 1294, 1295, 1296, 1297, 1299, 1300, 1301, 1302, 1303, 1304, 1305, 1306,
    1307, 1308, 1309, 1310, 1311, 1312, 1313, 1314, 1315, 1316, 1317, 1318, 1319, 1320, 1321, 1322, 1323, 1324, 1325, 1326,
    1328, 1329, 1330, 1331, 1332, 1333, 1340, 1341, 1380, 1381, 1382, 1383, 1384, 1400, 1401, 1402, 1420, 1421, 1422, 1423,
    1430, 1431, 1450, 2004, 2006, 2008, 2009, 2010, 2083, 2084, 2085, 2090, 2091, 2092, 2093, 2400, 2402, 2403, 2405, 2411,
    2412, 2413, 2414, 2415, 2416, 2417, 2418, 2419, 2420, 2500, 2501, 2600, 2601, 2602, 2603, 2650, 2651, 2652, 2660, 2661,
    2662, 2663,
];
