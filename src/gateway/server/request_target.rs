//! Request targets as people type them: `?select=data->>name` and `?name=in.("a,b")`, with characters that a URL must not
//! have unencoded. PostgREST takes them and its manual writes them so; hyper refuses the whole request.
//!
//! They are percent-encoded in the request line, before hyper reads it. Only where the line certainly is one: at the start
//! of a connection, and behind a head that was read whole and announces no body. Everything else passes untouched, so
//! that this can never change where a message ends.

use memchr::{memchr, memchr3, memmem};

const HEAD_END: &[u8] = b"\r\n\r\n";
/// Shorter starts of a request say too little; those of other protocols are longer.
const SHORTEST_START: usize = 16;
/// A head that arrives in pieces is followed up to this size, in bytes.
const LONGEST_HEAD: usize = 64 * 1024;

/// Follows the heads of the requests on one connection.
#[derive(Debug, Default)]
pub(super) struct RequestTargets {
    place: Place,
    /// The current head so far, where it did not come in one piece.
    head: Vec<u8>,
}

/// Where the next byte of a connection stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// At the start of a request.
    #[default]
    Start,
    /// In the first line of a head.
    Line,
    /// In the other lines of a head.
    Fields,
    /// Nowhere that is known.
    Unknown,
}

impl RequestTargets {
    /// Takes the next bytes of the connection in; their replacement, if they need one.
    pub(super) fn encode(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let line = match self.place {
            Place::Unknown => return None,
            Place::Start if !starts_request(bytes) => {
                self.place = Place::Unknown;
                return None;
            }
            Place::Start | Place::Line => bytes.get(..memchr(b'\n', bytes).unwrap_or(bytes.len()))?,
            Place::Fields => &[],
        };
        self.follow(bytes, line.len() < bytes.len());
        memchr3(b'"', b'<', b'>', line)?;
        let mut encoded = Vec::with_capacity(bytes.len() + 64);
        for byte in line {
            match byte {
                b'"' => encoded.extend_from_slice(b"%22"),
                b'<' => encoded.extend_from_slice(b"%3C"),
                b'>' => encoded.extend_from_slice(b"%3E"),
                other => encoded.push(*other),
            }
        }
        encoded.extend_from_slice(bytes.get(line.len()..)?);
        Some(encoded)
    }

    /// Finds the place behind these bytes.
    fn follow(&mut self, bytes: &[u8], line_ended: bool) {
        if self.place == Place::Start && is_whole_head(bytes) {
            return;
        }
        let searched = self.head.len().saturating_sub(HEAD_END.len() - 1);
        self.head.extend_from_slice(bytes);
        let ended = self.head.get(searched..).is_some_and(|new| memmem::find(new, HEAD_END).is_some());
        self.place = if ended && is_whole_head(&self.head) {
            Place::Start
        } else if ended || self.head.len() > LONGEST_HEAD {
            Place::Unknown
        } else if line_ended {
            Place::Fields
        } else {
            Place::Line
        };
        if matches!(self.place, Place::Start | Place::Unknown) {
            self.head = Vec::new();
        }
    }
}

/// A method, a space and a slash; so neither HTTP/2's preface nor CONNECT, behind which there is no HTTP/1.
fn starts_request(bytes: &[u8]) -> bool {
    let Some(space) = bytes.get(..SHORTEST_START).and_then(|start| memchr(b' ', start)) else { return false };
    space > 0 && bytes.iter().take(space).all(u8::is_ascii_uppercase) && bytes.get(space + 1) == Some(&b'/')
}

/// Whether this is one head and nothing else, of a request without body that stays HTTP/1.
fn is_whole_head(bytes: &[u8]) -> bool {
    memmem::find(bytes, HEAD_END) == bytes.len().checked_sub(HEAD_END.len())
        && !bytes.split(|byte| *byte == b'\n').any(|line| {
            ["content-length", "transfer-encoding", "upgrade"].iter().any(|name| {
                line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(targets: &mut RequestTargets, bytes: &str) -> String {
        let encoded = targets.encode(bytes.as_bytes());
        String::from_utf8(encoded.unwrap_or_else(|| bytes.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn what_a_url_cannot_hold_is_encoded_in_the_request_line_alone() {
        let mut targets = RequestTargets::default();
        let request = "GET /a?select=j->>k&b=in.(\"c\") HTTP/1.1\r\nHost: x\r\nX: <\">\r\n\r\n";
        let expected = "GET /a?select=j-%3E%3Ek&b=in.(%22c%22) HTTP/1.1\r\nHost: x\r\nX: <\">\r\n\r\n";
        // The connection is kept: the next request is another one.
        for _ in 0..3 {
            assert_eq!(passed(&mut targets, request), expected);
        }
    }

    #[test]
    fn a_head_that_arrives_in_pieces_is_followed_to_its_end() {
        let request = "GET /aaaaaaaaaaaaaaa?b=>c> HTTP/1.1\r\nX: >\r\n\r\n";
        let expected = "GET /aaaaaaaaaaaaaaa?b=%3Ec%3E HTTP/1.1\r\nX: >\r\n\r\n";
        for cut in SHORTEST_START..request.len() {
            let mut targets = RequestTargets::default();
            for _ in 0..2 {
                let (first, second) = request.split_at(cut);
                let whole = passed(&mut targets, first) + &passed(&mut targets, second);
                assert_eq!(whole, expected, "{cut}");
            }
        }
        let mut targets = RequestTargets::default();
        passed(&mut targets, request.get(..SHORTEST_START).unwrap());
        for _ in 0..100_000 {
            passed(&mut targets, ">");
        }
        assert!(targets.head.len() <= LONGEST_HEAD);
    }

    #[test]
    fn bodies_and_other_protocols_pass_untouched() {
        let body = "GET /a?b=<> HTTP/1.1\r\nHost: x\r\n\r\n";
        let starts = [
            "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 35\r\n\r\n",
            "POST /a HTTP/1.1\r\nHost: x\r\ncontent-LENGTH: 35\r\n\r\n",
            "POST /a HTTP/1.1\nHost: x\ncontent-length: 35\n\n",
            "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET /a HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /a HTTP/1.1\nHost: x\n\n",
            "GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: x\r\n",
            "\u{16}\u{3}\u{1}",
        ];
        for start in starts {
            for cut in [0, SHORTEST_START, 24] {
                let mut targets = RequestTargets::default();
                let (first, second) = start.split_at(cut.min(start.len()));
                passed(&mut targets, first);
                passed(&mut targets, second);
                assert_eq!(passed(&mut targets, body), body, "{start:?} cut at {cut}");
            }
        }
    }
}
