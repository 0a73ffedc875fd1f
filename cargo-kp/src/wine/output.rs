//! What a program writes, line by line, while it runs and after its end.
use anyhow::{Context, Result};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{OFlags, fcntl_setfl},
};
use std::{
    io::{ErrorKind, Read},
    process::ChildStdout,
    time::Duration,
};

/// A program's standard output. Reading it waits for nobody: a service that the program has started may hold the pipe open for long.
pub struct Output {
    pipe: ChildStdout,
    /// The line that has no end yet.
    begun: Vec<u8>,
    is_over: bool,
}

impl Output {
    /// From now on reading the pipe does not wait.
    pub fn of(pipe: ChildStdout) -> Result<Self> {
        fcntl_setfl(&pipe, OFlags::NONBLOCK).context("cannot prepare a pipe")?;
        Ok(Output { pipe, begun: Vec::new(), is_over: false })
    }

    /// Waits until there is something, or so long.
    pub fn wait(&self, limit: Duration) {
        if self.is_over {
            std::thread::sleep(limit);
            return;
        }
        let limit = Timespec::try_from(limit).ok();
        // Interrupted, it is asked again sooner.
        let _ = poll(&mut [PollFd::new(&self.pipe, PollFlags::IN)], limit.as_ref());
    }

    /// Passes on the lines that are there. When the program has ended these are all that it has written.
    pub fn read(&mut self, on_line: &mut dyn FnMut(&str)) -> Result<()> {
        let mut room = [0; 4096];
        while !self.is_over {
            match self.pipe.read(&mut room) {
                Ok(0) => self.is_over = true,
                Ok(len) => self.begun.extend_from_slice(&room[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot read what a program says"),
            }
            while let Some(end) = self.begun.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.begun.drain(..=end).collect();
                on_line(String::from_utf8_lossy(&line[..end]).trim_end_matches('\r'));
            }
        }
        Ok(())
    }

    /// The same after the program's end: a last line may have no end.
    pub fn read_rest(mut self, on_line: &mut dyn FnMut(&str)) -> Result<()> {
        self.read(on_line)?;
        if !self.begun.is_empty() {
            on_line(String::from_utf8_lossy(&self.begun).trim_end_matches('\r'));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn all_that_an_ended_program_has_written_is_read_though_the_pipe_stays_open() {
        // What it leaves behind has the pipe open until it is killed.
        let script = "sleep 1000 & printf 'one\\r\\ntwo\\nthree'; echo $! >&2";
        let mut child =
            Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut output = Output::of(child.stdout.take().unwrap()).unwrap();
        let mut left = String::new();
        let mut errors = std::io::BufReader::new(child.stderr.take().unwrap());
        std::io::BufRead::read_line(&mut errors, &mut left).unwrap();
        child.wait().unwrap();
        let mut lines = Vec::new();
        output.read(&mut |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(lines, ["one", "two"]);
        output.read_rest(&mut |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(lines, ["one", "two", "three"]);
        assert!(Command::new("kill").arg(left.trim()).status().unwrap().success());
    }
}
