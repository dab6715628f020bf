//! What S3 makes of keys in its answers: percent-encoded in listings that ask for it, and escaped in
//! every XML.

use super::objects::Objects;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use url::form_urlencoded::byte_serialize;

impl Objects {
    pub(crate) async fn list(
        &self,
        request: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        let encoded = asks_for_encoding(request.input.encoding_type.as_ref())?;
        let marker = request.input.marker.clone();
        let mut response = self.files().list_objects(request).await?;
        let output = &mut response.output;
        output.marker = marker;
        if encoded {
            encode([
                &mut output.prefix,
                &mut output.delimiter,
                &mut output.marker,
                &mut output.next_marker,
            ]);
            encode_listed(&mut output.contents, &mut output.common_prefixes);
        }
        Ok(response)
    }

    pub(crate) async fn list_v2(
        &self,
        mut request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let encoded = asks_for_encoding(request.input.encoding_type.as_ref())?;
        let token = request.input.continuation_token.take();
        request.input.continuation_token = token.as_deref().map(key_of_token).transpose()?;
        let mut response = self.files().list_objects_v2(request).await?;
        let output = &mut response.output;
        output.continuation_token = token;
        // To `s3s-fs` it is a key; clients pass it on as it is, encoded or not.
        output.next_continuation_token =
            output.next_continuation_token.take().map(|key| URL_SAFE_NO_PAD.encode(key));
        if encoded {
            encode([&mut output.prefix, &mut output.delimiter, &mut output.start_after]);
            encode_listed(&mut output.contents, &mut output.common_prefixes);
        }
        Ok(response)
    }
}

/// Whether a listing is to be percent-encoded. S3 knows one encoding.
fn asks_for_encoding(asked: Option<&EncodingType>) -> S3Result<bool> {
    match asked.map(EncodingType::as_str) {
        None => Ok(false),
        Some(EncodingType::URL) => Ok(true),
        Some(_) => Err(s3_error!(InvalidArgument, "Invalid Encoding Method specified in Request")),
    }
}

fn key_of_token(token: &str) -> S3Result<String> {
    let key = URL_SAFE_NO_PAD.decode(token).ok().and_then(|key| String::from_utf8(key).ok());
    key.ok_or_else(|| s3_error!(InvalidArgument, "The continuation token provided is incorrect"))
}

fn encode_listed(objects: &mut Option<ObjectList>, prefixes: &mut Option<CommonPrefixList>) {
    encode(objects.iter_mut().flatten().map(|object| &mut object.key));
    encode(prefixes.iter_mut().flatten().map(|common| &mut common.prefix));
}

fn encode<'a>(names: impl IntoIterator<Item = &'a mut Option<String>>) {
    for name in names.into_iter().flatten() {
        *name = url_encoded(name);
    }
}

/// As S3 encodes a key: as a form does (a space is `+`, and `*`, `-`, `.` and `_` stay), but with
/// its slashes as they are. AWS's SDKs decode it so.
fn url_encoded(key: &str) -> String {
    let segments = key.split('/').map(|segment| byte_serialize(segment.as_bytes()).collect());
    segments.collect::<Vec<String>>().join("/")
}

/// An answer's XML with each control character as a reference (`&#x1;`), as S3 writes it where a
/// listing is not encoded. XML 1.0 has no place for most of them: some clients read the reference,
/// others refuse it, and as it is the character breaks all of them. `None` if there is nothing to
/// escape.
pub(super) fn escape_controls(answer: &[u8]) -> Option<Bytes> {
    let escaped = |byte: &u8| byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n' | 0x7f);
    if !answer.starts_with(b"<?xml") || !answer.iter().any(escaped) {
        return None;
    }
    let mut xml = Vec::with_capacity(answer.len() + 16);
    for byte in answer {
        if escaped(byte) {
            xml.extend(format!("&#x{byte:x};").bytes());
        } else {
            xml.push(*byte);
        }
    }
    Some(xml.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_encoded_as_s3_does() {
        // The first five as measured on S3, the sixth from its documentation.
        let cases = [
            ("a b.txt", "a+b.txt"),
            ("a+b.txt", "a%2Bb.txt"),
            ("100%.csv", "100%25.csv"),
            ("한글/x.txt", "%ED%95%9C%EA%B8%80/x.txt"),
            ("run books/", "run+books/"),
            ("test_file(3).png", "test_file%283%29.png"),
            ("a%2Fb.csv", "a%252Fb.csv"),
            ("\u{1}\n", "%01%0A"),
        ];
        for (key, encoded) in cases {
            assert_eq!(url_encoded(key), encoded);
        }
    }

    #[test]
    fn control_characters_become_references_in_xml_and_nowhere_else() {
        let xml = "<?xml version=\"1.0\"?>\n<Key>a\u{1}\u{1f}\r\té\u{7f}</Key>";
        let escaped = "<?xml version=\"1.0\"?>\n<Key>a&#x1;&#x1f;&#xd;\té\u{7f}</Key>";
        assert_eq!(escape_controls(xml.as_bytes()).as_deref(), Some(escaped.as_bytes()));
        assert_eq!(escape_controls(escaped.as_bytes()), None);
        assert_eq!(escape_controls(b"\x01"), None);
    }
}
