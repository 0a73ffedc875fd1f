//! The program as it is, with the plugin behind a socket.
#![cfg(target_os = "linux")]
#![forbid(unsafe_code)]

use kp_sim::{Live, Sim, socket::Server};
use std::{process::Command, thread};
use tempfile::TempDir;

#[test]
fn the_program_hears_what_it_has_said_and_two_of_them_are_not_mixed_up() {
    let folder = TempDir::with_prefix("kp-").unwrap();
    let socket = folder.path().join("echo.sock");
    let server = Server::start(Sim::<echo::Echo>::builder(), &socket, None).unwrap();
    thread::scope(|scope| {
        for text in ["hello, kernel", "another text"] {
            let mut app = Command::new(env!("CARGO_BIN_EXE_echo-app"));
            app.arg(text).env("KP_NODE", &socket);
            scope.spawn(move || {
                for _ in 0..10 {
                    let output = app.output().unwrap();
                    let due = format!(
                        "heard      {text}\nlouder     {}\nso far     1 text, {} bytes\n",
                        text.to_uppercase(),
                        text.len()
                    );
                    assert_eq!(String::from_utf8_lossy(&output.stdout), due, "{output:?}");
                }
            });
        }
    });
    assert_eq!(server.end(), Live::default());
}
