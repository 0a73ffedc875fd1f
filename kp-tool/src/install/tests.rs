//! An installation is whole or not there, whatever fails.

use super::*;
use crate::fake::Fake;
use crate::loaded::self_check;
use crate::made_up::made_up;
use std::fs;

const EDU: &str = "pci:v00001234d000011E8sv00001AF4sd00001100bc00scFFi00";
const ALIAS: &str = "alias=pci:v00001234d000011E8sv*sd*bc*sc*i*";
const MAGIC: &str = "vermagic=6.12.9-amd64 SMP preempt";
const ADDRESS: &str = "0000:00:04.0";

/// A module with a device.
fn card() -> Vec<u8> {
    made_up(&["kp=card", "name=kp_card", "version=0.1.0", ALIAS, MAGIC])
}

/// One without.
fn soft() -> Vec<u8> {
    made_up(&["kp=card", "version=0.1.0", MAGIC])
}

fn plan(machine: &dyn Machine, content: Vec<u8>, wanted: &Wanted) -> Result<Plan, Message> {
    Plan::new(machine, "out/kp-card.ko".as_ref(), content, wanted)
}

fn install(machine: &dyn Machine, content: Vec<u8>, wanted: &Wanted) -> Result<Receipt, Message> {
    plan(machine, content, wanted)?.carry_out(machine, &mut |_| {})
}

fn removed(machine: &dyn Machine) -> Result<(), Message> {
    uninstall(machine, "card", &mut |_| {})
}

fn kp() -> Wanted {
    Wanted { group: Some("kp".into()), no_load: false }
}

/// A machine with an edu device and udev.
fn machine() -> Fake {
    let fake = Fake::new();
    fake.device(ADDRESS, EDU, None);
    fake.file(DAEMON, "");
    fake
}

#[test]
fn a_plugin_with_a_device_is_installed_loaded_and_removed_and_nothing_is_left() {
    let fake = machine();
    let before = fake.tree();
    let receipt = install(&fake, card(), &kp()).unwrap();
    assert!(receipt.finished);
    assert_eq!(fs::read(fake.at("/lib/modules/6.12.9-amd64/updates/kp-card.ko")).unwrap(), card());
    let rules = fake.text("/etc/udev/rules.d/70-kp-card.rules").unwrap();
    assert!(rules.ends_with("SUBSYSTEM==\"kp-card\", GROUP=\"kp\", MODE=\"0660\""), "{rules}");
    let ran = [
        "groupadd --system kp",
        "udevadm control --reload",
        "depmod 6.12.9-amd64",
        "modprobe kp-card",
        "udevadm settle",
    ];
    assert_eq!(*fake.ran.borrow(), ran);
    assert_eq!(self_check(&fake, "card", &card_aliases()), Ok(()));
    removed(&fake).unwrap();
    assert_eq!(fake.tree(), before);
    assert!(loaded::version(&fake, "kp_card").is_none());
    let ran = fake.ran.borrow()[5..].join("; ");
    assert_eq!(ran, "modprobe -r kp-card; groupdel kp; depmod 6.12.9-amd64; udevadm control --reload");
}

fn card_aliases() -> Vec<String> {
    vec![ALIAS["alias=".len()..].to_owned()]
}

#[test]
fn a_plugin_without_a_device_has_no_rules_and_is_loaded_at_the_next_start() {
    let fake = machine();
    install(&fake, soft(), &Wanted::default()).unwrap();
    let list = fake.text("/etc/modules-load.d/kp-card.conf").unwrap();
    assert_eq!(list.lines().last(), Some("kp-card"));
    assert!(!fake.has("/etc/udev"));
    assert_eq!(*fake.ran.borrow(), ["depmod 6.12.9-amd64", "modprobe kp-card"]);
}

/// Everything that can fail once does, and each time the machine is as it was.
#[test]
fn each_operation_of_an_installation_fails_once_and_what_was_done_is_undone() {
    for (content, wanted) in [(card(), kp()), (soft(), Wanted::default())] {
        let fake = machine();
        let before = fake.tree();
        let mut failed = 0;
        loop {
            let plan = plan(&fake, content.clone(), &wanted).unwrap();
            fake.fail_from(failed, 1);
            let Err(why) = plan.carry_out(&fake, &mut |_| {}) else { break };
            assert!(matches!(why, Message::Undone { .. }), "{failed}: {why}");
            assert!(why.to_string().ends_with("made to fail; what was done before it is undone"), "{why}");
            assert_eq!(fake.tree(), before, "operation {failed}: {why}");
            assert!(loaded::version(&fake, "kp_card").is_none(), "operation {failed} leaves it loaded");
            failed += 1;
        }
        assert!(failed > 10, "only {failed} operations");
    }
}

/// From each operation on nothing works any more, as after a kill. Then `uninstall` finishes.
#[test]
fn what_a_killed_installation_has_left_is_removed_by_uninstall() {
    let fake = machine();
    let before = fake.tree();
    let (mut at, mut finished) = (0, 0);
    loop {
        let plan = plan(&fake, card(), &kp()).unwrap();
        fake.fail_from(at, usize::MAX);
        let installed = plan.carry_out(&fake, &mut |_| {});
        fake.fail_from(usize::MAX, 0);
        let Err(why) = installed else { break };
        match Receipt::read(&fake, "card").unwrap() {
            // Before there is a receipt, at most empty folders are left.
            None => {
                let left: Vec<_> = fake.tree().into_iter().filter(|(path, _)| !before.contains_key(path)).collect();
                let unfinished = |path: &Path| path.to_string_lossy().ends_with(".kp-unfinished");
                assert!(left.iter().all(|(path, content)| content.is_none() || unfinished(path)), "{left:?}");
                for (path, content) in left.iter().rev() {
                    let path = fake.root().join(path);
                    if content.is_some() { fs::remove_file(path).unwrap() } else { fs::remove_dir(path).unwrap() }
                }
            }
            Some(receipt) => {
                assert!(!receipt.finished);
                assert!(matches!(why, Message::NotUndone { .. }), "{why}");
                let again = super::tests::plan(&fake, card(), &kp()).expect_err("it is not finished");
                assert_eq!(again, Message::Unfinished { name: "card".into() });
                removed(&fake).unwrap();
                finished += 1;
            }
        }
        assert_eq!(fake.tree(), before, "killed at operation {at}");
        at += 1;
    }
    assert!(finished > 10, "only {finished} had a receipt");
}

#[test]
fn each_operation_of_a_removal_fails_once_and_the_next_one_goes_on_there() {
    let fake = machine();
    let before = fake.tree();
    for at in 0.. {
        install(&fake, card(), &kp()).unwrap();
        fake.fail_from(at, 1);
        let first = removed(&fake);
        fake.fail_from(usize::MAX, 0);
        let Err(why) = first else { return assert!(at > 8, "only {at} operations") };
        assert!(matches!(why, Message::NotRemoved { .. }), "{at}: {why}");
        if Receipt::read(&fake, "card").unwrap().is_some() {
            removed(&fake).unwrap();
        } else {
            // Only the folders that held the receipt can be left then.
            for folder in ["/var/lib/kp", "/var/lib", "/var"] {
                let _ = fs::remove_dir(fake.at(folder));
            }
        }
        assert_eq!(fake.tree(), before, "operation {at}: {why}");
    }
}

#[test]
fn a_program_that_fails_says_why_and_what_was_done_is_undone() {
    let fake = machine();
    let before = fake.tree();
    let said = "modprobe: ERROR: could not insert 'kp_card': Exec format error\n";
    fake.fails.borrow_mut().push(("modprobe kp-card".into(), said.into()));
    let why = install(&fake, card(), &kp()).expect_err("modprobe fails");
    assert_eq!(
        why.to_string(),
        "cannot run modprobe kp-card: modprobe: ERROR: could not insert 'kp_card': Exec format error; what was done before it is undone"
    );
    assert_eq!(fake.tree(), before);
    fake.fails.borrow_mut()[0].1 = "modprobe: ERROR: could not insert 'kp_card': Key was rejected by service".into();
    let why = install(&fake, card(), &kp()).expect_err("modprobe fails");
    assert_eq!(why.exit() as u8, 5, "{why}");
    assert_eq!(fake.tree(), before);
}

#[test]
fn a_file_that_is_there_is_refused_and_stays() {
    for path in ["/lib/modules/6.12.9-amd64/updates/kp-card.ko", "/etc/udev/rules.d/70-kp-card.rules"] {
        let fake = machine();
        fake.file(path, "somebody's");
        let before = fake.tree();
        let why = install(&fake, card(), &kp()).expect_err(path);
        assert_eq!((why.exit() as u8, why), (6, Message::NotOurs { path: path.into() }));
        assert_eq!(fake.tree(), before);
    }
}

#[test]
fn a_plugin_that_a_package_has_installed_is_refused_with_how_the_package_is_removed() {
    let mut fake = machine();
    let refused = |fake: &Fake| {
        let (before, ran) = (fake.tree(), fake.ran.borrow().len());
        let why = install(fake, card(), &kp()).expect_err("it is refused");
        assert_eq!((fake.tree(), fake.ran.borrow().len()), (before, ran), "{why}");
        (why.exit() as u8, why.to_string())
    };
    let conf = "/usr/src/kp-card-0.1.0/dkms.conf";
    fake.file(conf, "PACKAGE_NAME=\"kp-card\"\nBUILT_MODULE_NAME[0]=\"kp-card\"\n");
    fake.file("/usr/src/kp-card-b-0.1.0/dkms.conf", "BUILT_MODULE_NAME[0]=\"kp-card-b\"\n");
    fake.owners.insert("/usr/src/kp-card-b-0.1.0/dkms.conf".into(), "kp-card-b-dkms".into());
    let built = "/lib/modules/6.12.9-amd64/updates/dkms/kp-card.ko.xz";
    fake.file(built, "");
    let of_dkms = format!("{built} is of DKMS: `sudo dkms remove kp-card/0.1.0 --all` first; nothing was changed");
    assert_eq!(refused(&fake), (6, of_dkms), "by hand");
    fake.owners.insert(conf.into(), "kp-card-dkms".into());
    let way_out = "is of the package kp-card-dkms: `sudo apt purge kp-card-dkms` first; nothing was changed";
    assert_eq!(refused(&fake), (6, format!("{built} {way_out}")));
    fs::remove_file(fake.at(built)).unwrap();
    assert_eq!(refused(&fake), (6, format!("{conf} {way_out}")), "not built for this kernel yet");

    let mut fake = machine();
    let module = "/lib/modules/6.12.9-amd64/updates/kp-card.ko";
    fake.file(module, card());
    // As on a machine whose /lib is a link.
    let package = "kp-card-modules-6.12.9-amd64";
    fake.owners.insert(format!("/usr{module}"), package.into());
    let text = format!("{module} is of the package {package}: `sudo apt purge {package}` first; nothing was changed");
    assert_eq!(refused(&fake), (6, text));
    fs::rename(fake.at(module), fake.at("/lib/modules/6.12.9-amd64/kp-card.ko")).unwrap();
    fake.file("/lib/modules/6.12.9-amd64/extra/kp-card.ko.xz", "");
    let why = install(&fake, card(), &kp()).expect_err("it is there twice then");
    assert_eq!(why, Message::NotOurs { path: "/lib/modules/6.12.9-amd64/extra/kp-card.ko.xz".into() });
}

#[test]
fn a_device_that_the_plugin_took_is_given_back_when_it_is_removed() {
    let fake = Fake::new();
    fake.device(ADDRESS, EDU, Some("serial"));
    install(&fake, card(), &Wanted::default()).unwrap();
    loaded::load(&fake, "card", Some(ADDRESS), &mut |_| {}).unwrap();
    let steps = removal(&fake, "card").unwrap();
    assert_eq!(
        steps[..3],
        [
            "run modprobe -r kp-card",
            "clear /sys/bus/pci/devices/0000:00:04.0/driver_override",
            "write 0000:00:04.0 to /sys/bus/pci/drivers_probe"
        ]
    );
    // Clearing fails, then the probe; each time the next one goes on there.
    for at in [1, 1] {
        fake.fail_from(at, 1);
        assert!(matches!(removed(&fake), Err(Message::NotRemoved { .. })), "operation {at}");
        fake.fail_from(usize::MAX, 0);
    }
    let mut told = Vec::new();
    uninstall(&fake, "card", &mut |line| told.push(line.to_owned())).unwrap();
    assert_eq!(told, ["0000:00:04.0 is given back: `serial` has it"]);
    assert!(!fake.has("/var/lib/kp"));
}

#[test]
fn a_file_that_was_changed_since_stays_and_is_told() {
    let fake = machine();
    install(&fake, card(), &kp()).unwrap();
    let rules = "/etc/udev/rules.d/70-kp-card.rules";
    fake.file(rules, "mine");
    let mut told = Vec::new();
    uninstall(&fake, "card", &mut |line| told.push(line.to_owned())).unwrap();
    assert_eq!(told, [format!("{rules} was changed since it was installed: it stays")]);
    assert_eq!(fake.text(rules).as_deref(), Some("mine"));
    assert!(!fake.has("/var/lib/kp") && !fake.has("/lib/modules/6.12.9-amd64/updates"));
}

#[test]
fn a_group_stays_while_somebody_is_in_it_or_another_plugin_names_it() {
    let fake = machine();
    install(&fake, card(), &kp()).unwrap();
    fake.file("/etc/group", "root:x:0:\nkp:x:999:ada\n");
    let stays = |fake: &Fake| {
        let mut told = Vec::new();
        uninstall(fake, "card", &mut |line| told.push(line.to_owned())).unwrap();
        told.join("\n")
    };
    assert_eq!(stays(&fake), "the group kp stays: ada is in it");
    assert_eq!(fake.text("/etc/group").as_deref(), Some("root:x:0:\nkp:x:999:ada"));

    let fake = machine();
    install(&fake, card(), &kp()).unwrap();
    let other = Plan::new(&fake, "kp-other.ko".as_ref(), soft(), &kp()).unwrap();
    assert!(!other.steps.contains(&Step::Group("kp".into())), "it is there");
    other.carry_out(&fake, &mut |_| {}).unwrap();
    assert_eq!(stays(&fake), "the group kp stays: other's rules name it");
    assert!(fake.text("/etc/group").unwrap().contains("kp:x:999:"));
}

#[test]
fn a_group_that_the_machine_knows_from_elsewhere_is_not_made_and_not_removed() {
    let mut fake = machine();
    fake.directory.push("lab:*:20001:".into());
    let wanted = Wanted { group: Some("lab".into()), no_load: false };
    install(&fake, card(), &wanted).unwrap();
    removed(&fake).unwrap();
    let ran = fake.ran.borrow().join("; ");
    assert!(!ran.contains("group"), "{ran}");
}

/// What is refused before anything is touched: the sentence, and the exit code.
#[test]
fn what_does_not_fit_is_refused_with_what_to_do_and_nothing_changes() {
    let refused = |fake: &Fake, content: Vec<u8>, wanted: &Wanted| {
        let before = fake.tree();
        let why = plan(fake, content, wanted).expect_err("it is refused");
        assert_eq!((fake.tree(), fake.operations.get()), (before, 0), "{why}");
        (why.exit() as u8, why.to_string())
    };
    let fake = machine();
    let other = made_up(&["kp=card", "vermagic=6.1.0-9-amd64 SMP"]);
    let (exit, why) = refused(&fake, other.clone(), &kp());
    assert_eq!(exit, 7);
    assert_eq!(
        why,
        "out/kp-card.ko is built for 6.1.0-9-amd64, this is 6.12.9-amd64: build with `--target 6.12.9-amd64`, or install the dkms package; \
         nothing was changed"
    );
    fake.file("/lib/modules/6.1.0-9-amd64/modules.dep", "");
    let later = Wanted { no_load: true, ..kp() };
    assert!(plan(&fake, other, &later).is_ok(), "for a kernel that is installed and does not run yet");

    let (exit, why) = refused(&fake, made_up(&["version=1", MAGIC]), &kp());
    assert_eq!(
        (exit, &*why),
        (2, "out/kp-card.ko is no plugin's module, or was built by an older kp: build it with this `cargo kp build`")
    );
    let bad = Wanted { group: Some("My Group".into()), no_load: false };
    let (exit, why) = refused(&fake, card(), &bad);
    assert_eq!((exit, &*why), (2, "`My Group` is no name for a group: write it in small letters, as in `--group kp`"));

    let mut user = machine();
    user.root = false;
    let (exit, why) = refused(&user, card(), &kp());
    assert_eq!(
        (exit, &*why),
        (5, "installing needs root: `sudo kp install out/kp-card.ko --group kp`; nothing was changed")
    );

    let mut lacks = machine();
    lacks.lacks.push("modprobe");
    let (exit, why) = refused(&lacks, card(), &kp());
    assert_eq!((exit, &*why), (3, "missing program: modprobe: `apt-get install kmod`; nothing was changed"));

    let enforced = machine();
    enforced.file("/sys/module/module/parameters/sig_enforce", "Y\n");
    let (exit, why) = refused(&enforced, card(), &kp());
    assert!(
        exit == 5 && why.starts_with("module.sig_enforce is set and out/kp-card.ko is not signed: `cargo kp sign"),
        "{why}"
    );

    let twice = machine();
    install(&twice, card(), &kp()).unwrap();
    twice.operations.set(0);
    let (exit, why) = refused(&twice, card(), &kp());
    assert_eq!((exit, &*why), (6, "card 0.1.0 is installed: `kp uninstall card` first; nothing was changed"));

    let by_hand = machine();
    by_hand.load("kp-card");
    by_hand.file("/sys/module/kp_card/version", "0.0.9\n");
    let (exit, why) = refused(&by_hand, card(), &kp());
    assert_eq!((exit, &*why), (6, "kp_card 0.0.9 is loaded already: `kp unload card` first; nothing was changed"));
}

#[test]
fn a_file_that_was_renamed_is_refused_with_the_name_that_the_kernel_has_for_it() {
    let fake = machine();
    let before = fake.tree();
    let renamed = made_up(&["kp=card", "name=kp_edu_2", "version=0.1.0", ALIAS, MAGIC]);
    let why = plan(&fake, renamed, &kp()).expect_err("it is another module");
    let text = "out/kp-card.ko was renamed, as the kernel calls this module kp_edu_2: rename it to kp-edu-2.ko; nothing was changed";
    assert_eq!((why.exit() as u8, &*why.to_string()), (2, text));
    assert_eq!(fake.tree(), before);
    let own = made_up(&["kp=card", "name=kp_my_card", "version=0.1.0", ALIAS, MAGIC]);
    for file in ["kp-my-card.ko", "kp-my_card.ko"] {
        assert!(Plan::new(&fake, file.as_ref(), own.clone(), &kp()).is_ok(), "{file}");
    }
}

#[test]
fn a_plugin_in_use_is_not_removed_and_its_users_are_named() {
    let fake = machine();
    install(&fake, card(), &kp()).unwrap();
    fake.file("/sys/module/kp_card/refcnt", "1\n");
    fake.file("/sys/class/kp-card/kp-card.0/dev", "240:0\n");
    fake.file("/proc/812/comm", "python3\n");
    fs::create_dir_all(fake.at("/proc/812/fd")).unwrap();
    std::os::unix::fs::symlink("/dev/kp/card.0", fake.at("/proc/812/fd/3")).unwrap();
    let before = fake.tree();
    let why = removed(&fake).expect_err("it is in use");
    assert_eq!(
        (why.exit() as u8, &*why.to_string()),
        (6, "card is in use by python3 (812): close it, or `kp unload card --wait`")
    );
    assert_eq!(fake.tree(), before);
}

#[test]
fn three_sentences_say_why_a_loaded_plugin_has_no_device() {
    let why = |fake: &Fake| {
        let message = self_check(fake, "card", &card_aliases()).expect_err("there is none");
        (message.exit() as u8, message.to_string())
    };
    let none = Fake::new();
    install(&none, card(), &Wanted::default()).unwrap();
    let start = "kp_card is loaded and has no device: ";
    assert_eq!(
        why(&none),
        (4, format!("{start}there is no PCI device 1234:11e8 on the bus; `kp scan` lists those that are"))
    );
    let held = Fake::new();
    held.device(ADDRESS, EDU, Some("vfio-pci"));
    install(&held, card(), &Wanted::default()).unwrap();
    assert_eq!(
        why(&held),
        (
            6,
            format!(
                "{start}0000:00:04.0 (1234:11e8) is bound to `vfio-pci`; `kp load card --take 0000:00:04.0` unbinds it first"
            )
        )
    );
    let kept = machine();
    kept.file(&format!("/sys/bus/pci/devices/{ADDRESS}/driver_override"), "vfio-pci\n");
    install(&kept, card(), &Wanted::default()).unwrap();
    fs::remove_file(kept.at(&format!("/sys/bus/pci/devices/{ADDRESS}/driver"))).unwrap();
    assert_eq!(
        why(&kept),
        (
            6,
            format!(
                "{start}0000:00:04.0 (1234:11e8) is kept for `vfio-pci` by its driver_override; `kp load card --take 0000:00:04.0` takes it"
            )
        )
    );
    let refused = machine();
    refused.log.borrow_mut().push("kp_card: init refused the device: WrongDevice".into());
    install(&refused, card(), &Wanted::default()).unwrap();
    let (exit, text) = why(&refused);
    let end = "`init` refused 0000:00:04.0 (1234:11e8); the log: \"kp_card: init refused the device: WrongDevice\"";
    assert!(exit == 4 && text.starts_with(&format!("{start}{end}")), "{text}");
}

#[test]
fn files_for_another_machine_are_put_below_a_folder_by_anybody_and_no_program_runs() {
    let mut fake = Fake::new();
    (fake.staged, fake.root) = (true, false);
    let before = fake.tree();
    let other = made_up(&["kp=card", "version=0.1.0", ALIAS, "vermagic=6.1.0-9-amd64 SMP"]);
    let mut at = 0;
    while {
        fake.fail_from(at, 1);
        let installed = install(&fake, other.clone(), &kp());
        if installed.is_err() {
            assert_eq!(fake.tree(), before, "operation {at}");
        }
        installed.is_err()
    } {
        at += 1;
    }
    assert!(fake.has("/lib/modules/6.1.0-9-amd64/updates/kp-card.ko"));
    assert!(fake.text("/etc/udev/rules.d/70-kp-card.rules").unwrap().contains("GROUP=\"kp\""));
    fake.fail_from(usize::MAX, 0);
    removed(&fake).unwrap();
    assert_eq!(fake.tree(), before);
    assert_eq!(*fake.ran.borrow(), [""; 0]);
}
