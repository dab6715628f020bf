//! Which URLs of images are sent: those that the API can be expected to fetch.

use super::text::{code_point, is_invisible};
use std::cell::Cell;
use url::{Host, ParseError, SyntaxViolation, Url};

/// The longest image URL, in bytes: more than browsers and servers accept. Our limit, not the
/// API's.
pub const MAX_IMAGE_URL_BYTES: usize = 8 * 1024;

/// What the first rules say of a URL; `None` if it is sent.
pub(super) fn first_rules(content: &[u8]) -> Result<(), String> {
    let text = text(content)?;
    // The error of `Url` names a kind of error, never the URL.
    let url = Url::parse(text).map_err(|e| e.to_string())?;
    match url.scheme() {
        "http" | "https" if url.host_str().is_some_and(|h| !h.is_empty()) => Ok(()),
        "http" | "https" => Err(NO_HOST.to_owned()),
        _ => Err(NOT_HTTP.to_owned()),
    }
}

const NO_HOST: &str = "it names no host";
const NOT_HTTP: &str = "it begins with neither http:// nor https://";

fn text(content: &[u8]) -> Result<&str, String> {
    if content.len() > MAX_IMAGE_URL_BYTES {
        return Err(format!(
            "it is {} bytes long; at most {MAX_IMAGE_URL_BYTES} are allowed",
            content.len()
        ));
    }
    // The scanner accepts only UTF-8.
    let text = std::str::from_utf8(content).map_err(|_| "it is not UTF-8".to_owned())?;
    if text.bytes().any(|b| b.is_ascii_whitespace()) {
        return Err("it has spaces or newlines in it".to_owned());
    }
    Ok(text)
}

/// What is wrong with a URL, by the URL standard and by what a public host is; no DNS is asked.
pub(super) fn check(content: &[u8]) -> Result<(), String> {
    if is_usual(content) {
        return Ok(());
    }
    check_by_standard(content)
}

/// Whether it is a URL of the most usual kind, such as `https://img.example.com/u/1.jpg`, with which
/// the standard finds nothing wrong: finding nothing takes it most of the check of a row.
fn is_usual(content: &[u8]) -> bool {
    let rest = content.strip_prefix(b"https://").or_else(|| content.strip_prefix(b"http://"));
    let Some(rest) = rest.filter(|_| content.len() <= MAX_IMAGE_URL_BYTES) else { return false };
    let slash = memchr::memchr(b'/', rest).unwrap_or(rest.len());
    let (host, path) = rest.split_at(slash);
    let mut labels = host.split(|byte| *byte == b'.');
    let (Some(last), true) = (labels.next_back(), host.len() <= 253) else { return false };
    let mut others = 0;
    let are_plain = labels.all(|label| {
        others += 1;
        label.len() <= 63
            && label.first().is_some_and(is_lower_or_digit)
            && label.last().is_some_and(is_lower_or_digit)
            && label.iter().all(|byte| is_lower_or_digit(byte) || *byte == b'-')
            && !label.starts_with(b"xn--")
    });
    // A name that ends in a number may be an address, and some names are private.
    are_plain
        && others > 0
        && (2..=63).contains(&last.len())
        && last.iter().all(u8::is_ascii_lowercase)
        && !PRIVATE_NAMES.iter().any(|name| name.as_bytes() == last)
        && path.iter().all(is_plain_byte)
}

const PRIVATE_NAMES: [&str; 3] = ["localhost", "local", "internal"];

fn is_lower_or_digit(byte: &u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

fn check_by_standard(content: &[u8]) -> Result<(), String> {
    let text = text(content)?;
    if !text.is_ascii()
        && let Some(c) = text.chars().find(|c| is_invisible(*c))
    {
        return Err(format!("it has the invisible character {} in it", code_point(c)));
    }
    let violation = Cell::new(None);
    let note = |found| {
        // Non-ASCII characters are common in paths and queries, and are sent as they are.
        if found != SyntaxViolation::NonUrlCodePoint || has_other_ascii(text) {
            violation.set(violation.get().or(Some(found)));
        }
    };
    let url = if is_plain(text) {
        Url::parse(text)
    } else {
        Url::options().syntax_violation_callback(Some(&note)).parse(text)
    };
    let url = url.map_err(|error| parse_error(error).to_owned())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(NOT_HTTP.to_owned());
    }
    if let Some(violation) = violation.get() {
        return Err(words(violation).to_owned());
    }
    match url.host() {
        None => Err(NO_HOST.to_owned()),
        Some(host) => check_host(&host, text).map_err(str::to_owned),
    }
}

fn check_host(host: &Host<&str>, text: &str) -> Result<(), &'static str> {
    const PRIVATE: &str = "its host is a private, loopback or link-local address";
    match host {
        Host::Ipv4(address) => {
            let is_written = text
                .split(['/', '?', '#'])
                .nth(2)
                .is_some_and(|authority| authority.split(':').next() == Some(&address.to_string()));
            if address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
            {
                Err(PRIVATE)
            } else if !is_written {
                Err(
                    "its host is a number and not a name, or an address that is not written as four numbers",
                )
            } else {
                Ok(())
            }
        }
        Host::Ipv6(address) => match address.to_ipv4_mapped() {
            Some(mapped) if mapped.is_private() || mapped.is_loopback() => Err(PRIVATE),
            Some(mapped) if mapped.is_link_local() || mapped.is_unspecified() => Err(PRIVATE),
            None if address.is_loopback()
                || address.is_unspecified()
                || address.is_unique_local()
                || address.is_unicast_link_local() =>
            {
                Err(PRIVATE)
            }
            _ => Ok(()),
        },
        Host::Domain(name) => {
            // A dot at the end is the root's.
            let name = name.strip_suffix('.').unwrap_or(name);
            let last = name.rsplit('.').next().unwrap_or_default();
            if name.split('.').any(str::is_empty) {
                Err("its host has two dots in a row, or begins or ends with one")
            } else if PRIVATE_NAMES.contains(&last) {
                Err("its host is a name within a private network")
            } else if !name.contains('.') {
                Err("its host has no dot: it is no public name")
            } else {
                Ok(())
            }
        }
    }
}

/// Whether nothing in it can violate the syntax, as in most URLs: looking for violations takes as
/// long again.
fn is_plain(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.starts_with('/') && rest.as_bytes().iter().all(is_plain_byte))
}

fn is_plain_byte(byte: &u8) -> bool {
    static PLAIN: [bool; 256] = {
        let (mut plain, mut byte) = ([false; 256], 0);
        while byte < 256 {
            plain[byte] = (byte as u8).is_ascii_alphanumeric()
                || matches!(
                    byte as u8,
                    b'-' | b'.' | b'_' | b'~' | b'/' | b'?' | b'=' | b'&' | b'+' | b',' | b':'
                );
            byte += 1;
        }
        plain
    };
    PLAIN[usize::from(*byte)]
}

/// Whether an ASCII character stands after the host where the URL standard has none.
fn has_other_ascii(text: &str) -> bool {
    let host = text.find("://").map_or(0, |at| at + 3);
    let rest = text[host..].find(['/', '?', '#']).map_or("", |at| &text[host + at..]);
    let other = |c: char| {
        c.is_ascii_control()
            || matches!(c, ' ' | '"' | '<' | '>' | '[' | '\\' | ']' | '^' | '`' | '{' | '|' | '}')
    };
    rest.contains(other) || rest.matches('#').count() > 1
}

fn parse_error(error: ParseError) -> &'static str {
    match error {
        ParseError::EmptyHost => NO_HOST,
        ParseError::InvalidPort => "its port is not a number up to 65535",
        ParseError::InvalidIpv4Address => "its host looks like an IPv4 address and is none",
        ParseError::InvalidIpv6Address => "its host is not an IPv6 address",
        ParseError::InvalidDomainCharacter => "its host has a character that no host name has",
        ParseError::IdnaError => "its host is not a valid international name",
        _ => NOT_HTTP,
    }
}

fn words(violation: SyntaxViolation) -> &'static str {
    match violation {
        SyntaxViolation::Backslash => "it has a backslash in it, in place of a slash",
        SyntaxViolation::C0SpaceIgnored => "it has a control character at one of its ends",
        SyntaxViolation::EmbeddedCredentials => "it has a user name or a password in it",
        SyntaxViolation::ExpectedDoubleSlash => {
            "exactly two slashes have to follow http: or https:"
        }
        SyntaxViolation::PercentDecode => "it has a `%` without two hex digits after it",
        SyntaxViolation::TabOrNewlineIgnored => "it has spaces or newlines in it",
        SyntaxViolation::UnencodedAtSign => "it has an `@` in a user name or a password",
        _ => {
            "it has a character that a URL cannot have, such as a quote, a bracket or a vertical bar: write it percent-encoded"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_usual_url_is_one_by_the_standard_too(
            host in "[a-z0-9.-]{0,12}(\\.[a-z0-9]{1,4}|localhost|\\.local|xn--|\\.internal)?",
            path in "(/[a-zA-Z0-9._~/?=&+,:%@#-]{0,12})?",
            scheme in "https?://",
        ) {
            let url = format!("{scheme}{host}{path}");
            if is_usual(url.as_bytes()) {
                prop_assert_eq!(check_by_standard(url.as_bytes()), Ok(()), "{}", url);
                prop_assert!(first_rules(url.as_bytes()).is_ok());
            }
        }
    }

    #[test]
    fn what_must_be_looked_at_is_not_usual() {
        let usual =
            ["https://img1.example.com/u/1.jpg", "http://a-b.c1.io", "https://x.io/a?b=c,d"];
        for url in usual {
            assert!(is_usual(url.as_bytes()), "{url}");
        }
        let others = [
            "https://example/1.jpg",
            "https://10.0.0.1/1.jpg",
            "https://1.2.3.0x4/",
            "https://a.local/",
            "https://a.localhost/",
            "https://a..io/",
            "https://.io/",
            "https://xn--a.io/",
            "https://user@x.io/",
            "https://x.io:80/",
            "https://x.io./",
            "https://X.io/",
            "https:///x.io/",
            "https://x.io/%zz",
            "https://x.io?a",
            "ftp://x.io/",
        ];
        for url in others {
            assert!(!is_usual(url.as_bytes()), "{url}");
        }
        let long = format!("https://x.io/{}", "a".repeat(MAX_IMAGE_URL_BYTES));
        assert!(!is_usual(long.as_bytes()));
    }
}
