//! Starts QEMU and follows it to its end.
//!
//! The result port is QEMU's standard input and output. The kernel's log comes out of its standard error, and with it what
//! QEMU itself has to complain about. Always emulation (TCG): it gives the same machine everywhere.

use super::judge::{Judge, LogLine};
use super::{Report, Stage, Verdict, Vm};
use crate::guest::plan::{END_TAG, EXIT_PORT, FAILURE_CODE, LOG_END, LOG_START, OUTPUT_TAG, SUCCESS_CODE};
use anyhow::{Context, Result};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

const PROGRAM: &str = "qemu-system-x86_64";

/// Begins why a run failed whose time was up.
pub(super) const DID_NOT_END: &str = "the guest did not end within";

/// Begins why a run failed whose kernel took too long.
pub(super) const DID_NOT_START: &str = "the kernel did not get to its first process within";

/// Begins what the guest's init says where it cannot do its work. It has no other way than the console then.
pub(super) const TROUBLE: &str = "kp-guest: ";

/// How much longer a guest may live after the line that fails it, so that the log gets the rest of the report.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What the two serial ports bring.
enum Event {
    Log(String),
    Result(String),
}

pub(super) fn run(vm: &Vm, initrd: &Path, memory: u32, on_line: &mut dyn FnMut(&str)) -> Result<Report> {
    let start = Instant::now();
    let mut command = Command::new(PROGRAM);
    command.args(arguments(vm, initrd, memory));
    let child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().with_context(|| {
            format!("cannot start {PROGRAM}: run `apt-get install qemu-system-x86`, or see `cargo kp doctor`")
        })?;
    let mut qemu = Qemu(child);
    let (sender, events) = channel();
    let results = qemu.0.stdout.take().map(|pipe| follow(pipe, Event::Result, sender.clone()));
    let log = qemu.0.stderr.take().map(|pipe| follow(pipe, Event::Log, sender));
    let judge = Judge::new(&vm.expected);
    let mut run = Run {
        judge,
        qemu,
        started: false,
        over: false,
        end: None,
        log: Vec::new(),
        failed_by: None,
        output: Vec::new(),
        steps: Vec::new(),
    };
    let timed_out = run.watch(&events, vm, on_line);
    let ended = timed_out.is_ok();
    if !ended {
        // Already gone is as good.
        let _ = run.qemu.0.kill();
    }
    // After a kill there may be lines under way.
    while let Ok(event) = events.recv() {
        run.take(event, on_line);
    }
    for thread in [results, log].into_iter().flatten() {
        thread.join().expect("the readers don't panic");
    }
    let status = run.qemu.0.wait().context("cannot wait for QEMU")?;
    // What becomes of a device is told late, and yet it comes before what a program did without it.
    run.steps.sort_by_key(|line| number(line));
    let verdict = run.verdict(timed_out, status, vm);
    let Run { started, output, steps, log, failed_by, .. } = run;
    let stage = match (started, ended, status.success()) {
        (true, ..) => Stage::Process,
        (false, true, false) if status.code() != qemus(FAILURE_CODE) => Stage::Refused,
        (false, ..) => Stage::Boot,
    };
    let seconds = start.elapsed().as_secs_f64();
    Ok(Report { stage, output, steps, log, failed_by, stopped: !ended, verdict, seconds })
}

fn arguments(vm: &Vm, initrd: &Path, memory: u32) -> Vec<String> {
    let exit_device = format!("isa-debug-exit,iobase={EXIT_PORT:#x},iosize=4");
    let (cpus, memory) = (vm.cpus.to_string(), memory.to_string());
    let (kernel, initrd) = (vm.image.file.to_string_lossy(), initrd.to_string_lossy());
    // Until the guest's init asks for more the console shows only warnings and worse: printing takes time. The format puts the
    // level in front of each line, and the time behind that, whatever the kernel was configured for. A panic reboots, and thereby ends QEMU. A busy host may keep the emulated timer from ticking just
    // while the kernel checks that it does, and without a check it does not panic.
    let mut append = String::from(
        "console=ttyS0 console_msg_format=syslog printk.time=1 loglevel=5 panic=-1 no_timer_check cryptomgr.notests rcupdate.rcu_cpu_stall_timeout=120",
    );
    for arg in &vm.kernel_args {
        append.push(' ');
        append.push_str(arg);
    }
    let fixed = [
        "-machine",
        "q35",
        "-accel",
        "tcg",
        // Without page tables of five levels, as most machines are. A kernel that could use them asks each time whether the processor has them,
        // and while it boots forgets for a moment what the processor has. With KASAN an interrupt in that moment reports accesses that are sound.
        "-cpu",
        "max,la57=off",
        "-smp",
        &cpus,
        "-m",
        &memory,
        "-display",
        "none",
        "-monitor",
        "none",
        "-nodefaults",
        "-no-reboot",
        "-chardev",
        "file,id=log,path=/dev/stderr",
        "-serial",
        "chardev:log",
        "-chardev",
        "stdio,id=results,signal=off",
        "-serial",
        "chardev:results",
        "-device",
        &exit_device,
        "-kernel",
        &kernel,
        "-initrd",
        &initrd,
        "-append",
        &append,
    ];
    fixed.iter().map(|&arg| arg.to_owned()).chain(vm.qemu_args.iter().cloned()).collect()
}

/// The status with which QEMU ends for a code that the guest wrote to the exit device.
fn qemus(code: u8) -> Option<i32> {
    Some(i32::from(code) * 2 + 1)
}

/// The number of the step that a line is about. None for trouble of the guest's own.
fn number(line: &str) -> Option<usize> {
    line.strip_prefix("step ")?.split_once(':')?.0.parse().ok()
}

/// Sends a pipe's lines to the channel until its end.
fn follow(
    pipe: impl Read + Send + 'static,
    event: fn(String) -> Event,
    sender: Sender<Event>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
            line.clear();
            if sender.send(event(text)).is_err() {
                return;
            }
        }
    })
}

/// The time limit ran out.
struct TimedOut;

/// QEMU's process. It doesn't outlive this value, whatever happens to the one who waits for it.
struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Run {
    qemu: Qemu,
    judge: Judge,
    /// The guest's first process runs.
    started: bool,
    /// The log has ended. What comes then is of a machine that is switched off.
    over: bool,
    /// What the guest says that it ends with.
    end: Option<u8>,
    log: Vec<String>,
    failed_by: Option<usize>,
    output: Vec<String>,
    steps: Vec<String>,
}

impl Run {
    /// Follows the guest to its end, or until it has to be ended.
    fn watch(
        &mut self,
        events: &Receiver<Event>,
        vm: &Vm,
        on_line: &mut dyn FnMut(&str),
    ) -> Result<(), Option<TimedOut>> {
        let mut failed_at = None;
        let mut limit = Instant::now() + vm.boot_limit;
        let mut booting = true;
        loop {
            if booting && self.started {
                booting = false;
                limit = Instant::now() + vm.timeout;
            }
            if failed_at.is_none() && self.judge.so_far().is_err() {
                failed_at = Some(Instant::now());
            }
            let deadline = failed_at.map_or(limit, |at| limit.min(at + LAST_WORDS));
            match events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) => self.take(event, on_line),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) if failed_at.is_some() => return Err(None),
                Err(RecvTimeoutError::Timeout) => return Err(Some(TimedOut)),
            }
            // A guest that never stops talking must not outlive its limit.
            if Instant::now() > deadline {
                return Err(failed_at.is_none().then_some(TimedOut));
            }
        }
    }

    fn take(&mut self, event: Event, on_line: &mut dyn FnMut(&str)) {
        match event {
            Event::Log(line) => {
                let line = LogLine::parse(&line);
                if line.text == LOG_END {
                    self.over = true;
                    self.release_guest();
                    return;
                }
                if self.over {
                    self.log.push(line.text);
                    return;
                }
                // The verdict is kept by the judge; `watch` looks there.
                if self.judge.line(&line).is_err() && self.failed_by.is_none() {
                    self.failed_by = Some(self.log.len());
                }
                if line.text == LOG_START {
                    self.started = true;
                } else {
                    self.log.push(line.text);
                }
            }
            Event::Result(line) => match (line.strip_prefix(OUTPUT_TAG), line.strip_prefix(END_TAG)) {
                (Some(text), _) => {
                    on_line(text);
                    self.output.push(text.to_owned());
                }
                (None, Some(code)) => self.end = code.parse().ok(),
                (None, None) => self.steps.push(line.trim_start_matches(|c: char| c.is_ascii_punctuation()).to_owned()),
            },
        }
    }

    /// The log is complete: tells the guest that it may end.
    fn release_guest(&mut self) {
        if let Some(stdin) = &mut self.qemu.0.stdin {
            // If QEMU is gone its exit status tells.
            let _ = stdin.write_all(b".").and_then(|()| stdin.flush());
        }
    }

    fn verdict(&self, ended: Result<(), Option<TimedOut>>, status: ExitStatus, vm: &Vm) -> Verdict {
        let log = self.judge.so_far();
        let failed_step = self.steps.iter().find(|line| !line.ends_with(": ok"));
        let trouble = || self.log.iter().find(|line| line.starts_with(TROUBLE)).cloned();
        // Switched off, not by the exit device.
        let code = if status.success() { self.end.and_then(qemus) } else { status.code() };
        let why = match (log, ended) {
            (Err(line), _) => line.to_owned(),
            (_, Err(_)) => {
                let (what, limit) =
                    if self.started { (DID_NOT_END, vm.timeout) } else { (DID_NOT_START, vm.boot_limit) };
                format!("{what} {} s; {}", limit.as_secs(), self.last_log_line())
            }
            _ if code == qemus(SUCCESS_CODE) && failed_step.is_none() => match self.judge.finish() {
                Ok(()) => return Verdict::Passed,
                Err(why) => why,
            },
            _ if code == qemus(FAILURE_CODE) || failed_step.is_some() => {
                failed_step.cloned().or_else(trouble).unwrap_or_else(|| "the guest failed without a reason".to_owned())
            }
            _ if !self.started && trouble().is_some() => trouble().unwrap_or_default(),
            _ => format!("the guest stopped early (QEMU: {status}); {}", self.last_log_line()),
        };
        Verdict::Failed(why)
    }

    fn last_log_line(&self) -> String {
        match self.log.last() {
            Some(line) => format!("the log's last line: {line}"),
            None => "the log is empty".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{arguments, number};
    use crate::kernels::Image;
    use crate::vm::Vm;
    use std::path::Path;

    #[test]
    fn every_kernel_writes_its_log_as_it_is_read_and_sees_the_same_processor_however_it_was_configured() {
        let image = Image { file: "bzImage".into(), release: "6.12.9".into() };
        let arguments = arguments(&Vm::new(image).kernel_arg("quiet"), Path::new("initrd"), 512);
        let behind = |option: &str| &arguments[arguments.iter().position(|one| one == option).expect(option) + 1];
        let line: Vec<&str> = behind("-append").split(' ').collect();
        // CONFIG_PRINTK_TIME may be off.
        assert!(["console=ttyS0", "console_msg_format=syslog", "printk.time=1"].iter().all(|one| line.contains(one)));
        assert_eq!(line.last(), Some(&"quiet"));
        assert_eq!(behind("-cpu"), "max,la57=off");
    }

    #[test]
    fn steps_are_sorted_by_their_numbers_with_trouble_in_front() {
        let mut lines = ["step 10: ok", "step 2: failed: x: y", "step 1: ok", "cannot parse the plan"];
        lines.sort_by_key(|line| number(line));
        assert_eq!(lines, ["cannot parse the plan", "step 1: ok", "step 2: failed: x: y", "step 10: ok"]);
    }
}
