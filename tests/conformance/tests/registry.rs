//! The list of the tests that run in a guest, on Windows or in the loader.
use conformance::registry::{STAGES, Test, all, call, chosen, list, run};
use std::{collections::BTreeSet, sync::Mutex};

#[test]
fn each_test_has_a_name_of_its_own_and_stages_that_there_are() {
    let mut names = BTreeSet::new();
    for test in all() {
        let name = test.words().join(" ");
        assert!(names.insert(test.words()), "two tests are called {name}");
        assert_eq!(test.stages().is_empty(), test.is_helper, "{name}: no stage runs it");
        for stage in test.stages() {
            assert!(STAGES.iter().any(|(known, _)| *known == stage), "{name}: there is no stage {stage}");
        }
        let missing = test.takes() - test.short.split_whitespace().count();
        let due = if test.is_of("loader") || test.is_of("apps") { 1 } else { 0 };
        assert!(test.is_helper || test.is_of("wine") || missing == due, "{name}: a stage gives it too few arguments");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn words_choose_a_test_or_all_whose_names_begin_so() {
    let tests = all();
    let asked = |words: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        let (found, rest) = chosen(&tests, &words);
        let names: Vec<String> = found.iter().map(|test| test.words().join(" ")).collect();
        (names, rest.join(" "))
    };
    assert_eq!(asked("stress kills 2"), (vec!["stress kills".to_owned()], "2".to_owned()));
    assert_eq!(asked("planted panic"), (vec!["planted panic".to_owned()], String::new()));
    assert_eq!(asked("stress ro 7"), (vec!["stress rounds".to_owned()], "7".to_owned()));
    let nodes = asked("nodes").0;
    assert!(nodes.len() > 1 && nodes.iter().all(|name| name.starts_with("nodes")), "{nodes:?}");
    assert_eq!(asked("stress victim call 1").1, "call 1");
    assert_eq!(asked("stress vic").0, [""; 0], "what a test starts is found by its whole name alone");
    assert_eq!(asked("no such test").0, [""; 0]);
    assert!(run(&["other"]).is_err() && list(&["--stage", "none"]).is_err());
}

#[test]
fn arguments_that_are_missing_are_those_of_a_short_run() {
    static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let run = |arguments: &[&str]| {
        SEEN.lock().unwrap().push(arguments.join(" "));
        Ok(())
    };
    let test = Test {
        command: "some fuzz",
        path: "",
        parameters: "seed requests drivers",
        about: "",
        stage: "loader",
        short: "1 1000",
        long: "",
        is_helper: false,
        place: ("", 0),
        run,
    };
    test.run_with(&["/x"]).unwrap();
    test.run_with(&["2", "3", "/x"]).unwrap();
    assert_eq!(*SEEN.lock().unwrap(), ["1 1000 /x", "2 3 /x"]);
    let wrong = call(|_: u32, _: &str| (), &["x", "y"]).expect_err("x is none");
    assert_eq!(wrong, "x is no number");
    assert!(call(|_: u32| (), &[]).is_err());
}
