//! The check by the first rules against a reference that is slow and obvious: one loop over the characters of the
//! whole file. On generated garbage both take or refuse alike, with the same code and line, and
//! reject the same rows.

use crate::support;
use moondrop_shared::csv::rules::Rules;
use moondrop_shared::plan::PartLimits;
use moondrop_shared::problem::Code;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};

type Place = (Code, u64);

/// A row's line and values, and whether blanks were skipped in it.
type Row = (u64, Vec<Vec<u8>>, bool);

/// A file, or the rest of one, and the line it begins on.
struct Reference<'a> {
    rest: &'a [u8],
    line: u64,
}

impl Reference<'_> {
    fn take(&mut self) -> u8 {
        let (first, rest) = self.rest.split_first().unwrap();
        self.rest = rest;
        self.line += u64::from(*first == b'\n');
        *first
    }

    fn skip(&mut self, what: &[u8]) -> bool {
        let found = self.rest.starts_with(what);
        if found {
            for _ in what {
                self.take();
            }
        }
        found
    }

    /// The next row, if there is one.
    fn row(&mut self, skip_blanks: bool) -> Result<Option<Row>, Place> {
        while self.skip(b"\n") || self.skip(b"\r\n") {}
        let (row, line, mut fields, mut skipped) = (self.rest, self.line, Vec::new(), false);
        if row.is_empty() {
            return Ok(None);
        }
        loop {
            while skip_blanks && !fields.is_empty() && (self.skip(b" ") || self.skip(b"\t")) {
                skipped = true;
            }
            fields.push(self.field()?);
            if !self.skip(b",") {
                break;
            }
        }
        let row = &row[..row.len() - self.rest.len()];
        let line_of = |at: usize| line + row[..at].iter().filter(|b| **b == b'\n').count() as u64;
        if let Some(nul) = row.iter().position(|b| *b == 0) {
            return Err((Code::Encoding, line_of(nul)));
        }
        if let Err(error) = std::str::from_utf8(row) {
            return Err((Code::Encoding, line_of(error.valid_up_to())));
        }
        Ok(Some((line, fields, skipped)))
    }

    /// One field; what stands behind it is a comma or the row's end.
    fn field(&mut self) -> Result<Vec<u8>, Place> {
        let (mut value, opened) = (Vec::new(), self.line);
        if self.skip(b"\"") {
            loop {
                if self.skip(b"\"\"") {
                    value.push(b'"');
                } else if self.skip(b"\"") {
                    break;
                } else if self.rest.is_empty() {
                    return Err((Code::Quote, opened));
                } else {
                    value.push(self.take());
                }
            }
        } else {
            while !self.rest.is_empty() && !b",\"\r\n".contains(&self.rest[0]) {
                value.push(self.take());
            }
        }
        match self.rest {
            [] | [b',' | b'\n', ..] | [b'\r', b'\n', ..] => Ok(value),
            _ => Err((Code::Quote, self.line)),
        }
    }
}

/// The rows to reject, or why the file is refused.
fn reference(file: &[u8]) -> Result<Vec<Place>, Place> {
    if file.iter().take(2).any(|b| *b == 0) {
        return Err((Code::Encoding, 1));
    }
    let mut file = Reference { rest: file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file), line: 1 };
    let Some((line, header, blanks)) = file.row(true)? else { return Err((Code::Empty, 1)) };
    let names: Vec<&[u8]> = header.iter().map(|name| name.trim_ascii()).collect();
    let column =
        |name: &str| names.iter().position(|n| *n == name.as_bytes()).ok_or((Code::Header, line));
    let (ref_id, kind, content) = (column("ref_id")?, column("type")?, column("content")?);
    let twice = |i: usize| !names[i].is_empty() && names[..i].contains(&names[i]);
    if column("labels").is_ok() || column("error").is_ok() || (0..names.len()).any(twice) {
        return Err((Code::Header, line));
    }
    let (mut rows, mut rejected, mut seen) = (0, Vec::new(), HashSet::new());
    while let Some((line, fields, _)) = file.row(blanks)? {
        rows += 1;
        if fields.len() != names.len() {
            return Err((Code::Fields, line));
        }
        if fields[ref_id].trim_ascii().is_empty() {
            rejected.push((Code::RefId, line));
        } else if fields[kind].trim_ascii() != b"text" {
            rejected.push((Code::Type, line));
        } else if fields[content].trim_ascii().is_empty() {
            rejected.push((Code::Content, line));
        } else if !seen.insert(fields[ref_id].trim_ascii().to_vec()) {
            rejected.push((Code::RefId, line));
        }
    }
    if rows == 0 { Err((Code::Empty, 1)) } else { Ok(rejected) }
}

/// The check under test, in the reference's words.
fn checked(file: &[u8], chunk: usize) -> Result<Vec<Place>, Place> {
    let taken = support::check_by(Rules::One, file, chunk, PartLimits::default())
        .map_err(|refusal| (refusal.error.code, refusal.error.line))?;
    Ok(taken.rejected().iter().map(|row| (support::code_of(&row.code), row.line)).collect())
}

/// Files: most with a header that can be read, then pieces that are more often sound than chance
/// would have it.
fn files() -> impl Strategy<Value = Vec<u8>> {
    let headers: [&[u8]; 9] = [
        b"ref_id,type,content\n",
        b"ref_id,type,content\r\n",
        b"\xef\xbb\xbfref_id,type,content\n",
        b"ref_id, type, content\n",
        b"\nref_id,\t\"type\",content\n",
        b"\"a\n\"\"b\",content,type,ref_id\n",
        b"ref_id,type,content",
        b"ref_id,type,content,type\n",
        b"",
    ];
    let garbage: [&[u8]; 12] = [
        b"\"",
        b"\"\"",
        b",",
        b"\r",
        b"\n",
        b"\r\n",
        b" ",
        b"\t",
        b"a",
        "é".as_bytes(),
        b"\0",
        b"\xff",
    ];
    let sound: [&[u8]; 10] = [
        b"1,text,a\n",
        b"2,text,\"b\n\"\"c\"\"\"\n",
        b"3,\"text\",\r\n",
        b"1, text,d\r\n",
        b"4,image,e\n",
        b"\"a\",text,1,5\n",
        b"text,",
        b"\"a,\nb\"",
        b",\"\"",
        b"\n",
    ];
    let piece = prop_oneof![2 => select(garbage.to_vec()), 3 => select(sound.to_vec())];
    let clean =
        vec(prop_oneof![9 => select(sound[..5].to_vec()), 1 => select(garbage.to_vec())], 1..8);
    (select(headers.to_vec()), prop_oneof![vec(piece, 0..12), clean])
        .prop_map(|(header, pieces)| [header, &pieces.concat()].concat())
}

#[test]
fn the_check_and_the_reference_agree_on_every_file() {
    // Always the same files.
    let config = Config { cases: 4000, failure_persistence: None, ..Config::default() };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let outcomes = RefCell::new(BTreeMap::<&str, u32>::new());
    let agree = |(file, chunk): (Vec<u8>, usize)| {
        let expected = reference(&file);
        prop_assert_eq!(&checked(&file, chunk), &expected, "{:?}", String::from_utf8_lossy(&file));
        let outcome = match &expected {
            Ok(rejected) if rejected.is_empty() => "clean",
            Ok(_) => "with rejected rows",
            Err((code, _)) => code.as_str(),
        };
        *outcomes.borrow_mut().entry(outcome).or_default() += 1;
        Ok(())
    };
    // In one block the rows are read by the index, cut into small ones byte by byte.
    let chunk = prop_oneof![1..40_usize, 40..400_usize, Just(usize::MAX)];
    runner.run(&(files(), chunk), agree).unwrap();
    // That they agree says something only if every outcome came up often.
    let wanted =
        ["clean", "with rejected rows", "E_EMPTY", "E_HEADER", "E_ENCODING", "E_QUOTE", "E_FIELDS"];
    let outcomes = outcomes.into_inner();
    assert!(
        wanted.iter().all(|outcome| outcomes.get(outcome).is_some_and(|n| *n >= 50)),
        "{outcomes:?}"
    );
}
