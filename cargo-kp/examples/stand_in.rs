//! Plays `rustc.exe` and `cargo.exe` for the cargo-kp.exe that is tested under Wine, where no compiler runs: it hands out what the
//! build on Linux has made, and writes down how it was asked.
use std::{env, fs, io, path::Path, process::ExitCode};

fn main() -> io::Result<ExitCode> {
    let me = env::current_exe()?;
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match (me.file_stem().and_then(|name| name.to_str()), words.as_slice()) {
        (Some("rustc"), ["--print", "sysroot"]) => println!(r"C:\kp\rust"),
        (Some("rustc"), ["-vV"]) => println!("rustc 1.95.0\nhost: x86_64-pc-windows-msvc"),
        (Some("cargo"), ["metadata", ..]) => println!("{}", fs::read_to_string(r"C:\kp\metadata.json")?),
        (Some("cargo"), ["rustc", .., "--target", triple, "--", "--emit=obj", linked]) => {
            let [compiler, opened, flags, folder] =
                ["RUSTC", "RUSTC_BOOTSTRAP", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR"]
                    .map(|name| env::var(name).unwrap_or_default());
            fs::write(r"C:\kp\asked", [&compiler, &opened, *linked, &flags].join("\n").replace('\x1f', "\n"))?;
            copy(&Path::new(r"C:\kp\built").join(triple), &Path::new(&folder).join(triple).join("release"))?;
        }
        _ => {
            eprintln!("{}: never asked for {words:?} before", me.display());
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.path().is_dir() { copy(&entry.path(), &to)? } else { fs::copy(entry.path(), to).map(|_| ())? }
    }
    Ok(())
}
