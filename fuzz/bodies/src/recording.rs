//! Flight recordings: blocks of a recorder and frames, in any order and with any bytes in them, read and tried twice.

use replay::capture::CustomBlock;
use replay::capture::recording::decode;

use crate::attempt::{Pcapng, is_capture, try_file};

/// Pieces of one input that count.
const PIECES: usize = 256;

/// Body of the target `recording`: a capture file, or pieces, each a kind, a length of two bytes and as many bytes; an odd
/// kind is a recorder's block, an even one a frame.
pub fn recording(data: &[u8]) {
    if is_capture(data) {
        return try_file(data);
    }
    let (mut file, mut rest) = (Pcapng::new(), data);
    for at in 0..PIECES as u64 {
        let Some((&[kind, high, low], tail)) = rest.split_first_chunk() else {
            break;
        };
        let length = usize::from(u16::from_be_bytes([high, low])).min(tail.len());
        let (piece, tail) = tail.split_at(length);
        rest = tail;
        if kind.is_multiple_of(2) {
            file.packet(1_700_000_000_000_000 + at * 1_000, piece, piece.len());
        } else {
            let block = CustomBlock {
                number: at,
                enterprise: 32_473,
                data: piece,
                offset: 0,
            };
            let _ = decode(&block).map(|event| event.map(|event| event.kind.label()));
            file.custom(piece);
        }
    }
    try_file(&file.bytes());
}
