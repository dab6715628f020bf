//! Whole files: those of public reports, and our own of the same kinds. Each is checked, uploaded and
//! joined in pieces and parts of several sizes, and it makes no difference.

mod cases;
mod image_urls;
mod refused;
mod taken;

use crate::support::walk::{Outcome, outcome};
use moondrop_shared::csv::rules::Rules;

/// A file's name, its bytes, and its errors, each as `CODE line: message`.
type Refused = (&'static str, &'static [u8], &'static [&'static str]);

fn assert_refused(files: &[Refused]) {
    for (name, file, errors) in files {
        let outcome = outcome(Rules::Two, file);
        assert_eq!(outcome.errors, *errors, "{name}");
        assert!(outcome.results.is_empty(), "{name}: it is taken");
        assert!(!outcome.errors.concat().contains("secret"), "{name}: a message has content");
    }
}

/// A file, and what comes of it.
struct Taken {
    name: &'static str,
    file: &'static [u8],
    rejected: &'static [&'static str],
    notices: &'static [&'static str],
    upload: &'static str,
    results: &'static str,
}

fn assert_taken(files: &[Taken]) {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    for taken in files {
        let expected = Outcome {
            errors: owned(taken.rejected),
            notices: owned(taken.notices),
            upload: taken.upload.to_owned(),
            results: taken.results.to_owned(),
        };
        assert_eq!(outcome(Rules::Two, taken.file), expected, "{}", taken.name);
    }
}
