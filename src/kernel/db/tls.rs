//! TLS towards PostgreSQL: one rustls configuration per target, with libpq's meaning of the ssl modes.
//!
//! `require` encrypts and verifies nothing, as libpq does; `verify-ca` checks the chain; `verify-full` also the name.
//! A verifier that skips checks is only reachable through those modes. Nothing else in the crate may use it.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::target::SslMode;

/// What is wrong with the TLS settings of a database.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The root certificate file cannot be read or holds no certificate.
    #[error("sslrootcert {file}: {reason}; it must be a readable PEM file with at least one certificate")]
    RootFile {
        /// The file as configured.
        file: String,
        /// What went wrong.
        reason: String,
    },
    /// rustls refused the combination.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

/// The client configuration for `mode`; `None` where TLS is never used.
pub fn client_config(mode: SslMode, root_file: Option<&Path>) -> Result<Option<Arc<ClientConfig>>, TlsError> {
    let check = match (mode, root_file) {
        (SslMode::Disable, _) => return Ok(None),
        (SslMode::VerifyFull, _) => Check::ChainAndName,
        (SslMode::VerifyCa, _) | (SslMode::Require, Some(_)) => Check::Chain,
        _ => Check::Nothing,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Setup(error.to_string()))?;
    let config = match check {
        Check::ChainAndName => builder.with_root_certificates(roots(root_file)?),
        Check::Chain | Check::Nothing => {
            let chain = match check {
                Check::Nothing => None,
                _ => Some(
                    WebPkiServerVerifier::builder_with_provider(
                        Arc::new(roots(root_file)?),
                        Arc::clone(&provider),
                    )
                    .build()
                    .map_err(|error| TlsError::Setup(error.to_string()))?,
                ),
            };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(LaxVerifier { provider, chain }))
        }
    };
    Ok(Some(Arc::new(config.with_no_client_auth())))
}

#[derive(Clone, Copy)]
enum Check {
    Nothing,
    Chain,
    ChainAndName,
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    let Some(file) = file else {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(store);
    };
    let wrong = |reason: String| TlsError::RootFile { file: file.display().to_string(), reason };
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        store.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if store.is_empty() { Err(wrong("no certificate in it".to_owned())) } else { Ok(store) }
}

/// Checks the chain (`Some`) or nothing (`None`), never the name. The handshake's signature is always checked.
#[derive(Debug)]
struct LaxVerifier {
    provider: Arc<CryptoProvider>,
    chain: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for LaxVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        // The name is checked after the chain, so a complaint about the name means that the chain is good.
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
