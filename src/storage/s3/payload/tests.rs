//! Bodies in every framing: the documented ones hold in any cut, and no change to them goes through.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::kernel::secret::Secret;
use crate::storage::s3::signature::{AmzDate, ChunkSigner, Credential, SigningKey};

const SIGNED: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const SIGNED_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
const UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

/// The key, date and scope of AWS's documented example.
fn signer(seed: &str) -> ChunkSigner {
    let credential = Credential::parse("AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request").unwrap();
    let key = SigningKey::derive(&Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), &credential);
    ChunkSigner::new(key, AmzDate::parse("20130524T000000Z").unwrap(), &credential, seed.to_owned())
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pairs = pairs
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
    pairs.collect()
}

/// Reads the body in pieces of the size.
fn read(hash: &str, seed: &str, headers: &HeaderMap, body: &[u8], cut: usize) -> Result<Vec<u8>, S3Error> {
    let mut decoder = Decoder::new(&PayloadHash::parse(hash)?, signer(seed), headers, true)?;
    let mut content = Vec::new();
    for piece in body.chunks(cut.max(1)) {
        for part in decoder.push(Bytes::copy_from_slice(piece))? {
            content.extend_from_slice(&part);
        }
    }
    decoder.finish().map(|_| content)
}

const SEED: &str = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
const TRAILER_SEED: &str = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e";

/// 65,536 and 1,024 times `a`, as documented.
fn documented(signatures: [&str; 3]) -> Vec<u8> {
    let mut body = Vec::new();
    for (size, signature) in [65_536, 1024, 0].into_iter().zip(signatures) {
        body.extend_from_slice(format!("{size:x};chunk-signature={signature}\r\n").as_bytes());
        body.extend(std::iter::repeat_n(b'a', size));
        if size > 0 {
            body.extend_from_slice(b"\r\n");
        }
    }
    body
}

fn documented_signed() -> Vec<u8> {
    let mut body = documented([
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    ]);
    body.extend_from_slice(b"\r\n");
    body
}

fn documented_trailer(between: &str, end: &str) -> Vec<u8> {
    let mut body = documented([
        "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
        "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
        "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
    ]);
    body.extend_from_slice(b"x-amz-checksum-crc32c:sOO8/Q==\r\n");
    body.extend_from_slice(between.as_bytes());
    body.extend_from_slice(
        b"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435",
    );
    body.extend_from_slice(end.as_bytes());
    body
}

fn length() -> HeaderMap {
    headers(&[("x-amz-decoded-content-length", "66560")])
}

fn length_and_trailer() -> HeaderMap {
    headers(&[("x-amz-decoded-content-length", "66560"), ("x-amz-trailer", "x-amz-checksum-crc32c")])
}

#[test]
fn the_documented_signed_chunks_hold_in_any_cut() {
    let body = documented_signed();
    for cut in [1, 2, 85, 86, 4096, 65_537, body.len()] {
        let content = read(SIGNED, SEED, &length(), &body, cut).unwrap();
        assert!(content.len() == 66_560 && content.iter().all(|byte| *byte == b'a'));
    }
}

#[test]
fn the_documented_trailer_holds_however_its_lines_end() {
    for (between, end) in [("", "\r\n\r\n"), ("", ""), ("", "\r\n"), ("\r\n", "\r\n\r\n")] {
        let body = documented_trailer(between, end);
        for cut in [7, body.len()] {
            let content = read(SIGNED_TRAILER, TRAILER_SEED, &length_and_trailer(), &body, cut);
            assert_eq!(content.map(|content| content.len()), Ok(66_560));
        }
    }
}

#[test]
fn a_changed_signed_body_is_refused() {
    let whole = documented_trailer("", "\r\n\r\n");
    let text = |at: &str| whole.windows(at.len()).position(|window| window == at.as_bytes()).unwrap();
    let changes = [100, 65_700, text("2ca2"), text("sOO8"), text("d81f"), text("10000;") + 1];
    for at in changes {
        let mut body = whole.clone();
        body[at] ^= 1;
        let refused = read(SIGNED_TRAILER, TRAILER_SEED, &length_and_trailer(), &body, 4096);
        assert!(refused.is_err(), "byte {at}");
    }
    let seed = SEED.replace('4', "5");
    let refused = read(SIGNED, &seed, &length(), &documented_signed(), 4096);
    assert_eq!(refused, Err(S3Error::SignatureDoesNotMatch));
}

#[test]
fn h06_a_body_that_ends_early_is_refused() {
    let whole = documented_trailer("", "\r\n\r\n");
    let ends = (0..whole.len() - 4).filter(|end| end % 9973 == 0 || *end > whole.len() - 230);
    for end in ends {
        let refused = read(SIGNED_TRAILER, TRAILER_SEED, &length_and_trailer(), &whole[..end], 4096);
        assert!(refused.is_err(), "{end} bytes");
    }
}

#[test]
fn h06_trailers_are_those_that_were_announced() {
    let body = |trailers: &str| format!("9\r\n123456789\r\n0\r\n{trailers}\r\n").into_bytes();
    let with =
        |announced: &str| headers(&[("x-amz-decoded-content-length", "9"), ("x-amz-trailer", announced)]);
    let crc = "x-amz-checksum-crc32:y/Q5Jg==\r\n";
    let sha = "x-amz-checksum-sha1:98O8HYCOBHMq32eZZczDTKeuNEE=\r\n";
    let both = format!("{sha}{crc}");
    let table = [
        ("x-amz-checksum-crc32", crc, "ok"),
        ("X-Amz-Checksum-Crc32 , x-amz-checksum-sha1", &both, "ok"),
        ("x-amz-checksum-crc32", "", "InvalidRequest"),
        ("x-amz-checksum-crc32, x-amz-checksum-sha1", crc, "InvalidRequest"),
        ("x-amz-checksum-crc32", &both, "InvalidRequest"),
        ("x-amz-checksum-crc32", &crc.repeat(2), "InvalidRequest"),
        ("x-amz-checksum-crc32", "x-amz-checksum-crc32:y/Q5Jh==\r\n", "InvalidParameter"),
        ("x-amz-checksum-crc32", "x-amz-checksum-crc32:y/Q5JA==\r\n", "InvalidChecksum"),
        ("x-amz-checksum-crc32", "nonsense\r\n", "InvalidRequest"),
        ("x-amz-meta-a", crc, "InvalidParameter"),
        ("", crc, "InvalidRequest"),
    ];
    for (announced, trailers, expected) in table {
        let result = read(UNSIGNED_TRAILER, "", &with(announced), &body(trailers), 3);
        let code = result.map_or_else(|error| error.code(), |_| "ok");
        assert_eq!(code, expected, "{announced}: {trailers}");
    }
}

#[test]
fn the_length_that_was_told_is_the_length() {
    let with = |length: &str| {
        headers(&[("x-amz-decoded-content-length", length), ("x-amz-trailer", "x-amz-checksum-crc32")])
    };
    let body = b"9\r\n123456789\r\n0\r\nx-amz-checksum-crc32:y/Q5Jg==\r\n\r\n";
    assert!(read(UNSIGNED_TRAILER, "", &with("9"), body, 5).is_ok());
    for wrong in ["8", "10", "0"] {
        assert_eq!(read(UNSIGNED_TRAILER, "", &with(wrong), body, 5).unwrap_err().code(), "InvalidRequest");
    }
    for wrong in ["", "-9", "+9", "9.0", "99999999999999999999"] {
        assert_eq!(read(UNSIGNED_TRAILER, "", &with(wrong), body, 5).unwrap_err().code(), "InvalidParameter");
    }
    let none = headers(&[("x-amz-trailer", "x-amz-checksum-crc32")]);
    assert_eq!(read(UNSIGNED_TRAILER, "", &none, body, 5).unwrap_err().code(), "MissingContentLength");
}

#[test]
fn a_broken_framing_is_refused() {
    let headers =
        headers(&[("x-amz-decoded-content-length", "1"), ("x-amz-trailer", "x-amz-checksum-crc32")]);
    let long = "0".repeat(9000);
    let broken = [
        "\r\n",
        "x\r\na\r\n",
        "-1\r\na\r\n",
        "+1\r\na\r\n",
        " 1\r\na\r\n",
        "1\r\nab\r\n0\r\n",
        "800001\r\na",
        "fffffffffffffffff\r\na",
        &long,
    ];
    for body in broken {
        assert_eq!(
            read(UNSIGNED_TRAILER, "", &headers, body.as_bytes(), 64).unwrap_err().code(),
            "InvalidRequest"
        );
    }
}

#[test]
fn a_plain_body_is_held_to_its_digests() {
    let sha256 = "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225";
    let md5 = headers(&[("content-md5", "JfnnlDI7RTiF9RgfG2JNCw==")]);
    assert_eq!(read(sha256, "", &md5, b"123456789", 4).unwrap(), b"123456789");
    assert_eq!(read(sha256, "", &HeaderMap::new(), b"12345678", 4).unwrap_err().code(), "InvalidChecksum");
    assert_eq!(read("UNSIGNED-PAYLOAD", "", &md5, b"12345678", 4).unwrap_err().code(), "InvalidChecksum");
    assert_eq!(read("UNSIGNED-PAYLOAD", "", &HeaderMap::new(), b"anything", 4).unwrap(), b"anything");
}

#[test]
fn unknown_kinds_of_body_are_refused() {
    for (wrong, code) in [
        ("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "NotImplemented"),
        ("", "InvalidParameter"),
        ("e3b0", "InvalidParameter"),
        ("unsigned-payload", "InvalidParameter"),
    ] {
        assert_eq!(PayloadHash::parse(wrong).unwrap_err().code(), code);
    }
}

#[tokio::test]
async fn a_stream_ends_regularly_only_when_all_holds() {
    let body = documented_signed();
    let open = |body: &[u8]| {
        let pieces: Vec<Result<Bytes, ()>> =
            body.chunks(1000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let decoder =
            Decoder::new(&PayloadHash::parse(SIGNED).unwrap(), signer(SEED), &length(), true).unwrap();
        VerifiedBody::new(stream::iter(pieces), decoder)
    };
    let mut whole = open(&body);
    let receipt = whole.receipt();
    let mut read = 0;
    while let Some(part) = whole.next().await {
        assert!(receipt.checksums().is_none());
        read += part.unwrap().len();
    }
    assert_eq!((read, receipt.checksums()), (66_560, Some(&[][..])));

    let mut half = open(&body[..40_000]);
    let receipt = half.receipt();
    let parts: Vec<_> = half.by_ref().collect().await;
    assert!(matches!(parts.last(), Some(Err(BodyError::Refused(_)))));
    assert!(receipt.checksums().is_none() && half.next().await.is_none());
}

/// Frames content, signing each chunk.
fn framed(content: &[u8], chunk: usize) -> Vec<u8> {
    use aws_lc_rs::digest::{SHA256, digest};
    let credential = Credential::parse("AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request").unwrap();
    let key = SigningKey::derive(&Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"), &credential);
    let mut previous = SEED.to_owned();
    let mut body = Vec::new();
    for part in content.chunks(chunk).chain([&[][..]]) {
        previous = key.sign(&format!(
            "AWS4-HMAC-SHA256-PAYLOAD\n20130524T000000Z\n{}\n{previous}\n{}\n{}",
            credential.scope(),
            hex::encode(digest(&SHA256, b"")),
            hex::encode(digest(&SHA256, part))
        ));
        body.extend_from_slice(format!("{:x};chunk-signature={previous}\r\n", part.len()).as_bytes());
        body.extend_from_slice(part);
        body.extend_from_slice(b"\r\n");
    }
    body
}

proptest! {
    #[test]
    fn what_is_framed_comes_out(content in proptest::collection::vec(any::<u8>(), 0..2000), chunk in 1usize..700, cut in 1usize..900) {
        let length = headers(&[("x-amz-decoded-content-length", &content.len().to_string())]);
        prop_assert_eq!(read(SIGNED, SEED, &length, &framed(&content, chunk), cut), Ok(content));
    }

    #[test]
    fn one_changed_byte_is_seen(content in proptest::collection::vec(any::<u8>(), 1..500), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let length = headers(&[("x-amz-decoded-content-length", &content.len().to_string())]);
        let mut body = framed(&content, 100);
        let at = at.index(body.len());
        body[at] ^= 1 << bit;
        // The case of the size's digits, and what the ends of lines are made of, is not signed.
        if let Ok(read) = read(SIGNED, SEED, &length, &body, 64) {
            prop_assert_eq!(read, content);
        }
    }

    #[test]
    fn any_bytes_give_an_answer(body in proptest::collection::vec(any::<u8>(), 0..600), lines in "([0-9a-f]{1,4}(;chunk-signature=[0-9a-f]{0,70})?\r?\n.{0,30}\r\n){0,6}", cut in 1usize..50, kind in 0usize..3) {
        let kind = [SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER][kind];
        for body in [&body[..], lines.as_bytes()] {
            let judged = read(kind, SEED, &length_and_trailer(), body, cut);
            prop_assert!(judged.unwrap_err().status().is_client_error());
        }
    }

    #[test]
    fn h05_a_chunk_signature_of_any_length_is_403(signature in "[ -~]{0,4096}") {
        let body = format!("1;chunk-signature={signature}\r\na\r\n0;chunk-signature={signature}\r\n\r\n");
        let length = headers(&[("x-amz-decoded-content-length", "1")]);
        prop_assert_eq!(read(SIGNED, SEED, &length, body.as_bytes(), 512), Err(S3Error::SignatureDoesNotMatch));
    }
}
