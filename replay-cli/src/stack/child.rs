//! A child process that speaks the protocol, watched: whatever it does, replay goes on.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{self, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use stack_protocol::{Hello, Reply, Request};

use super::group::Group;
use crate::base::diagnostic::Diagnostic;

/// The longest line read, bytes.
const LINE_MAX: u64 = 4 << 20;

/// Lines are handed over in batches of so many bytes or one line, and so many batches wait: a child that floods waits
/// for the runner.
const BATCH: usize = 64 << 10;
const BATCHES: usize = 4;

/// How much of what it writes to standard error is kept, bytes.
const LAST_WORDS: usize = 2_000;

/// The process and all it has started, killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Child {
    process: process::Child,
    group: Group,
    /// Lines on their way in; a thread writes them, so that a child that does not read cannot stop replay.
    input: Option<Sender<String>>,
    output: Receiver<Vec<String>>,
    /// Lines that came and are not read.
    came: std::vec::IntoIter<String>,
    words: Arc<Mutex<Vec<u8>>>,
    /// Reads standard error, until its end.
    listener: Option<JoinHandle<()>>,
    unsent: String,
    /// How long it may take to answer, beyond the time it is told to wait.
    pub(crate) patience: Duration,
}

impl Child {
    /// Starts the program and reads its hello.
    pub(crate) fn start(path: &Path, patience: Duration) -> Result<(Hello, Self), Diagnostic> {
        let mut process = Group::apart(&mut Command::new(path))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| {
                Diagnostic::new(format!("the stack cannot be started: {error}"))
                    .in_file(path)
                    .help("the file must be a program that may be executed: see docs/STACK_PROTOCOL.md")
            })?;
        let group = Group::of(&process);
        let (sender, lines) = channel();
        if let Some(stdin) = process.stdin.take() {
            thread::spawn(move || feed(stdin, &lines));
        }
        let (out, output) = sync_channel(BATCHES);
        if let Some(stdout) = process.stdout.take() {
            thread::spawn(move || read(stdout, &out));
        }
        let words = Arc::new(Mutex::new(Vec::new()));
        let listener = process.stderr.take().map(|stderr| {
            let words = Arc::clone(&words);
            thread::spawn(move || listen(stderr, &words))
        });
        let mut child = Self {
            process,
            group,
            input: Some(sender),
            output,
            came: Vec::new().into_iter(),
            words,
            listener,
            unsent: String::new(),
            patience,
        };
        let refused = |what: String| {
            Diagnostic::new(format!("the stack says no hello: {what}"))
                .in_file(path)
                .help("run it by hand: its first line must be `hello 1 NAME VERSION ...`, see docs/STACK_PROTOCOL.md")
        };
        match child.reply(Duration::ZERO) {
            Ok(Reply::Hello(hello)) => Ok((hello, child)),
            Ok(other) => Err(refused(format!(
                "its first line is `{}`",
                short(&other.to_string())
            ))),
            Err(problem) => Err(refused(problem)),
        }
    }

    /// Sends a line, at the latest when a reply is waited for.
    pub(crate) fn say(&mut self, request: &Request) {
        self.unsent.push_str(&request.to_string());
        self.unsent.push('\n');
    }

    /// The next line it says, which may take `longer` than usual; or what went wrong.
    pub(crate) fn reply(&mut self, longer: Duration) -> Result<Reply, String> {
        if let Some(input) = self.input.as_ref().filter(|_| !self.unsent.is_empty()) {
            // A child that is gone is noticed when it does not answer.
            let _ = input.send(std::mem::take(&mut self.unsent));
        }
        let wait = self.patience + longer;
        let line = match self.came.next() {
            Some(line) => Ok(line),
            None => self.output.recv_timeout(wait).map(|lines| {
                self.came = lines.into_iter();
                self.came.next().unwrap_or_default()
            }),
        };
        match line {
            Ok(line) => line.parse().map_err(|garbage| {
                format!(
                    "it said `{}`, which is no line of the protocol: {garbage}",
                    short(&line)
                )
            }),
            Err(RecvTimeoutError::Timeout) => Err(format!(
                "it has not answered for {} s of real time",
                wait.as_secs()
            )),
            Err(RecvTimeoutError::Disconnected) => Err(self.how_it_ended()),
        }
    }

    /// What it wrote to standard error at last.
    pub(crate) fn last_words(&self) -> String {
        let words = self.words.lock().map(|words| words.clone());
        String::from_utf8_lossy(&words.unwrap_or_default())
            .trim()
            .to_owned()
    }

    fn how_it_ended(&mut self) -> String {
        // It has closed its standard output; an end of its own follows at once, or never.
        for _ in 0..100 {
            match self.process.try_wait() {
                Ok(Some(status)) if self.has_fallen_silent() => {
                    return format!("it ended by itself: {status}");
                }
                Ok(Some(_)) => thread::sleep(Duration::from_millis(2)),
                Ok(None) => thread::sleep(Duration::from_millis(2)),
                Err(error) => return format!("it cannot be waited for: {error}"),
            }
        }
        "it closed its standard output".to_owned()
    }

    /// Whether all it wrote to standard error is read.
    fn has_fallen_silent(&self) -> bool {
        self.listener.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.input = None;
        self.group.end();
        // Both fail only if it is gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn feed(mut stdin: ChildStdin, lines: &Receiver<String>) {
    for text in lines {
        if stdin
            .write_all(text.as_bytes())
            .and_then(|()| stdin.flush())
            .is_err()
        {
            return;
        }
    }
}

fn read(stdout: impl Read, to: &SyncSender<Vec<String>>) {
    let mut reader = BufReader::with_capacity(BATCH, stdout);
    loop {
        let mut lines = Vec::new();
        let mut bytes = 0;
        // What is there already is taken along; nothing waits for a line that is still to come.
        while bytes < BATCH && (lines.is_empty() || reader.buffer().contains(&b'\n')) {
            let mut line = Vec::new();
            let read = (&mut reader).take(LINE_MAX).read_until(b'\n', &mut line);
            if !matches!(read, Ok(count) if count > 0) {
                break;
            }
            bytes += line.len();
            lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        if lines.is_empty() || to.send(lines).is_err() {
            return;
        }
    }
}

fn listen(mut stderr: impl Read, words: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = stderr.read(&mut buffer) {
        let Ok(mut words) = words.lock() else { return };
        words.extend_from_slice(buffer.get(..count).unwrap_or(&[]));
        let surplus = words.len().saturating_sub(LAST_WORDS);
        words.drain(..surplus);
    }
}

/// The beginning of a line, fit for a message.
fn short(line: &str) -> String {
    let mut text: String = line.chars().take(80).collect();
    if text.len() < line.len() {
        text.push_str("...");
    }
    text
}
