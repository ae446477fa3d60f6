//! Certificates and keys that people paste: whether they are what they should be, before a server is asked.

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// What is wrong with the certificates of authorities.
pub(super) fn authorities_problem(pem: &str) -> Option<&'static str> {
    let Some(certificates) = certificates(pem) else { return Some(NO_CERTIFICATE) };
    let mut store = RootCertStore::empty();
    let added = certificates.into_iter().try_for_each(|certificate| store.add(certificate));
    added.is_err().then_some(NO_CERTIFICATE)
}

/// What is wrong with a client certificate.
pub(super) fn certificate_problem(pem: &str) -> Option<&'static str> {
    certificates(pem).is_none().then_some(NO_CERTIFICATE)
}

/// What is wrong with the private key of a client certificate. Says nothing of the key itself.
pub(super) fn key_problem(key_pem: &str, certificate_pem: &str) -> Option<&'static str> {
    let Ok(key) = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()) else {
        return Some("must be a private key in PEM, without a passphrase");
    };
    // A certificate that is none has a message of its own.
    let certificates = certificates(certificate_pem)?;
    match CertifiedKey::from_der(certificates, key, &ring::default_provider()) {
        Ok(_) => None,
        Err(rustls::Error::InconsistentKeys(_)) => Some("is not the key of `tls.client_certificate`"),
        Err(_) => Some("is a private key of a kind that is not supported; RSA, ECDSA and Ed25519 keys are"),
    }
}

const NO_CERTIFICATE: &str = "must be one or more certificates in PEM, each from -----BEGIN CERTIFICATE----- on";

/// The certificates, if the text holds any and every one can be read.
fn certificates(pem: &str) -> Option<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().ok()?;
    (!certificates.is_empty()).then_some(certificates)
}
