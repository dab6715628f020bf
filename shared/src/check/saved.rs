//! The state of a check that goes on in another process: saved while a file is read, and read back
//! by a checker that goes on where it was saved.
//!
//! What grows with the file is saved in segments, each with what came since the one before, so that
//! a save costs what was read since the last one. The rest is small: the [`CheckState`]. A checker
//! that goes on finds the same as one that read the whole file, to the byte.
//!
//! ```text
//! checker ──unsaved()──▶ segments: hashes, candidates, first lines, parts   ──restore()──▶ checker
//!         └─state()────▶ place, counts, errors, notices, the last part      ──resume()───▶
//! ```

use super::checker::{Checker, Saved};
use super::invisible_ids::InvisibleIds;
use super::notices::Notices;
use super::refusal::Errors;
use super::rows::Pass;
use crate::check::duplicates::{Candidates, Duplicates};
use crate::csv::error::InputError;
use crate::csv::header::{Header, separator};
use crate::csv::mapping::Mapping;
use crate::csv::rules::Rules;
use crate::csv::scan::Scanner;
use crate::plan::{PartLimits, PlannedPart};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// The form of what is saved here. A state of another form is not read: the check begins again.
const FORM: u32 = 1;
/// Hashes in a segment: 4 MiB.
const HASHES: usize = 512 * 1024;
/// The first lines of duplicates in a segment; each has a `ref_id` of at most 1,024 bytes.
const FIRST_LINES: usize = 8 * 1024;
/// Parts in a segment, each some 200 bytes.
const PARTS: usize = 16 * 1024;

/// A place between two rows, in one of the readings of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// 1, or 2 where the file is read a second time.
    pub pass: u8,
    /// The offset of the next row in bytes.
    pub offset: u64,
    /// Its line.
    pub line: u64,
}

/// What a segment has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentKind {
    /// Hashes of `ref_id`s, in the first pass.
    Hashes,
    /// The hashes that several rows have, for the second pass.
    Candidates,
    /// The `ref_id`s with such a hash, and the first line of each.
    FirstLines,
    /// Parts whose end is certain.
    Parts,
    /// Bytes of `rejected.csv`, which the checker returned and does not need again.
    Rejections,
}

impl SegmentKind {
    /// Its name in keys.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SegmentKind::Hashes => "hashes",
            SegmentKind::Candidates => "candidates",
            SegmentKind::FirstLines => "first-lines",
            SegmentKind::Parts => "parts",
            SegmentKind::Rejections => "rejections",
        }
    }
}

/// What came since the last save, in some megabytes at most.
#[derive(Debug)]
pub struct Segment {
    /// What it has.
    pub kind: SegmentKind,
    /// See [`Checker::restore`].
    pub bytes: Vec<u8>,
}

/// All of a check's state that is in no segment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckState {
    form: u32,
    rules: Rules,
    limits: PartLimits,
    /// Where the check goes on.
    pub place: Place,
    header: String,
    rows: u64,
    rejected: u64,
    rejected_at: u64,
    last_part: Option<PlannedPart>,
    errors: Errors,
    notices: Notices,
    ctrl_z: Option<InputError>,
    invisible_ids: Option<InvisibleIds>,
}

impl Checker {
    /// Where another checker could go on; `None` before the rows, and for a moment after an error.
    #[must_use]
    pub fn place(&self) -> Option<Place> {
        self.body.header.as_ref()?;
        let (offset, line) = self.scanner.position()?;
        let pass = match self.body.pass {
            Pass::First(..) => 1,
            Pass::Second(_) => 2,
        };
        Some(Place { pass, offset, line })
    }

    /// The state at [`Checker::place`].
    #[must_use]
    pub fn state(&self) -> Option<CheckState> {
        let body = &self.body;
        Some(CheckState {
            form: FORM,
            rules: body.rules,
            limits: body.limits,
            place: self.place()?,
            header: body.header.as_ref()?.line(),
            rows: body.planner.rows,
            rejected: body.planner.rejected,
            rejected_at: body.planner.rejected_at,
            last_part: body.planner.parts.last().cloned(),
            errors: body.errors.clone(),
            notices: body.notices.clone(),
            ctrl_z: body.ctrl_z.clone(),
            invisible_ids: match &body.pass {
                Pass::First(_, invisible) => Some(invisible.clone()),
                Pass::Second(_) => None,
            },
        })
    }

    /// The segments with what came since [`Checker::mark_saved`], one after the other.
    pub fn unsaved(&self) -> impl Iterator<Item = Segment> + Send + '_ {
        let parts = &self.body.planner.parts;
        let ended = &parts[self.saved.parts..parts.len().saturating_sub(1).max(self.saved.parts)];
        let parts = ended.chunks(PARTS).map(|parts| Segment {
            kind: SegmentKind::Parts,
            // Numbers only: there is nothing in it that JSON could not take.
            bytes: serde_json::to_vec(parts).unwrap_or_default(),
        });
        let (hashes, duplicates) = match &self.body.pass {
            Pass::First(hashes, _) => (Some(hashes.hashes().unsaved()), None),
            Pass::Second(duplicates) => (None, Some(duplicates)),
        };
        let candidates = duplicates.filter(|_| !self.saved.candidates);
        let candidates =
            candidates.into_iter().flat_map(|all| all.candidates.hashes.iter().copied());
        segments_of(SegmentKind::Hashes, hashes.into_iter().flatten())
            .chain(segments_of(SegmentKind::Candidates, candidates))
            .chain(duplicates.into_iter().flat_map(|duplicates| self.first_lines(duplicates)))
            .chain(parts)
    }

    /// The first lines of duplicates since the last save, in the order of the file.
    fn first_lines<'a>(&self, duplicates: &'a Duplicates) -> impl Iterator<Item = Segment> + 'a {
        let since = self.saved.line;
        let new = duplicates.first_line.iter().filter(|(_, line)| **line >= since);
        let mut new: Vec<(&[u8], u64)> = new.map(|(id, line)| (&**id, *line)).collect();
        new.sort_unstable_by_key(|(_, line)| *line);
        let mut new = new.into_iter().peekable();
        std::iter::from_fn(move || {
            new.peek()?;
            let mut bytes = Vec::new();
            for (ref_id, line) in new.by_ref().take(FIRST_LINES) {
                bytes.extend_from_slice(&line.to_le_bytes());
                bytes.extend_from_slice(&(ref_id.len() as u64).to_le_bytes());
                bytes.extend_from_slice(ref_id);
            }
            Some(Segment { kind: SegmentKind::FirstLines, bytes })
        })
    }

    /// The state and all segments so far are saved.
    pub fn mark_saved(&mut self) {
        let Some(place) = self.place() else { return };
        if let Pass::First(hashes, _) = &mut self.body.pass {
            hashes.hashes_mut().mark_saved();
        }
        let parts = self.body.planner.parts.len().saturating_sub(1);
        self.saved = Saved { parts, line: place.line, candidates: place.pass == 2 };
    }

    /// A checker that goes on at a saved place, once all segments are restored; `None` if the state
    /// is of other rules or limits, or of a release that saves another one.
    ///
    /// # Errors
    /// If the header cannot be read, which was read before.
    pub fn resume(
        state: CheckState,
        rules: Rules,
        limits: PartLimits,
        mapping: Option<Mapping>,
    ) -> Result<Option<Self>> {
        if (state.form, state.rules, state.limits) != (FORM, rules, limits) {
            return Ok(None);
        }
        let header = Header::parse_mapped(&state.header, rules, mapping.as_ref())
            .context("read the saved header")?;
        let Place { pass, offset, line } = state.place;
        let pass = match (pass, state.invisible_ids) {
            (1, Some(invisible)) => Pass::First(Default::default(), invisible),
            _ => Pass::Second(Duplicates::of(Candidates::default())),
        };
        let mut scanner = Scanner::new(offset, line, header.skip_spaces);
        scanner.set_rules(rules);
        scanner.set_separator(separator(mapping.as_ref()));
        let mut checker = Checker::for_pass(rules, limits, pass).mapped(mapping);
        (checker.scanner, checker.head) = (scanner, None);
        let body = &mut checker.body;
        body.header = Some(header);
        (body.errors, body.notices, body.ctrl_z) = (state.errors, state.notices, state.ctrl_z);
        let planner = &mut body.planner;
        (planner.rows, planner.rejected) = (state.rows, state.rejected);
        planner.rejected_at = state.rejected_at;
        planner.parts.extend(state.last_part);
        Ok(Some(checker))
    }

    /// Takes a segment that was saved, in the order of the segments.
    ///
    /// # Errors
    /// If it is not what was saved.
    pub fn restore(&mut self, kind: SegmentKind, bytes: &[u8]) -> Result<()> {
        match (kind, &mut self.body.pass) {
            (SegmentKind::Hashes, Pass::First(hashes, _)) => {
                hashes_in(bytes)?.for_each(|hash| hashes.hashes_mut().insert(hash));
            }
            (SegmentKind::Candidates, Pass::Second(duplicates)) => {
                duplicates.candidates.hashes.extend(hashes_in(bytes)?);
            }
            (SegmentKind::FirstLines, Pass::Second(duplicates)) => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    let (line, length) = (number(&mut rest)?, number(&mut rest)?);
                    let ref_id =
                        usize::try_from(length).ok().and_then(|n| rest.split_at_checked(n));
                    let (ref_id, after) = ref_id.context("a saved `ref_id` is cut off")?;
                    duplicates.first_line.insert(ref_id.into(), line);
                    rest = after;
                }
            }
            (SegmentKind::Parts, _) => {
                let ended: Vec<PlannedPart> =
                    serde_json::from_slice(bytes).context("read the saved parts")?;
                let parts = &mut self.body.planner.parts;
                let last = parts.pop();
                parts.extend(ended);
                parts.extend(last);
            }
            (SegmentKind::Rejections, _) => {}
            (kind, _) => bail!("a segment of {} is of another pass", kind.as_str()),
        }
        Ok(())
    }
}

fn segments_of(
    kind: SegmentKind,
    hashes: impl Iterator<Item = u64>,
) -> impl Iterator<Item = Segment> {
    let mut hashes = hashes.peekable();
    std::iter::from_fn(move || {
        hashes.peek()?;
        let mut bytes = Vec::new();
        hashes.by_ref().take(HASHES).for_each(|hash| bytes.extend_from_slice(&hash.to_le_bytes()));
        Some(Segment { kind, bytes })
    })
}

fn hashes_in(bytes: &[u8]) -> Result<impl Iterator<Item = u64>> {
    let (hashes, rest) = bytes.as_chunks();
    if !rest.is_empty() {
        bail!("the saved hashes are cut off");
    }
    Ok(hashes.iter().map(|hash| u64::from_le_bytes(*hash)))
}

fn number(bytes: &mut &[u8]) -> Result<u64> {
    let (number, rest) = bytes.split_first_chunk().context("a saved number is cut off")?;
    *bytes = rest;
    Ok(u64::from_le_bytes(*number))
}
