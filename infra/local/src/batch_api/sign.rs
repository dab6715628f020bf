//! Pre-signed URLs, in the shape and with the refusals of S3's.
//!
//! Path and query are signed, the host is not: a URL handed out before a restart stays good on
//! another port.

use super::clock::later;
use crate::files::write_whole;
use anyhow::Context;
use hmac::{Hmac, KeyInit, Mac};
use http::{Method, Uri};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use sha2::Sha256;
use std::path::Path;
use url::form_urlencoded;

/// Upload and output URLs are good for 4 hours, as the Batch API's documentation says.
const GOOD_FOR: SignedDuration = SignedDuration::from_hours(4);
const DATE: &str = "%Y%m%dT%H%M%SZ";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SIGNATURE: &str = "X-Amz-Signature";

/// Why a URL is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It carries no signature.
    Unsigned,
    /// A part of its signature cannot be read.
    Malformed,
    /// It has expired.
    Expired,
    /// The signature is of another method, path or query.
    Mismatch,
}

pub(super) struct Signer {
    mac: Hmac<Sha256>,
}

impl Signer {
    /// Uses the secret kept in `dir`, or creates one there.
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        let file = dir.join("signing-secret");
        let secret = match std::fs::read(&file) {
            Ok(secret) => secret,
            Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => {
                // Guards against mistakes, not against attackers: what it protects never leaves
                // this machine.
                let secret =
                    format!("{:032x}{:032x}", fastrand::u128(..), fastrand::u128(..)).into_bytes();
                write_whole(&file, &secret)
                    .with_context(|| format!("writing {}", file.display()))?;
                secret
            }
            Err(other) => return Err(other).with_context(|| format!("reading {}", file.display())),
        };
        let mac = Hmac::new_from_slice(&secret).context("the signing secret cannot be used")?;
        Ok(Self { mac })
    }

    /// `path` with a query that allows `method` on it for 4 hours from now. No two are alike.
    pub(super) fn sign(&self, method: &Method, path: &str, now: Timestamp) -> String {
        let date = now.strftime(DATE).to_string();
        let day = date.split('T').next().unwrap_or_default();
        let mut pairs = vec![
            ("X-Amz-Algorithm".to_owned(), ALGORITHM.to_owned()),
            ("X-Amz-Credential".to_owned(), format!("SANDBOX/{day}/us-east-1/s3/aws4_request")),
            ("X-Amz-Date".to_owned(), date),
            ("X-Amz-Expires".to_owned(), GOOD_FOR.as_secs().to_string()),
            // S3 has one whenever a role signs. Here it also tells apart two URLs of the same
            // second.
            ("X-Amz-Security-Token".to_owned(), format!("{:032x}", fastrand::u128(..))),
            ("X-Amz-SignedHeaders".to_owned(), "host".to_owned()),
        ];
        let signature = hex::encode(self.mac_of(method, path, &mut pairs).finalize().into_bytes());
        format!("{path}?{}&{SIGNATURE}={signature}", query_of(&pairs))
    }

    /// Whether this request is one that was signed, and in time. S3 looks at the time first.
    pub(super) fn check(&self, method: &Method, url: &Uri, now: Timestamp) -> Result<(), Refused> {
        let (signatures, mut pairs): (Vec<_>, Vec<_>) =
            form_urlencoded::parse(url.query().unwrap_or_default().as_bytes())
                .into_owned()
                .partition(|(name, _)| name == SIGNATURE);
        let [(_, signature)] = signatures.as_slice() else {
            return Err(Refused::Unsigned);
        };
        let value = |name: &str| {
            let found = pairs.iter().find(|(candidate, _)| candidate == name);
            found.map(|(_, value)| value.as_str()).ok_or(Refused::Malformed)
        };
        if value("X-Amz-Algorithm")? != ALGORITHM {
            return Err(Refused::Malformed);
        }
        let from = DateTime::strptime(DATE, value("X-Amz-Date")?)
            .and_then(|date| date.to_zoned(TimeZone::UTC))
            .map_err(|_| Refused::Malformed)?
            .timestamp();
        let seconds: u32 = value("X-Amz-Expires")?.parse().map_err(|_| Refused::Malformed)?;
        if later(from, SignedDuration::from_secs(seconds.into())) <= now {
            return Err(Refused::Expired);
        }
        let signature = hex::decode(signature).map_err(|_| Refused::Mismatch)?;
        self.mac_of(method, url.path(), &mut pairs)
            .verify_slice(&signature)
            .map_err(|_| Refused::Mismatch)
    }

    fn mac_of(&self, method: &Method, path: &str, pairs: &mut [(String, String)]) -> Hmac<Sha256> {
        // A client may reorder the query, as it may with S3.
        pairs.sort();
        let mut mac = self.mac.clone();
        mac.update(format!("{method}\n{path}\n{}", query_of(pairs)).as_bytes());
        mac
    }
}

fn query_of(pairs: &[(String, String)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn check(signer: &Signer, method: Method, url: &str, now: Timestamp) -> Result<(), Refused> {
        signer.check(&method, &url.parse().unwrap(), now)
    }

    #[test]
    fn honours_only_what_it_signed() {
        let dir = tempfile::tempdir().unwrap();
        let signer = Signer::open(dir.path()).unwrap();
        let url = signer.sign(&Method::PUT, "/upload/a", NOW);
        assert_eq!(check(&signer, Method::PUT, &url, NOW), Ok(()));

        let other_path = url.replace("/upload/a", "/upload/b");
        let longer = url.replace("Expires=14400", "Expires=99999");
        let more = format!("{url}&x=1");
        let not_hex = format!("{url}zz");
        for changed in [other_path, longer, more, not_hex] {
            assert_eq!(check(&signer, Method::PUT, &changed, NOW), Err(Refused::Mismatch));
        }
        assert_eq!(check(&signer, Method::GET, &url, NOW), Err(Refused::Mismatch));
        assert_eq!(check(&signer, Method::PUT, "/upload/a", NOW), Err(Refused::Unsigned));
        let garbled = url.replace("X-Amz-Date=1", "X-Amz-Date=x");
        assert_eq!(check(&signer, Method::PUT, &garbled, NOW), Err(Refused::Malformed));
    }

    #[test]
    fn honours_a_reordered_query_and_a_reopened_secret() {
        let dir = tempfile::tempdir().unwrap();
        let url = Signer::open(dir.path()).unwrap().sign(&Method::PUT, "/upload/a", NOW);
        let (path, query) = url.split_once('?').unwrap();
        let mut parts: Vec<&str> = query.split('&').collect();
        parts.reverse();
        let url = format!("{path}?{}", parts.join("&"));
        let reopened = Signer::open(dir.path()).unwrap();
        assert_eq!(check(&reopened, Method::PUT, &url, NOW), Ok(()));
    }

    #[test]
    fn is_good_for_four_hours() {
        let dir = tempfile::tempdir().unwrap();
        let signer = Signer::open(dir.path()).unwrap();
        let url = signer.sign(&Method::GET, "/download/a", NOW);
        let end = later(NOW, GOOD_FOR);
        assert_eq!(
            check(&signer, Method::GET, &url, later(end, -SignedDuration::from_secs(1))),
            Ok(())
        );
        assert_eq!(check(&signer, Method::GET, &url, end), Err(Refused::Expired));
    }

    #[test]
    fn no_two_are_alike() {
        let dir = tempfile::tempdir().unwrap();
        let signer = Signer::open(dir.path()).unwrap();
        let [one, two] = [(); 2].map(|()| signer.sign(&Method::GET, "/download/a", NOW));
        assert_ne!(one, two);
    }
}
