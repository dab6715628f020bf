//! Where the fields of many rows end, found 64 bytes at a time.
//!
//! The index is an accelerator, not a second reader: it knows the bytes that separate, and it stops
//! where the quotes or line ends are not plainly regular. What it does not cover, such as the row
//! with an error, is read byte by byte by the [`Machine`](super::machine::Machine), which alone
//! refuses and explains.
//!
//! Of each 64 bytes four masks say where separators, quotes, line feeds and carriage returns are.
//! Quotes come in pairs, the two of `""` included, so that a byte is within quotes if an odd number
//! of them stands before it (a prefix sum of bits). What is left outside are ends of fields. It is
//! regular if each opening quote follows an end of a field or a closing quote, each closing quote is
//! followed by one or by an opening quote, and each carriage return by a line feed.

use super::machine::{MAX_FIELDS, Machine, Scanned, State};
use crate::csv::fields::Field;
use std::ops::Range;
use wide::u8x16;

/// How many bytes are indexed at once: few enough that they are still in the first cache when their
/// rows are read.
const CHUNK: usize = 32 * 1024;
const GROUP: usize = 64;

/// The index of a block, from a row's beginning on.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Where separators and line feeds outside of quotes are in the block, from `row` on.
    ends: Places,
    /// The line feeds within quotes.
    inner: Places,
    /// Where the next row begins.
    row: usize,
    /// What was indexed last.
    last: Last,
    /// Up to where the block is indexed.
    indexed: usize,
    /// Up to there it is regular, and not behind it.
    is_irregular: bool,
    /// Bytes that are UTF-8 and have no NUL.
    clean: Range<usize>,
}

/// The byte before those that are indexed next, each as a bit.
#[derive(Debug, Clone, Copy, Default)]
struct Last {
    /// 1: the next byte is within quotes.
    within: u64,
    /// It ended a field, or nothing stands before.
    ended: u64,
    closed: u64,
    returned: u64,
}

impl Index {
    /// Forgets everything: another block.
    pub(super) fn clear(&mut self) {
        self.begin_at(0);
        self.clean = 0..0;
    }

    fn begin_at(&mut self, row: usize) {
        self.ends.clear();
        self.inner.clear();
        (self.row, self.indexed) = (row, row);
        self.last = Last { ended: 1, ..Last::default() };
        self.is_irregular = false;
        if !(self.clean.start..=self.clean.end).contains(&row) {
            self.clean = row..row;
        }
    }

    /// The next row of the block, if it can be told by the index.
    pub(super) fn next_row(&mut self, machine: &mut Machine, block: &[u8]) -> Option<Scanned> {
        if machine.state != State::RowStart || machine.position != machine.start {
            return None;
        }
        if machine.start != self.row {
            self.begin_at(machine.start);
        }
        loop {
            let row = self.row;
            let found = self.fields(machine, block).filter(|(_, next)| {
                next - row <= machine.max_row && machine.fields.len() <= MAX_FIELDS
            });
            let Some((end, next)) = found else {
                // The machine reads it.
                self.row = usize::MAX;
                return None;
            };
            if end == row {
                // A line without a byte is no row.
                self.row = next;
                machine.skip_line(next - row);
                continue;
            }
            let is_clean = self.clean.start <= row && next <= self.clean.end;
            let newlines = 1 + self.inner_newlines(next);
            self.row = next;
            return Some(Scanned { end, next, newlines, is_clean });
        }
    }

    /// Takes the fields of the row that begins at `row`. Returns where it ends, without and with its
    /// line end.
    fn fields(&mut self, machine: &mut Machine, block: &[u8]) -> Option<(usize, usize)> {
        let row = self.row;
        machine.fields.clear();
        let mut begin = row;
        loop {
            let mut taken = 0;
            for &at in self.ends.left() {
                taken += 1;
                let at = at as usize;
                let is_row_end = block[at] == b'\n';
                let is_cr = is_row_end && at > begin && block[at - 1] == b'\r';
                let end = at - usize::from(is_cr);
                if machine.skip_spaces && begin > row {
                    begin = machine.after_spaces(block, begin, end);
                }
                machine.fields.push(Field::new(begin - row, end - row));
                if is_row_end {
                    self.ends.taken += taken;
                    return Some((end, at + 1));
                }
                begin = at + 1;
            }
            self.ends.taken += taken;
            if machine.fields.len() > MAX_FIELDS || !self.fill(block, machine.separator.byte()) {
                return None;
            }
        }
    }

    /// How many line feeds the row that ends at `next` has within quotes.
    fn inner_newlines(&mut self, next: usize) -> u64 {
        let is_of_row = |at: &&u32| (**at as usize) < next;
        let count = self.inner.left().iter().take_while(is_of_row).count();
        self.inner.taken += count;
        count as u64
    }

    /// Indexes more of the block; false if there is no more that is regular.
    #[inline(never)]
    fn fill(&mut self, block: &[u8], separator: u8) -> bool {
        let from = self.indexed;
        // The positions have 32 bits.
        if self.is_irregular || from == block.len() || u32::try_from(block.len()).is_err() {
            return false;
        }
        self.ends.make_room();
        self.inner.make_room();
        let chunk = &block[from..block.len().min(from + CHUNK)];
        let (groups, rest) = chunk.as_chunks::<GROUP>();
        let last = (!rest.is_empty()).then(|| {
            let mut group = [0; GROUP];
            group[..rest.len()].copy_from_slice(rest);
            group
        });
        for group in groups.iter().chain(&last) {
            // Of the last group, perhaps not all bytes exist.
            let known = u64::MAX >> GROUP.saturating_sub(block.len() - self.indexed);
            if !self.add(&Masks::of(group, separator), known) {
                self.is_irregular = true;
                break;
            }
            self.indexed += GROUP;
        }
        self.indexed = self.indexed.min(block.len());
        self.check_text(block);
        self.indexed > from
    }

    /// Adds the next bytes, of which only those under `known` exist; false if they are irregular.
    #[inline(always)]
    fn add(&mut self, masks: &Masks, known: u64) -> bool {
        let Masks { separators, quotes, feeds, returns } = *masks;
        let (last, base) = (self.last, self.indexed as u32);
        let was_within = last.within.wrapping_neg();
        if quotes | returns | last.closed | last.returned == 0 {
            // Most groups.
            let ends = (separators | feeds) & !was_within;
            self.last.ended = ends >> 63;
            return self.ends.add(ends, base) && self.inner.add(feeds & was_within, base);
        }
        let within = prefix_xor(quotes) ^ was_within;
        let (opens, closes) = (quotes & within, quotes & !within);
        let outside = !within;
        let ends = (separators | feeds) & outside;
        let returned = returns & outside;
        let may_open = ends << 1 | last.ended | closes << 1 | last.closed;
        // A carriage return and a line feed end a field, too.
        let may_follow = separators | feeds | returns | quotes;
        let irregular = opens & !may_open
            | (closes << 1 | last.closed) & !may_follow
            | (returned << 1 | last.returned) & !feeds;
        if irregular & known != 0 {
            return false;
        }
        self.last = Last {
            within: within >> 63,
            ended: ends >> 63,
            closed: closes >> 63,
            returned: returned >> 63,
        };
        self.ends.add(ends, base) && self.inner.add(feeds & within, base)
    }

    /// Looks whether the text of the rows that were indexed is UTF-8 without NUL: of whole lines,
    /// since a block may end within a character.
    fn check_text(&mut self, block: &[u8]) {
        let from = self.clean.end;
        let Some(lines) = block.get(from..self.indexed) else { return };
        let Some(last) = memchr::memrchr(b'\n', lines) else { return };
        let lines = &lines[..=last];
        self.clean.end += lines.len();
        if simdutf8::basic::from_utf8(lines).is_err() || memchr::memchr(0, lines).is_some() {
            self.clean.start = self.clean.end;
        }
    }
}

/// Where the bytes of interest are in 64 bytes, the first at the lowest bit.
#[derive(Debug, Clone, Copy)]
struct Masks {
    separators: u64,
    quotes: u64,
    feeds: u64,
    returns: u64,
}

impl Masks {
    #[inline]
    fn of(group: &[u8; GROUP], separator: u8) -> Self {
        let mut quarters = [u8x16::ZERO; 4];
        for (quarter, bytes) in quarters.iter_mut().zip(group.as_chunks::<16>().0) {
            *quarter = u8x16::new(*bytes);
        }
        let find = |byte: u8| {
            let byte = u8x16::splat(byte);
            let bits = |i: usize| u64::from(quarters[i].simd_eq(byte).to_bitmask()) << (16 * i);
            bits(0) | bits(1) | bits(2) | bits(3)
        };
        Masks {
            separators: find(separator),
            quotes: find(b'"'),
            feeds: find(b'\n'),
            returns: find(b'\r'),
        }
    }
}

/// Each bit is the sum, modulo 2, of the bits up to it.
#[inline]
fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

/// Places in the block, of which rows take the first.
#[derive(Debug, Default)]
struct Places {
    /// Those up to `len`; then there is room for a chunk's.
    places: Vec<u32>,
    len: usize,
    taken: usize,
}

impl Places {
    fn clear(&mut self) {
        (self.len, self.taken) = (0, 0);
    }

    fn left(&self) -> &[u32] {
        &self.places[self.taken..self.len]
    }

    /// Makes room for a chunk's places behind those that are left.
    fn make_room(&mut self) {
        self.places.copy_within(self.taken..self.len, 0);
        (self.len, self.taken) = (self.len - self.taken, 0);
        let needed = self.len + CHUNK + GROUP;
        if self.places.len() < needed {
            self.places.resize(needed, 0);
        }
    }

    /// Adds the places of a group's bits; false if there is no room for them, as never happens.
    #[inline]
    fn add(&mut self, mut bits: u64, base: u32) -> bool {
        /// Most groups have fewer: so many are written without a look at how many there are, which
        /// no processor could foresee.
        const AT_ONCE: usize = 4;
        let count = bits.count_ones() as usize;
        if bits == 0 {
            return true;
        }
        let room = self.places.get_mut(self.len..).and_then(<[u32]>::first_chunk_mut::<GROUP>);
        let Some(room) = room else { return false };
        for place in &mut room[..AT_ONCE] {
            *place = base.wrapping_add(bits.trailing_zeros());
            bits &= bits.wrapping_sub(1);
        }
        if count > AT_ONCE {
            for place in &mut room[AT_ONCE..count] {
                *place = base + bits.trailing_zeros();
                bits &= bits.wrapping_sub(1);
            }
        }
        self.len += count;
        true
    }
}
