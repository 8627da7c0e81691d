//! Programs in C over the ABI, as a host would write them, under valgrind where it is installed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use replay::verdict::attempt::{FlowVerdict, TryOptions, try_capture};

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c")
}

/// The static library beside this test's own binary.
fn library() -> PathBuf {
    let binary = std::env::current_exe().expect("the test's own path");
    let library = binary.with_file_name("libengine_ffi.a");
    assert!(library.exists(), "{} is not there", library.display());
    library
}

fn compiler(language: &str) -> Command {
    let mut compiler = Command::new(if language == "c++" { "c++" } else { "cc" });
    let warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g", "-O1"];
    compiler
        .args(warnings)
        .arg("-I")
        .arg(sources().join("../../include"));
    compiler
}

fn done(what: &str, output: &Output) {
    assert!(
        output.status.success(),
        "{what}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn build(folder: &Path, name: &str, files: &[&str]) -> PathBuf {
    let program = folder.join(name);
    let mut compiler = compiler("c");
    compiler
        .arg("-std=c11")
        .args(files.iter().map(|file| sources().join(file)));
    compiler
        .arg(library())
        .args(["-lpthread", "-ldl", "-lm", "-o"]);
    let output = compiler.arg(&program).output().expect("a C compiler");
    done(name, &output);
    program
}

/// Runs a program under valgrind: no error, nothing lost. Without valgrind it runs as it is, and says so.
fn check(program: &Path, arguments: &[&str]) {
    let installed = Command::new("valgrind").arg("--version").output();
    let mut command = if installed.is_ok_and(|output| output.status.success()) {
        let mut valgrind = Command::new("valgrind");
        valgrind.args([
            "-q",
            "--error-exitcode=99",
            "--leak-check=full",
            "--show-leak-kinds=definite,indirect,possible",
        ]);
        valgrind
            .args([
                "--errors-for-leak-kinds=definite,indirect,possible",
                "--fair-sched=yes",
            ])
            .arg(program);
        valgrind
    } else {
        eprintln!(
            "SKIPPED: valgrind is not installed, so nobody watched {}",
            program.display()
        );
        Command::new(program)
    };
    let output = command.args(arguments).output().expect("the program runs");
    done(&program.display().to_string(), &output);
}

#[test]
fn a_whole_session_runs_without_errors_and_leaks() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = build(
        folder.path(),
        "session",
        &["session.c", "adapter.c", "device.c"],
    );
    let recording = folder.path().join("session.pcapng");
    check(&program, &[recording.to_str().expect("a plain path")]);
    // What the host's dialer did, replayed from the recording: both streams of every flow.
    let attempt = try_capture(&recording, &TryOptions::default()).expect("a recording");
    let verdicts: Vec<_> = attempt.flows.iter().map(|flow| &flow.verdict).collect();
    assert_eq!(verdicts, [&FlowVerdict::Pass; 6], "{:?}", attempt.notes);
    let octets = |flow: usize| {
        let flow = &attempt.flows[flow];
        (flow.upstream.bytes, flow.downstream.bytes)
    };
    assert_eq!((octets(0), octets(1)), ((300_000, 300_000), (300_000, 9)));
}

#[test]
fn a_host_that_drives_the_engine_gets_every_documented_answer_and_the_same_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = build(folder.path(), "hosted", &["hosted.c"]);
    check(&program, &[]);
}

#[test]
fn four_threads_of_random_calls_break_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = build(folder.path(), "hammer", &["hammer.c"]);
    let output = Command::new(&program).args(["2", "1"]).output();
    done("hammer", &output.expect("the program runs"));
    check(&program, &["2", "2"]);
}

#[test]
fn the_header_stands_alone_in_c_and_in_cpp() {
    let folder = tempfile::tempdir().expect("a folder");
    for (language, standard) in [("c", "-std=c99"), ("c", "-std=c11"), ("c++", "-std=c++11")] {
        let mut compiler = compiler(language);
        compiler
            .args(["-x", language, standard, "-c"])
            .arg(sources().join("header.c"));
        let output = compiler
            .arg("-o")
            .arg(folder.path().join("header.o"))
            .output();
        done(standard, &output.expect("a compiler"));
    }
}
