//! Request heads of HTTP/1 (RFC 9112): methods, field names and what frames the message stay, values do not.

use super::{PartKind, Structure};

const METHODS: [&[u8]; 9] = [
    b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"DELETE", b"PATCH", b"CONNECT", b"TRACE",
];

/// Fields that frame the message (RFC 9112 section 6), and nothing else.
const KEPT: [&[u8]; 5] = [
    b"content-length",
    b"transfer-encoding",
    b"connection",
    b"upgrade",
    b"expect",
];

/// The structure of a stream that begins with a request; bodies between heads are opaque.
pub(super) fn requests(stream: &[u8]) -> Option<Structure> {
    let mut found = Structure::default();
    while let Some(body) = head(stream, found.end, &mut found) {
        let end = found.end.saturating_add(body).min(stream.len());
        found.part(found.end..end, PartKind::Opaque);
        found.end = end;
    }
    (found.end > 0).then_some(found)
}

/// Walks the head that begins at `start`, and returns how long its body is; `None` if there is no head, or its end is not there.
fn head(stream: &[u8], start: usize, found: &mut Structure) -> Option<usize> {
    let (line_end, mut at) = line(stream, start)?;
    let request = stream.get(start..line_end)?;
    let method = request.split(|byte| *byte == b' ').next()?;
    let version = request.len().checked_sub(9)?;
    if !METHODS.contains(&method) || !request.get(version..)?.starts_with(b" HTTP/1.") {
        return None;
    }
    let mut parts = Structure::default();
    let target = start + method.len() + 1..start + version;
    match stream.get(target.start) {
        Some(b'/' | b'*') => parts.part(target.start + 1..target.end, PartKind::Text),
        _ if method == b"CONNECT" => parts.part(host(stream, target), PartKind::Name),
        _ => parts.part(target, PartKind::Text),
    }
    let mut body = 0;
    loop {
        let (end, next) = line(stream, at)?;
        let field = stream.get(at..end)?;
        if field.is_empty() {
            found.parts.append(&mut parts.parts);
            found.end = next;
            return Some(body);
        }
        // What is folded or no field is a value as a whole.
        let name = field.iter().position(|byte| *byte == b':').unwrap_or(0);
        let key = field.get(..name).unwrap_or_default().to_ascii_lowercase();
        let blanks = field
            .iter()
            .skip(name + 1)
            .take_while(|byte| **byte == b' ');
        let value = (at + name + 1 + blanks.count()).min(end)..end;
        let text = stream.get(value.clone()).unwrap_or_default();
        if key == b"content-length" {
            body = str::from_utf8(text)
                .ok()
                .and_then(|text| text.trim().parse().ok())?;
        }
        if key == b"host" {
            parts.part(host(stream, value), PartKind::Name);
        } else if !KEPT.contains(&key.as_slice()) {
            let from = if name == 0 { at } else { value.start };
            parts.part(from..end, PartKind::Text);
        }
        at = next;
    }
}

/// A host without the port behind it.
fn host(stream: &[u8], value: std::ops::Range<usize>) -> std::ops::Range<usize> {
    let text = stream.get(value.clone()).unwrap_or_default();
    let port = text.iter().rposition(|byte| *byte == b':');
    let digits = |at: &usize| {
        let rest = text.get(at + 1..).unwrap_or_default();
        !rest.is_empty() && rest.iter().all(u8::is_ascii_digit)
    };
    value.start..port.filter(digits).map_or(value.end, |at| value.start + at)
}

/// The end of the line that begins at a place, and where the next one does.
fn line(stream: &[u8], start: usize) -> Option<(usize, usize)> {
    let rest = stream.get(start..)?;
    let end = start + rest.iter().position(|byte| *byte == b'\n')?;
    let carriage = end > start && stream.get(end - 1) == Some(&b'\r');
    Some((end - usize::from(carriage), end + 1))
}
