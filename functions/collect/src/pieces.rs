//! Of which pieces `results.csv` is put together: a pure function of its header and the sizes of the
//! parts' work files, so that whoever continues it takes the same ones.
//!
//! A work file of 5 MiB or more is copied by S3 as it is. S3 takes no smaller piece but the last
//! (Amazon S3 User Guide, "Multipart upload limits"), so the header goes with the first file, and
//! smaller neighbours are read, and sent together; what is left alone goes with its smaller
//! neighbour. What is sent is cut into pieces that fit into memory.

use moondrop_shared::services::s3::object_writer::MAX_PIECES;
use std::ops::Range;

/// The smallest piece that S3 takes, but for the last.
const SMALLEST: u64 = 5 * 1024 * 1024;
/// How many bytes of small work files are sent together, if there are so many; twice as many at
/// most.
const SENT: u64 = 8 * 1024 * 1024;

/// A piece of the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// The work file at this place is copied.
    Copy(usize),
    /// These bytes are sent together, after the header if it is the first piece.
    Send(Vec<Span>),
}

/// Some of a work file's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) file: usize,
    pub(crate) bytes: Range<u64>,
}

/// The pieces of an object with a header of `header` bytes and these work files.
pub(crate) fn pieces(header: u64, files: &[u64]) -> Vec<Piece> {
    let pieces: Vec<Piece> =
        runs(SMALLEST, header, files).into_iter().flat_map(|run| cut(run, header, files)).collect();
    if pieces.len() <= MAX_PIECES {
        return pieces;
    }
    let total = header + files.iter().sum::<u64>();
    // A tenth fewer than S3 takes, since pieces are seldom just so large.
    let smallest = (total / (MAX_PIECES as u64 * 9 / 10) + 1).max(2 * SENT);
    runs(smallest, header, files).into_iter().map(|run| whole(run, files)).collect()
}

/// Neighbouring files, and whether they are sent.
#[derive(Debug)]
struct Run {
    files: Range<usize>,
    bytes: u64,
    is_sent: bool,
}

fn runs(smallest: u64, header: u64, files: &[u64]) -> Vec<Run> {
    let enough = SENT.max(smallest);
    let mut runs: Vec<Run> = Vec::new();
    // What is being gathered; at first the header.
    let mut open = Some(Run { files: 0..0, bytes: header, is_sent: true });
    for (at, &size) in files.iter().enumerate() {
        if size >= smallest {
            let copy = Run { files: at..at + 1, bytes: size, is_sent: false };
            match (open.take(), runs.last_mut()) {
                (None, _) => runs.push(copy),
                (Some(run), _) if run.bytes >= smallest => runs.extend([run, copy]),
                // Too little to stand before a large file: it goes with its smaller neighbour.
                (Some(run), Some(before)) if before.bytes < size => {
                    before.files.end = run.files.end;
                    before.bytes += run.bytes;
                    before.is_sent = true;
                    runs.push(copy);
                }
                (Some(run), _) => {
                    let files = run.files.start..at + 1;
                    runs.push(Run { files, bytes: run.bytes + size, is_sent: true });
                }
            }
            continue;
        }
        let run = open.get_or_insert(Run { files: at..at, bytes: 0, is_sent: true });
        run.files.end = at + 1;
        run.bytes += size;
        if run.bytes >= enough {
            runs.extend(open.take());
        }
    }
    runs.extend(open);
    runs
}

/// A run as one piece.
fn whole(run: Run, files: &[u64]) -> Piece {
    if run.is_sent {
        Piece::Send(run.files.map(|file| Span { file, bytes: 0..files[file] }).collect())
    } else {
        Piece::Copy(run.files.start)
    }
}

/// A run as pieces of which none that is sent has more than twice [`SENT`].
fn cut(run: Run, header: u64, files: &[u64]) -> Vec<Piece> {
    if !run.is_sent || run.bytes <= 2 * SENT {
        return vec![whole(run, files)];
    }
    let (mut pieces, mut spans) = (Vec::new(), Vec::new());
    let mut left = run.bytes;
    let mut bytes = if run.files.start == 0 { header } else { 0 };
    for file in run.files {
        let mut from = 0;
        while from < files[file] {
            // The last piece takes what would be too little for one more.
            let room = if left < 2 * SENT { u64::MAX } else { SENT - bytes };
            let to = files[file].min(from.saturating_add(room));
            spans.push(Span { file, bytes: from..to });
            bytes += to - from;
            from = to;
            if bytes >= SENT && left >= 2 * SENT {
                left -= bytes;
                bytes = 0;
                pieces.push(Piece::Send(std::mem::take(&mut spans)));
            }
        }
    }
    pieces.push(Piece::Send(spans));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn all(file: usize, size: u64) -> Span {
        Span { file, bytes: 0..size }
    }

    /// Every byte once and in order, in pieces that S3 takes; returns how many bytes are sent.
    fn sent(header: u64, files: &[u64]) -> u64 {
        let pieces = pieces(header, files);
        assert!(pieces.len() <= MAX_PIECES);
        let (mut file, mut at, mut sent) = (0, 0, 0);
        for (number, piece) in pieces.iter().enumerate() {
            let spans = match piece {
                Piece::Copy(file) => vec![all(*file, files[*file])],
                Piece::Send(spans) => spans.clone(),
            };
            let mut bytes = if number == 0 { header } else { 0 };
            for span in spans {
                while at == files[file] && span.file > file {
                    (file, at) = (file + 1, 0);
                }
                assert_eq!((span.file, span.bytes.start), (file, at), "{pieces:?}");
                at = span.bytes.end;
                bytes += span.bytes.end - span.bytes.start;
            }
            assert!(number + 1 == pieces.len() || bytes >= SMALLEST, "{pieces:?}");
            assert!(number > 0 || matches!(piece, Piece::Send(_)), "the header is the first");
            if matches!(piece, Piece::Send(_)) {
                sent += bytes;
                assert!(files.len() > MAX_PIECES || bytes <= 2 * SENT, "{bytes} bytes in memory");
            }
        }
        assert!(files[file.min(files.len())..].iter().skip(1).all(|size| *size == 0));
        assert!(files.is_empty() || at == files[file], "{pieces:?}");
        sent
    }

    #[test]
    fn large_files_are_copied_but_for_the_one_with_the_header() {
        let files = [7_500_000; 400];
        assert_eq!(pieces(40, &files)[1..], (1..400).map(Piece::Copy).collect::<Vec<_>>());
        assert_eq!(sent(40, &files), 40 + 7_500_000);
    }

    #[test]
    fn small_neighbours_are_sent_together_and_a_lone_one_with_its_smaller_neighbour() {
        let small = [1_900_000; 1600];
        assert_eq!(sent(40, &small), 40 + 1600 * 1_900_000);
        assert!(pieces(40, &small).len() <= 1600 / 4);
        let (big, bigger, lone) = (6 * MIB, 9 * MIB, MIB);
        assert_eq!(
            pieces(10, &[big, big, lone, bigger, big]),
            [
                Piece::Send(vec![all(0, big)]),
                Piece::Send(vec![all(1, big), all(2, lone)]),
                Piece::Copy(3),
                Piece::Copy(4)
            ]
        );
        assert_eq!(
            pieces(10, &[big, bigger, lone, big, big]),
            [
                Piece::Send(vec![all(0, big)]),
                Piece::Copy(1),
                Piece::Send(vec![all(2, lone), all(3, big)]),
                Piece::Copy(4)
            ]
        );
    }

    #[test]
    fn every_byte_is_in_one_piece_whatever_the_sizes() {
        let sizes = [0, 1, MIB, SMALLEST - 1, SMALLEST, 6 * MIB, SENT, 20 * MIB, 333 * MIB];
        let mut state = 1_u64;
        for count in 0..400 {
            let files: Vec<u64> = (0..count % 23)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    sizes[(state >> 60) as usize % sizes.len()]
                })
                .collect();
            sent(40, &files);
        }
        sent(40, &[1 << 30]);
    }

    #[test]
    fn more_files_than_s3_takes_pieces_are_sent_together() {
        for size in [SMALLEST, 7 * MIB, 60 * MIB] {
            sent(40, &vec![size; 99_999]);
        }
    }
}
