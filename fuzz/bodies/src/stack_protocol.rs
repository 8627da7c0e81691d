//! The protocol between replay and other stacks: what is read is printed and read again as the same; our own engine behind it
//! answers any lines, and the same ones alike.

use replay::stack::{Via, serve_engine};
use stack_protocol::{Reply, Request};

/// Body of the target `stack_protocol`: lines of either side.
pub fn stack_protocol(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for line in text.lines() {
        if let Ok(request) = line.parse::<Request>() {
            let printed = request.to_string();
            assert_eq!(
                printed.parse(),
                Ok(request),
                "{line:?} printed as {printed:?}"
            );
        }
        if let Ok(reply) = line.parse::<Reply>() {
            let printed = reply.to_string();
            assert_eq!(
                printed.parse(),
                Ok(reply),
                "{line:?} printed as {printed:?}"
            );
        }
    }
    assert_eq!(served(data), served(data), "two runs differ");
}

/// What the engine says to the lines, up to the first that is none.
fn served(lines: &[u8]) -> (Vec<u8>, Option<String>) {
    let mut said = Vec::new();
    let ended = serve_engine(&Via::Core, lines, &mut said);
    (said, ended.err().map(|error| error.to_string()))
}
