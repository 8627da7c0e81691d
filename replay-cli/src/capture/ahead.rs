//! A file read ahead on a thread of its own, so that whoever takes it apart does not wait for the system to copy it.

use std::fs::File;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// Bytes read at a time: a few such pieces fit the caches.
const PIECE: usize = 256 << 10;

/// Buffers there are: one is read into, one is looked at, the others wait for either.
const BUFFERS: usize = 4;

/// Pieces of a file, in order.
pub(super) struct Ahead {
    pieces: Receiver<io::Result<Piece>>,
    used: Sender<Vec<u8>>,
    /// What is left of a piece that is read as a stream.
    rest: Option<Piece>,
}

/// Bytes of the file, behind room for what was left of those before.
pub(super) struct Piece {
    pub(super) buffer: Vec<u8>,
    /// Where they begin and end.
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Ahead {
    /// Begins to read a file from where it stands; `room` bytes are left before each piece.
    pub(super) fn new(file: File, room: usize) -> io::Result<Self> {
        let (full, pieces) = channel();
        let (used, empty) = channel();
        for _ in 0..BUFFERS {
            let _ = used.send(Vec::new());
        }
        thread::Builder::new()
            .name("read ahead".into())
            .spawn(move || read(file, room, &full, &empty))?;
        Ok(Self {
            pieces,
            used,
            rest: None,
        })
    }

    /// The next piece; `None` at the end of the file.
    pub(super) fn next(&mut self) -> Option<io::Result<Piece>> {
        let rest = self.rest.take().map(Ok);
        rest.or_else(|| self.pieces.recv().ok())
    }

    /// Takes back the buffer of a piece, to be read into again: no more than a few are ever out.
    pub(super) fn give_back(&self, buffer: Vec<u8>) {
        // After the end nobody wants it.
        let _ = self.used.send(buffer);
    }
}

/// Reads until the end, a failure, or until nobody takes what was read.
fn read(mut file: File, room: usize, full: &Sender<io::Result<Piece>>, empty: &Receiver<Vec<u8>>) {
    while let Ok(mut buffer) = empty.recv() {
        buffer.resize(room + PIECE, 0);
        let read = loop {
            match file.read(buffer.get_mut(room..).unwrap_or_default()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let last = !matches!(read, Ok(1..));
        let piece = match read {
            Ok(0) => return,
            Ok(count) => Ok(Piece {
                buffer,
                start: room,
                end: room + count,
            }),
            Err(error) => Err(error),
        };
        if full.send(piece).is_err() || last {
            return;
        }
    }
}

impl Read for Ahead {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let Some(mut piece) = self.next().transpose()? else {
            return Ok(0);
        };
        let there = piece.buffer.get(piece.start..piece.end).unwrap_or_default();
        let count = there.len().min(to.len());
        if let (Some(to), Some(there)) = (to.get_mut(..count), there.get(..count)) {
            to.copy_from_slice(there);
        }
        piece.start += count;
        if piece.start < piece.end {
            self.rest = Some(piece);
        } else {
            self.give_back(piece.buffer);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    fn file(len: usize) -> (File, Vec<u8>) {
        let bytes: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        file.rewind().unwrap();
        (file, bytes)
    }

    #[test]
    fn a_file_comes_whole_piece_by_piece_and_as_a_stream() {
        let len = 3 * PIECE + 7;
        let (content, bytes) = file(len);
        let mut ahead = Ahead::new(content, 100).unwrap();
        let mut all = Vec::new();
        while let Some(piece) = ahead.next() {
            let piece = piece.unwrap();
            assert_eq!(piece.start, 100);
            all.extend_from_slice(&piece.buffer[piece.start..piece.end]);
            ahead.give_back(piece.buffer);
        }
        assert!(all == bytes);
        let (content, _) = file(len);
        let mut streamed = Vec::new();
        let mut ahead = Ahead::new(content, 0).unwrap();
        let mut few = [0; 1000];
        assert_eq!(ahead.read(&mut few).unwrap(), 1000);
        streamed.extend_from_slice(&few);
        ahead.read_to_end(&mut streamed).unwrap();
        assert!(streamed == bytes);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_told() {
        let folder = File::open(std::env::temp_dir()).unwrap();
        let mut ahead = Ahead::new(folder, 0).unwrap();
        assert!(ahead.next().is_some_and(|read| read.is_err()));
        assert!(ahead.next().is_none());
    }
}
