//! The program as it is, with the plugin behind a socket: it prints what it prints in a guest.
#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

use kp_sim::{Live, Sim, socket::Server};
use std::{
    path::Path,
    process::{Command, Output},
};
use tempfile::TempDir;

fn app(socket: &Path) -> Command {
    let mut app = Command::new(env!("CARGO_BIN_EXE_edu-app"));
    app.env("KP_NODE", socket);
    app
}

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_program_tells_its_story_whatever_name_it_asks_for() {
    let folder = TempDir::with_prefix("kp-").unwrap();
    let socket = folder.path().join("edu.sock");
    let server = Server::start(Sim::<edu::Edu>::builder().device(kp_sim::edu::Edu::new()), &socket, None).unwrap();
    for name in ["edu", "edu.3", "another"] {
        let output = app(&socket).arg(name).output().unwrap();
        assert_eq!(text(&output), (include_str!("story.txt").to_owned(), String::new()), "{name}");
    }
    assert_eq!(server.end(), Live::default());

    let (said, error) = text(&app(&socket).output().unwrap());
    let socket = socket.display();
    let due = format!(
        "edu-app: {socket}: KP_NODE names this socket, and no plugin answers there (No such file or directory (os error 2)): \
         start `cargo kp sim -p edu --listen {socket}`, or unset KP_NODE\n"
    );
    assert_eq!((said.as_str(), error), ("", due));
}
