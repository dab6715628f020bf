//! Which URLs of images are sent, and what is said of the others.

use crate::support::walk::outcome;
use moondrop_shared::csv::rules::Rules;

fn said_of(url: &str) -> Option<String> {
    let file = format!("ref_id,type,content\n1,image_url,\"{url}\"\n");
    let outcome = outcome(Rules::Two, file.as_bytes());
    assert!(outcome.results.contains(url), "the results keep the file's bytes");
    let sent =
        outcome.upload.strip_prefix("1,image_url,").map(|row| row.trim_end().trim_matches('"'));
    match outcome.errors.first() {
        Some(error) => {
            assert_eq!(sent, None);
            let what = error.strip_prefix("E_CONTENT 2: `content` is not the URL of an image: ");
            Some(what.unwrap().to_owned())
        }
        None => {
            assert_eq!(sent, Some(url));
            None
        }
    }
}

#[test]
fn a_public_url_is_sent_as_it_is() {
    for url in [
        "https://a.example/b.jpg",
        "http://a.example",
        "HTTPS://A.EXAMPLE/B.JPG",
        "https://a.example./b.jpg",
        "https://bücher.example/ü.jpg",
        "https://a.example/日本.jpg?q=é",
        "https://a.example:8443/b?x=1,2#f",
        "https://8.8.8.8/b.jpg",
        "https://[2001:4860:4860::8888]/b.jpg",
        "https://a.example/%20b.jpg",
        "https://xn--bcher-kva.example/",
        "https://172.32.0.1/x",
        "https://local.example/x",
        "https://a.example/\u{3000}b.jpg",
    ] {
        assert_eq!(said_of(url), None, "{url}");
    }
}

#[test]
#[rustfmt::skip]
fn a_url_that_cannot_be_fetched_rejects_its_row_in_plain_words() {
    for (url, words) in [
        ("https://a.example/\u{200b}b.jpg", "it has the invisible character U+200B in it"),
        ("https://a.example/b\u{ad}c.jpg", "it has the invisible character U+00AD in it"),
        ("https://a\u{2060}b.example/", "it has the invisible character U+2060 in it"),
        ("http:a.example", "exactly two slashes have to follow http: or https:"),
        ("https:/a.example/x", "exactly two slashes have to follow http: or https:"),
        ("https:///a.example/x", "exactly two slashes have to follow http: or https:"),
        ("https:\\\\a.example\\b", "exactly two slashes have to follow http: or https:"),
        ("https://a.example\\b", "it has a backslash in it, in place of a slash"),
        ("https://user@a.example/", "it has a user name or a password in it"),
        ("https://u:p@a.example/", "it has a user name or a password in it"),
        ("https://a.example/%zz", "it has a `%` without two hex digits after it"),
        ("https://a.example/<b>", "it has a character that a URL cannot have, such as a quote, a bracket or a vertical bar: write it percent-encoded"),
        ("https://a.example/a|b", "it has a character that a URL cannot have, such as a quote, a bracket or a vertical bar: write it percent-encoded"),
        ("https://a.example/x?a[]=1", "it has a character that a URL cannot have, such as a quote, a bracket or a vertical bar: write it percent-encoded"),
        ("https://a.example/#a#b", "it has a character that a URL cannot have, such as a quote, a bracket or a vertical bar: write it percent-encoded"),
        ("https://a..example/", "its host has two dots in a row, or begins or ends with one"),
        ("https://a.example../x", "its host has two dots in a row, or begins or ends with one"),
        ("https://localhost../x", "its host has two dots in a row, or begins or ends with one"),
        ("http://127.0.0.1../x", "its host has two dots in a row, or begins or ends with one"),
        ("https://./x", "its host has two dots in a row, or begins or ends with one"),
        ("https://.example/x", "its host has two dots in a row, or begins or ends with one"),
        ("https://example/x", "its host has no dot: it is no public name"),
        ("https://localhost/x", "its host is a name within a private network"),
        ("https://LOCALHOST./x", "its host is a name within a private network"),
        ("https://a.localhost/x", "its host is a name within a private network"),
        ("https://nas.local/x", "its host is a name within a private network"),
        ("https://api.internal/x", "its host is a name within a private network"),
        ("http://10.1.2.3/x", "its host is a private, loopback or link-local address"),
        ("http://172.16.0.1/x", "its host is a private, loopback or link-local address"),
        ("http://192.168.0.1/x", "its host is a private, loopback or link-local address"),
        ("http://127.0.0.1:8080/x", "its host is a private, loopback or link-local address"),
        ("http://169.254.169.254/latest", "its host is a private, loopback or link-local address"),
        ("http://0.0.0.0/x", "its host is a private, loopback or link-local address"),
        ("http://[::1]/x", "its host is a private, loopback or link-local address"),
        ("http://[::]/x", "its host is a private, loopback or link-local address"),
        ("http://[fe80::1]/x", "its host is a private, loopback or link-local address"),
        ("http://[fd00::1]/x", "its host is a private, loopback or link-local address"),
        ("http://[::ffff:10.0.0.1]/x", "its host is a private, loopback or link-local address"),
        ("http://2130706433/x", "its host is a private, loopback or link-local address"),
        ("http://1/x", "its host is a number and not a name, or an address that is not written as four numbers"),
        ("http://0x7f.1/x", "its host is a private, loopback or link-local address"),
        ("http://010.8.8.8/x", "its host is a number and not a name, or an address that is not written as four numbers"),
        ("ftp://a.example/x", "it begins with neither http:// nor https://"),
        ("data:image/png;base64,aaaa", "it begins with neither http:// nor https://"),
        ("www.a.example/x", "it begins with neither http:// nor https://"),
        ("//a.example/x", "it begins with neither http:// nor https://"),
        ("https://", "it names no host"),
        ("https://a.example:99999/", "its port is not a number up to 65535"),
        ("https://256.1.1.1/", "its host looks like an IPv4 address and is none"),
        ("https://[::zz]/", "its host is not an IPv6 address"),
        ("https://a b.example/", "it has spaces or newlines in it"),
        ("https://a.example/a b", "it has spaces or newlines in it"),
        ("https://a.example/\u{1}x", "it has a character that a URL cannot have, such as a quote, a bracket or a vertical bar: write it percent-encoded"),
        ("https://xn--/", "its host is not a valid international name"),
    ] {
        assert_eq!(said_of(url).as_deref(), Some(words), "{url}");
    }
}
