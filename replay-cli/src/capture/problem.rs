//! What is wrong with a capture, as a diagnostic: where, what, what next.

use crate::base::diagnostic::Diagnostic;
use crate::base::duration::Size;
use crate::capture::CaptureError;
use crate::capture::error::At;

/// The diagnostic of a capture that cannot be opened or read further.
#[must_use]
pub(crate) fn diagnostic_of(error: &CaptureError) -> Diagnostic {
    let (path, what, help) = match error {
        CaptureError::NotFound { path } => (
            path,
            "no such file".to_owned(),
            "check the path; a relative one starts at the current directory",
        ),
        CaptureError::IsDirectory { path } => (
            path,
            "this is a folder, not a capture".to_owned(),
            "name one capture file in it",
        ),
        CaptureError::Empty { path } => (
            path,
            "empty: 0 bytes, not even a capture header".to_owned(),
            "record it again",
        ),
        CaptureError::NotACapture { path, first } => {
            let first: Vec<String> = first.iter().map(|byte| format!("{byte:02x}")).collect();
            let what = format!(
                "not a pcap, pcapng, snoop or ERF file, packed or not: it begins with {}",
                first.join(" ")
            );
            (
                path,
                what,
                "check that this is the file meant, or convert it to pcapng",
            )
        }
        CaptureError::Io { path, source } => (
            path,
            format!("cannot be read: {source}"),
            "check its permissions and the disk",
        ),
        CaptureError::Changed { path, offset } => (
            path,
            format!("changed while it was read{}", At(offset)),
            "wait until nothing writes to it, or take a copy",
        ),
        CaptureError::TooManyFlows { path, limit } => (
            path,
            format!("more than {limit} flows, the limit: each takes some 4 KiB of memory"),
            "cut it into parts, by time or by address",
        ),
        CaptureError::TooLarge { path, limit } => (
            path,
            format!("holds more than {} unpacked, the limit", Size(*limit)),
            "allow more with --max-unpacked, or unpack it to a file first, which needs no copy",
        ),
        CaptureError::Damaged {
            path,
            offset,
            after_packet,
            reason,
        } => (
            path,
            format!("damaged at byte {offset}, after frame {after_packet}: {reason}"),
            "the frames before are good; record the rest again, or cut the file there",
        ),
    };
    Diagnostic::new(what).in_file(path).help(help)
}

impl From<CaptureError> for Diagnostic {
    fn from(error: CaptureError) -> Self {
        diagnostic_of(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::DamageReason;

    #[test]
    fn damage_keeps_its_offset_and_the_last_good_frame() {
        let error = CaptureError::Damaged {
            path: "a.pcap".into(),
            offset: 40,
            after_packet: 2,
            reason: DamageReason::CutShort {
                what: "packet",
                missing: 7,
            },
        };
        assert_eq!(
            diagnostic_of(&error).to_string(),
            "error: a.pcap: damaged at byte 40, after frame 2: the file ends 7 bytes short of the end of this packet\n  \
             help: the frames before are good; record the rest again, or cut the file there"
        );
    }
}
