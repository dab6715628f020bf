//! Whether a returned text is the one that was sent, also where neither can be kept.
//!
//! Both texts are normalised to NFKC, case-folded, and stripped of white space. They are equal if
//! one is then a prefix of the other, since an API may return a truncated text. Of the returned
//! text, the length, a hash and the first bytes are kept: exact if it is at most as long as the
//! sent text; if it is longer, its first [`HEAD`] bytes are compared.

use icu_casemap::{CaseMapper, CaseMapperBorrowed};
use icu_normalizer::{ComposingNormalizer, ComposingNormalizerBorrowed};
use std::fmt::{self, Write};
use xxhash_rust::xxh3::Xxh3;

/// How many bytes of a text are kept.
const HEAD: usize = 32;

const NFKC: ComposingNormalizerBorrowed<'static> = ComposingNormalizer::new_nfkc();
const CASE: CaseMapperBorrowed<'static> = CaseMapper::new();

/// What is kept of a returned text. Lengths are in bytes of the normalised text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fingerprint {
    length: u64,
    hash: u128,
    head: [u8; HEAD],
}

impl Fingerprint {
    /// `None` for a text that is only white space: it is not compared.
    pub(super) fn of(text: &str) -> Option<Self> {
        let digest = Digest::of(text, u64::MAX);
        (digest.length > 0).then(|| Fingerprint {
            length: digest.length,
            hash: digest.hash.digest128(),
            head: digest.head,
        })
    }

    /// Whether it is the text that was sent.
    pub(super) fn matches(&self, sent: &str) -> bool {
        let sent = Digest::of(sent, self.length);
        if sent.length == self.length {
            return sent.hash.digest128() == self.hash;
        }
        let head = (sent.length as usize).min(HEAD);
        self.head[..head] == sent.head[..head]
    }
}

/// The first `limit` bytes of a normalised text, hashed.
struct Digest {
    limit: u64,
    length: u64,
    hash: Xxh3,
    head: [u8; HEAD],
    /// Bytes that are not hashed yet: hashing them one by one would take most of the time.
    buffer: [u8; 256],
    buffered: usize,
}

impl Digest {
    fn of(text: &str, limit: u64) -> Self {
        let mut digest = Digest {
            limit,
            length: 0,
            hash: Xxh3::new(),
            head: [0; HEAD],
            buffer: [0; 256],
            buffered: 0,
        };
        // The only error is that the limit is reached.
        let _ = if text.is_ascii() {
            digest.write_str(text)
        } else {
            NFKC.normalize_to(text, &mut digest)
        };
        digest.flush();
        digest
    }

    /// Adds the bytes of one case-folded character.
    fn add(&mut self, bytes: &[u8]) -> fmt::Result {
        let bytes = &bytes[..bytes.len().min((self.limit - self.length) as usize)];
        if self.buffered + bytes.len() > self.buffer.len() {
            self.flush();
        }
        self.buffer[self.buffered..self.buffered + bytes.len()].copy_from_slice(bytes);
        self.buffered += bytes.len();
        self.length += bytes.len() as u64;
        if self.length == self.limit { Err(fmt::Error) } else { Ok(()) }
    }

    fn flush(&mut self) {
        let bytes = &self.buffer[..self.buffered];
        // The first flush has all bytes of the head: only the last flush can have fewer than HEAD.
        if self.length == self.buffered as u64 {
            let head = bytes.len().min(HEAD);
            self.head[..head].copy_from_slice(&bytes[..head]);
        }
        self.hash.update(bytes);
        self.buffered = 0;
    }
}

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| self.write_char(c))
    }

    fn write_char(&mut self, c: char) -> fmt::Result {
        if c.is_whitespace() {
            return Ok(());
        }
        if c.is_ascii() {
            return self.add(&[c.to_ascii_lowercase() as u8]);
        }
        // Full case folding works on one character at a time: `ß` becomes `ss` everywhere.
        self.add(CASE.fold_string(c.encode_utf8(&mut [0; 4])).as_bytes())
    }
}
