use super::*;

fn text(stream: &[u8], found: &Structure, kind: PartKind) -> Vec<String> {
    let parts = found.parts.iter().filter(|part| part.kind == kind);
    parts
        .map(|part| String::from_utf8_lossy(&stream[part.at.clone()]).into_owned())
        .collect()
}

#[test]
fn a_request_keeps_its_frame_and_gives_up_its_values() {
    let stream = b"POST /login?u=bob HTTP/1.1\r\nHost: shop.example:8080\r\nCookie: id=7\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: b.example\r\n\r\n";
    let found = first_flight(stream).unwrap();
    assert_eq!(found.end, stream.len());
    assert_eq!(
        text(stream, &found, PartKind::Name),
        ["shop.example", "b.example"]
    );
    assert_eq!(
        text(stream, &found, PartKind::Text),
        ["login?u=bob", "id=7"]
    );
    assert_eq!(text(stream, &found, PartKind::Opaque), ["abc"]);
}

#[test]
fn a_head_whose_end_is_missing_is_no_structure() {
    assert_eq!(first_flight(b"GET / HTTP/1.1\r\nHost: a.example\r\n"), None);
}

#[test]
fn a_hello_gives_up_its_name_its_random_and_its_keys() {
    let mut extensions = vec![0, 0, 0, 14, 0, 12, 0, 0, 9];
    extensions.extend(b"a.example");
    extensions.extend([0, 51, 0, 10, 0, 8, 0, 29, 0, 4, 9, 9, 9, 9]);
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 1, 1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut stream = vec![22, 3, 1];
    stream.extend((body.len() as u16 + 4).to_be_bytes());
    stream.extend([1, 0]);
    stream.extend((body.len() as u16).to_be_bytes());
    stream.extend(body);
    let found = first_flight(&stream).unwrap();
    assert_eq!(text(&stream, &found, PartKind::Name), ["a.example"]);
    let opaque: Vec<usize> = found
        .parts
        .iter()
        .filter(|part| part.kind == PartKind::Opaque)
        .map(|part| part.at.len())
        .collect();
    assert_eq!(opaque, [32, 4]);
    // No cut of it panics or leads beyond its end.
    for end in 0..stream.len() {
        assert_eq!(first_flight(&stream[..end]), None);
    }
}

#[test]
fn a_dns_answer_gives_up_its_labels_and_addresses() {
    let mut answer = vec![0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    answer.extend(b"\x01a\x07example\x00\x00\x01\x00\x01");
    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1]);
    let found = message(&answer).unwrap();
    assert_eq!(text(&answer, &found, PartKind::Label), ["a", "example"]);
    let addresses: Vec<_> = found
        .parts
        .iter()
        .filter(|part| part.kind == PartKind::Address)
        .map(|part| (part.at.start, part.at.end))
        .collect();
    assert_eq!(addresses, vec![(answer.len() - 4, answer.len())]);
    for end in 0..answer.len() {
        assert_eq!(message(&answer[..end]), None, "{end}");
    }
}
