//! Of which pieces `results.csv` is put together: a pure function of its header and the sizes of the
//! parts' work files, so that whoever continues it takes the same ones.
//!
//! A work file of 5 MiB or more is copied by S3 as it is. S3 takes no smaller piece but the last
//! (Amazon S3 User Guide, "Multipart upload limits"), so smaller neighbours are read, and sent
//! together; what is left alone goes with its smaller neighbour.

use std::ops::Range;

/// The smallest piece that S3 takes, but for the last.
const SMALLEST: u64 = 5 * 1024 * 1024;
/// How many bytes of small work files are sent together, if there are so many.
const GATHERED: u64 = 8 * 1024 * 1024;
/// The most pieces that S3 takes.
const MOST: usize = 10_000;

/// A piece of the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// The work file at this place is copied.
    Copy(usize),
    /// The work files at these places are sent together, after the header if it is the first.
    Gather(Range<usize>),
}

/// The pieces of an object with a header of `header` bytes and these work files.
pub(crate) fn pieces(header: u64, files: &[u64]) -> Vec<Piece> {
    let pieces = with_smallest(SMALLEST, header, files);
    if pieces.len() <= MOST {
        return pieces;
    }
    let total = header + files.iter().sum::<u64>();
    // A tenth fewer than S3 takes, since pieces are seldom just so large.
    with_smallest((total / (MOST as u64 * 9 / 10) + 1).max(2 * GATHERED), header, files)
}

fn with_smallest(smallest: u64, header: u64, files: &[u64]) -> Vec<Piece> {
    let gathered = GATHERED.max(smallest);
    let mut pieces: Vec<(Piece, u64)> = Vec::new();
    // What is being gathered: from which file on, and its bytes.
    let (mut from, mut bytes) = (0, header);
    let mut is_open = true;
    for (at, &size) in files.iter().enumerate() {
        if size >= smallest && !is_open {
            pieces.push((Piece::Copy(at), size));
            continue;
        }
        if size >= smallest && bytes >= smallest {
            pieces.push((Piece::Gather(from..at), bytes));
            pieces.push((Piece::Copy(at), size));
            is_open = false;
            continue;
        }
        // Too little is gathered to stand before a large file: it goes with its smaller neighbour.
        let before = pieces.last().map_or(u64::MAX, |(_, bytes)| *bytes);
        if size >= smallest && before < size {
            if let Some((piece, before)) = pieces.last_mut() {
                let first = match piece {
                    Piece::Copy(at) => *at,
                    Piece::Gather(range) => range.start,
                };
                *piece = Piece::Gather(first..at);
                *before += bytes;
            }
            pieces.push((Piece::Copy(at), size));
            is_open = false;
            continue;
        }
        if !is_open {
            (from, bytes, is_open) = (at, 0, true);
        }
        bytes += size;
        if bytes >= gathered || size >= smallest {
            pieces.push((Piece::Gather(from..at + 1), bytes));
            is_open = false;
        }
    }
    if is_open {
        pieces.push((Piece::Gather(from..files.len()), bytes));
    }
    pieces.into_iter().map(|(piece, _)| piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    /// Every file once and in order, in pieces that S3 takes; returns how many bytes are sent.
    fn sent(header: u64, files: &[u64]) -> u64 {
        let pieces = pieces(header, files);
        assert!(pieces.len() <= MOST);
        let (mut next, mut sent) = (0, 0);
        for (number, piece) in pieces.iter().enumerate() {
            let range = match piece {
                Piece::Copy(at) => *at..at + 1,
                Piece::Gather(range) => range.clone(),
            };
            assert_eq!(range.start, next, "{pieces:?}");
            next = range.end;
            let own = if number == 0 { header } else { 0 };
            let bytes = own + files[range].iter().sum::<u64>();
            assert!(number + 1 == pieces.len() || bytes >= SMALLEST, "{pieces:?}");
            assert!(number > 0 || matches!(piece, Piece::Gather(_)), "the header is the first");
            if matches!(piece, Piece::Gather(_)) {
                sent += bytes;
            }
        }
        assert_eq!(next, files.len());
        sent
    }

    #[test]
    fn large_files_are_copied_but_for_the_one_with_the_header() {
        let files = [7_500_000; 400];
        assert_eq!(pieces(40, &files)[1..], (1..400).map(Piece::Copy).collect::<Vec<_>>());
        assert_eq!(sent(40, &files), 40 + 7_500_000);
    }

    #[test]
    fn small_neighbours_are_gathered_and_a_lone_one_goes_with_its_smaller_neighbour() {
        let small = [1_900_000; 1600];
        assert_eq!(sent(40, &small), 40 + 1600 * 1_900_000);
        assert!(pieces(40, &small).len() <= 1600 / 4);
        let (big, bigger, lone) = (6 * MIB, 9 * MIB, MIB);
        assert_eq!(
            pieces(10, &[big, big, lone, bigger, big]),
            [Piece::Gather(0..1), Piece::Gather(1..3), Piece::Copy(3), Piece::Copy(4)]
        );
        assert_eq!(
            pieces(10, &[big, bigger, lone, big, big]),
            [Piece::Gather(0..1), Piece::Copy(1), Piece::Gather(2..4), Piece::Copy(4)]
        );
    }

    #[test]
    fn every_file_is_in_one_piece_whatever_the_sizes() {
        let sizes = [0, 1, MIB, SMALLEST - 1, SMALLEST, 6 * MIB, GATHERED, 20 * MIB];
        let mut state = 1_u64;
        for count in 0..200 {
            let files: Vec<u64> = (0..count % 23)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    sizes[(state >> 60) as usize % sizes.len()]
                })
                .collect();
            sent(40, &files);
        }
    }

    #[test]
    fn more_files_than_s3_takes_pieces_are_gathered() {
        for size in [SMALLEST, 7 * MIB, 60 * MIB] {
            sent(40, &vec![size; 99_999]);
        }
    }
}
