//! This program again, as a client that can be killed.
use crate::Victim;
use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

/// Starts this program again, and returns when it says that it is ready.
pub fn spawn_until_ready(arguments: &[&str]) -> Child {
    let mut child = spawn(arguments);
    let mut line = String::new();
    let output = child.stdout.take().expect("its output is a pipe");
    BufReader::new(output).read_line(&mut line).expect("its output can be read");
    assert_eq!(line, "ready\n", "{arguments:?}");
    child
}

/// Starts this program again, with its output in a pipe.
pub fn spawn(arguments: &[&str]) -> Child {
    let program = std::env::current_exe().expect("this program has a file");
    let child = Command::new(program).args(arguments).stdout(Stdio::piped()).spawn();
    child.unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

impl Victim for Child {
    fn kill(mut self: Box<Self>) {
        Child::kill(&mut self).expect("a child can be killed");
        // Its files are closed before it can be waited for.
        self.wait().expect("a child can be waited for");
    }
}
