//! A certificate authority that lives as long as the test process, and what it has signed.

use std::sync::LazyLock;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

/// PEM texts.
pub struct Certificates {
    /// Who signed the server's and the client's certificate.
    pub authority: String,
    /// A stranger, who signed neither.
    pub other_authority: String,
    /// For the name `localhost` and nothing else: 127.0.0.1 fails where names are checked.
    pub server: String,
    pub server_key: String,
    /// Of the user `pulse_cert`.
    pub client: String,
    pub client_key: String,
}

/// The same for every server.
pub static CERTIFICATES: LazyLock<Certificates> = LazyLock::new(|| {
    let (authority, issuer) = authority("Authority of the tests");
    let (other_authority, _) = self::authority("Stranger");
    let (server, server_key) = signed(&issuer, "localhost", &["localhost"], ExtendedKeyUsagePurpose::ServerAuth);
    let (client, client_key) = signed(&issuer, super::CERTIFICATE.name, &[], ExtendedKeyUsagePurpose::ClientAuth);
    Certificates { authority, other_authority, server, server_key, client, client_key }
});

fn authority(name: &str) -> (String, Issuer<'static, KeyPair>) {
    let mut params = params(name, &[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), Issuer::new(params, key))
}

fn signed(
    issuer: &Issuer<'static, KeyPair>,
    name: &str,
    hosts: &[&str],
    usage: ExtendedKeyUsagePurpose,
) -> (String, String) {
    let mut params = params(name, hosts);
    params.extended_key_usages = vec![usage];
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, issuer).unwrap().pem(), key.serialize_pem())
}

fn params(name: &str, hosts: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(hosts.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
