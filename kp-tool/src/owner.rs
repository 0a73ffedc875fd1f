//! Which package a file is of, and how that is removed.

use crate::loaded::file_in;
use crate::machine::Machine;
use crate::message::Message;
use crate::module::is_dkms;

/// What is refused because of a file that is in the way: the package that it is of is named, if there is one.
pub(crate) fn in_the_way(machine: &dyn Machine, path: &str) -> Message {
    match of(machine, path) {
        Some(package) => packaged(machine, path, &package),
        None => Message::NotOurs { path: path.to_owned() },
    }
}

/// Whether the plugin's module is there for this kernel at another place than kp's, or will be, as a package has DKMS build it.
///
/// # Errors
/// [`Message::Packaged`], [`Message::NotOurs`].
pub(crate) fn check_no_other(machine: &dyn Machine, release: &str, name: &str) -> Result<(), Message> {
    let copy = file_in(machine, release, name).filter(|path| machine.has(path));
    let sources = dkms_sources(machine, name);
    if let Some((conf, package)) = sources.iter().find_map(|conf| Some((conf, of(machine, conf)?))) {
        return Err(packaged(machine, copy.as_ref().unwrap_or(conf), &package));
    }
    match (copy, sources.first()) {
        (Some(path), Some(conf)) if is_dkms(&path) => {
            // The folder is PACKAGE-VERSION.
            let folder = conf.trim_start_matches("/usr/src/").trim_end_matches("/dkms.conf");
            let module =
                folder.rsplit_once('-').map_or(folder.to_owned(), |(name, version)| format!("{name}/{version}"));
            Err(Message::Packaged {
                path,
                owner: "DKMS".to_owned(),
                remove: format!("sudo dkms remove {module} --all"),
            })
        }
        (Some(path), _) => Err(in_the_way(machine, &path)),
        (None, _) => Ok(()),
    }
}

fn packaged(machine: &dyn Machine, path: &str, package: &str) -> Message {
    let purge = if machine.has_program("dpkg") { "apt purge" } else { "rpm -e" };
    let (path, owner) = (path.to_owned(), format!("the package {package}"));
    Message::Packaged { path, owner, remove: format!("sudo {purge} {package}") }
}

/// The files by which DKMS knows this plugin.
fn dkms_sources(machine: &dyn Machine, name: &str) -> Vec<String> {
    let folders = machine.names("/usr/src").into_iter().filter(|folder| folder.starts_with(&format!("kp-{name}-")));
    let files = folders.map(|folder| format!("/usr/src/{folder}/dkms.conf"));
    // A name may be the beginning of another.
    let builds = format!("BUILT_MODULE_NAME[0]=\"kp-{name}\"");
    files.filter(|file| machine.text(file).is_some_and(|text| text.contains(&builds))).collect()
}

/// The package that a file is of, where dpkg or rpm is there to say so.
fn of(machine: &dyn Machine, path: &str) -> Option<String> {
    // `/lib` may be a link to `/usr/lib`, and dpkg knows a file by the name that its package has.
    let other = path.strip_prefix("/usr/lib/").map_or_else(|| format!("/usr{path}"), |rest| format!("/lib/{rest}"));
    [path, &other].into_iter().find_map(|path| {
        let asked = |program: &str, arguments: &[&str]| {
            let done = machine.has_program(program).then(|| machine.run(program, arguments).ok()).flatten()?;
            done.success.then_some(done.stdout)
        };
        let dpkg = asked("dpkg", &["-S", path]).and_then(|text| {
            let mut lines = text.lines().filter(|line| !line.starts_with("diversion "));
            let (packages, _) = lines.find_map(|line| line.split_once(": "))?;
            packages.split(", ").next().map(str::to_owned)
        });
        let rpm = || asked("rpm", &["-qf", "--queryformat", "%{NAME}\\n", path])?.lines().next().map(str::to_owned);
        dpkg.or_else(rpm).filter(|package| !package.is_empty())
    })
}
