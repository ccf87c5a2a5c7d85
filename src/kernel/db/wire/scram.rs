//! The SCRAM exchange of a login (RFC 5802, RFC 7677), bound to the TLS channel where that is possible.
//!
//! Both sides prove that they know the password: a server that skips its half is refused, whatever it says next.

use bytes::{Buf, Bytes};
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::frontend;
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::connect::{ConnectError, Wire};
use super::error::SqlError;

/// SCRAM-SHA-256, bound to the TLS channel where both sides can.
pub(super) async fn scram(wire: &mut Wire, password: &str, mechanisms: &[u8]) -> Result<(), ConnectError> {
    let offered = |name: &str| mechanisms.split(|byte| *byte == 0).any(|known| known == name.as_bytes());
    let fingerprint = wire.stream.certificate().and_then(end_point_hash);
    let (mechanism, binding) = match fingerprint {
        Some(hash) if offered(SCRAM_SHA_256_PLUS) => {
            (SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(hash))
        }
        Some(_) if offered(SCRAM_SHA_256) => (SCRAM_SHA_256, ChannelBinding::unrequested()),
        None if offered(SCRAM_SHA_256) => (SCRAM_SHA_256, ChannelBinding::unsupported()),
        _ => return Err(ConnectError::Login("the server offers no SCRAM mechanism that is supported")),
    };
    let mut exchange = ScramSha256::new(password.as_bytes(), binding);
    frontend::sasl_initial_response(mechanism, exchange.message(), &mut wire.out)?;
    let first = sasl_body(wire, 11).await?;
    exchange.update(&first)?;
    frontend::sasl_response(exchange.message(), &mut wire.out)?;
    let last = sasl_body(wire, 12).await?;
    exchange.finish(&last)?;
    Ok(())
}

async fn sasl_body(wire: &mut Wire, expected: i32) -> Result<Bytes, ConnectError> {
    loop {
        let (tag, mut body) = wire.next_raw().await?;
        match tag {
            b'E' => return Err(ConnectError::Refused(Box::new(SqlError::parse(&body)))),
            b'N' => {}
            b'R' if body.len() >= 4 && body.get_i32() == expected => return Ok(body),
            // Above all AuthenticationOk before the server has proved that it knows the password.
            _ => return Err(ConnectError::Login("the server broke off the SCRAM exchange")),
        }
    }
}

/// The OID 1.2.840.113549.1.1 (PKCS #1) in DER, without the last number.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
/// The OID 1.2.840.10045.4.3 (ECDSA with SHA-2) in DER, without the last number.
const ECDSA_SHA2: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];

/// The hash of a certificate by its signature's own digest, as `tls-server-end-point` wants it (RFC 5929 section 4.1).
fn end_point_hash(certificate: &[u8]) -> Option<Vec<u8>> {
    let (body, _) = der(certificate, 0x30)?;
    let (_, after) = der(body, 0x30)?;
    let (algorithm, _) = der(after, 0x30)?;
    let (oid, _) = der(algorithm, 0x06)?;
    let bits = match (oid.strip_prefix(RSA), oid.strip_prefix(ECDSA_SHA2)) {
        // MD5 and SHA-1 count as SHA-256 there.
        (Some([4 | 5 | 11]), _) | (_, Some([2])) => 256,
        (Some([12]), _) | (_, Some([3])) => 384,
        (Some([13]), _) | (_, Some([4])) => 512,
        _ => return None,
    };
    Some(match bits {
        256 => Sha256::digest(certificate).to_vec(),
        384 => Sha384::digest(certificate).to_vec(),
        _ => Sha512::digest(certificate).to_vec(),
    })
}

/// The content of the DER element with `tag` at the front, and what follows it.
fn der(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = bytes.split_first_chunk::<2>()?;
    if found != tag {
        return None;
    }
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 {
            return None;
        }
        let (digits, rest) = rest.split_at_checked(count)?;
        (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn der_elements_are_cut_by_their_length() {
        assert_eq!(der(&[0x30, 2, 1, 2, 9], 0x30), Some((&[1, 2][..], &[9][..])));
        assert_eq!(der(&[0x30, 0x82, 0, 1, 7], 0x30), Some((&[7][..], &[][..])));
        assert_eq!(der(&[0x30, 5, 1], 0x30), None);
        assert_eq!(der(&[0x31, 0], 0x30), None);
    }
}
