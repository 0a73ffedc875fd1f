//! Apps built before: what the examples' apps of an earlier version sent is answered today as it was then, byte for byte.
//!
//! A recording is one run of an app's story in the simulator. Its first line, `# …`, says of which ABI and commit it is. The others are
//! the app's steps, numbers and bytes in hexadecimal: `map LEN ADDRESS`, `write ADDRESS BYTES`, `read ADDRESS BYTES`,
//! `raw NR ADDRESS STATUS` and `direct MESSAGE ADDRESS STATUS`. One of a later version is made by printing these five in kp-sim's
//! `UserMemory` and `App`, outside of requests, while the story's test runs.
use kp_abi::request::{Open, Query, Request};
use kp_core::Plugin;
use kp_sim::{Access, App, Sim};
use std::mem::offset_of;

fn number(word: Option<&str>) -> u64 {
    u64::from_str_radix(word.unwrap(), 16).unwrap()
}

fn bytes(word: Option<&str>) -> Vec<u8> {
    let digits = word.unwrap();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

fn replay<P: Plugin>(app: &App<P>, recording: &str) {
    let mut opens = false;
    for (at, line) in recording.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let step = format!("line {}", at + 1);
        let (what, first) = (words.next().unwrap(), number(words.next()));
        match what {
            "map" => assert_eq!(app.memory().map(first as usize, Access::ReadWrite), number(words.next()), "{step}"),
            "write" => app.memory().write(first, &bytes(words.next())).unwrap(),
            "read" => {
                let mut want = bytes(words.next());
                let mut got = vec![0; want.len()];
                app.memory().read(first, &mut got).unwrap();
                if opens && want.len() == size_of::<Open>() {
                    // Whichever number the session has.
                    let session = offset_of!(Open, session)..size_of::<Open>();
                    want[session.clone()].copy_from_slice(&got[session]);
                }
                assert_eq!(got, want, "{step}: the bytes read");
            }
            "raw" => {
                opens = first == u64::from(Open::NR);
                let status = app.raw(first as u32, number(words.next())).err().map_or(0, |status| status.0);
                assert_eq!(u64::from(status), number(words.next()), "{step}: request {first}");
            }
            "direct" => {
                let (Ok(status) | Err(status)) = app.raw_direct(first as u32, number(words.next()));
                assert_eq!(u64::from(status.0), number(words.next()), "{step}: message {first}");
            }
            _ => panic!("{step}: {what}"),
        }
    }
}

#[test]
fn echos_app_of_abi_1_1_is_answered_as_it_was() {
    replay(&Sim::<echo::Echo>::new().unwrap().open(), include_str!("../recorded/echo-1.1.txt"));
}

#[test]
fn edus_app_of_abi_1_1_is_answered_as_it_was() {
    let sim = Sim::<edu::Edu>::with(kp_sim::edu::Edu::new()).unwrap();
    replay(&sim.open(), include_str!("../recorded/edu-1.1.txt"));
}

/// QUERY grew twice. An app of an earlier version has no room for more than it asks for.
#[test]
fn a_query_is_answered_in_the_size_that_it_has() {
    let app = Sim::<echo::Echo>::new().unwrap().open();
    let memory = app.memory();
    let mut now = Vec::new();
    for size in [152, 144, 136] {
        let at = memory.map(4096, Access::ReadWrite);
        memory.write(at, &[0xEE; 200]).unwrap();
        memory.write(at, &[&(size as u32).to_le_bytes()[..], &vec![0; size - 4]].concat()).unwrap();
        assert_eq!(app.raw(Query::NR, at), Ok(()));
        let mut answer = [0; 200];
        memory.read(at, &mut answer).unwrap();
        assert_eq!(answer[8..12], [0; 4], "{size}: Ok");
        assert!(answer[size..].iter().all(|&byte| byte == 0xEE), "{size}: nothing is written behind it");
        if now.is_empty() {
            now = answer[16..].to_vec();
        }
        assert_eq!(answer[16..size], now[..size - 16], "{size}: what it has is as in the newest");
    }
}
