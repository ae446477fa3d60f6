//! Sealing secrets at rest.
//!
//! Each connection has a data key of its own, sealed by a key-encryption key; each field is sealed by the data key.
//! AES-256-GCM (NIST SP 800-38D) with random 96-bit nonces; the associated data names tenant, connection, field and
//! key, so that no ciphertext can be moved to another row or field.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::domain::connection::ConnectionSecrets;
use crate::domain::{ConnectionId, Failure, Reason, TenantId};

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
type KeyBytes = Zeroizing<[u8; KEY_BYTES]>;

/// Key-encryption keys: the first seals, all open. `Debug` shows their ids only.
#[derive(Clone)]
pub struct Vault {
    keys: Arc<[NamedKey]>,
}

struct NamedKey {
    id: String,
    key: KeyBytes,
}

/// The keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A configured key is not 32 bytes in base64 or hexadecimal.
    #[error("key {0} is not 32 bytes in base64 or hexadecimal; make one with `openssl rand -base64 32`")]
    MalformedKey(usize),
    /// The key file cannot be read or written.
    #[error("the key file cannot be used: {0}")]
    File(#[from] std::io::Error),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

/// The stored form.
#[derive(Serialize, Deserialize)]
struct Envelope {
    version: u8,
    key_id: String,
    data_key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client_key_pem: Option<String>,
}

impl Vault {
    /// Keys as configured: a comma-separated list of 32 bytes each, in base64 or hexadecimal.
    pub fn from_keys(list: &str) -> Result<Self, Error> {
        let keys = (1..)
            .zip(list.split(','))
            .map(|(number, text)| parse_key(text.trim()).map(NamedKey::new).ok_or(Error::MalformedKey(number)))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { keys: keys.into() })
    }

    /// The key of a file that only its owner can read; the file is made when it is absent.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let create = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        match create {
            Ok(mut file) => {
                let key = Zeroizing::new(random::<KEY_BYTES>()?);
                let text = Zeroizing::new(BASE64.encode(*key));
                file.write_all(text.as_bytes())?;
                file.sync_all()?;
                Ok(Self { keys: [NamedKey::new(key)].into() })
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Self::from_keys(&Zeroizing::new(std::fs::read_to_string(path)?))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Seals the secrets of one connection; `None` when there are none.
    pub(super) fn seal(
        &self,
        tenant: &TenantId,
        id: ConnectionId,
        secrets: &ConnectionSecrets,
    ) -> Result<Option<String>, Failure> {
        let ConnectionSecrets { password, client_key_pem } = secrets;
        if password.is_none() && client_key_pem.is_none() {
            return Ok(None);
        }
        let master = &self.keys[0];
        let about = |field: &str| associated_data(tenant, id, field, &master.id);
        let data_key = Zeroizing::new(random::<KEY_BYTES>().map_err(|error| broken(&error))?);
        let field = |name: &str, secret: &Option<SecretString>| {
            let seal_one = |secret: &SecretString| seal(&data_key, secret.expose_secret().as_bytes(), &about(name));
            secret.as_ref().map(seal_one).transpose().map_err(|error| broken(&error))
        };
        let envelope = Envelope {
            version: 1,
            key_id: master.id.clone(),
            data_key: seal(&master.key, &*data_key, &about("data_key")).map_err(|error| broken(&error))?,
            password: field("password", password)?,
            client_key_pem: field("client_key_pem", client_key_pem)?,
        };
        serde_json::to_string(&envelope).map(Some).map_err(|_| broken(&Error::Random))
    }

    /// Opens what [`Vault::seal`] made for this very connection.
    pub(super) fn open(&self, tenant: &TenantId, id: ConnectionId, sealed: &str) -> Result<ConnectionSecrets, Failure> {
        let envelope: Envelope = serde_json::from_str(sealed).map_err(|_| unreadable())?;
        let master = self.keys.iter().find(|key| key.id == envelope.key_id).ok_or_else(unreadable)?;
        let about = |field: &str| associated_data(tenant, id, field, &master.id);
        let data_key = open(&master.key, &envelope.data_key, &about("data_key")).ok_or_else(unreadable)?;
        let data_key: KeyBytes = Zeroizing::new(data_key.as_slice().try_into().map_err(|_| unreadable())?);
        let field = |name: &str, sealed: Option<&String>| {
            let Some(sealed) = sealed else { return Ok(None) };
            let bytes = open(&data_key, sealed, &about(name)).ok_or_else(unreadable)?;
            let text = std::str::from_utf8(&bytes).map_err(|_| unreadable())?;
            Ok::<_, Failure>(Some(SecretString::from(text)))
        };
        Ok(ConnectionSecrets {
            password: field("password", envelope.password.as_ref())?,
            client_key_pem: field("client_key_pem", envelope.client_key_pem.as_ref())?,
        })
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

impl NamedKey {
    /// The id is public: the first eight bytes of the key's SHA-256.
    fn new(key: KeyBytes) -> Self {
        Self { id: hex::encode(&Sha256::digest(*key)[..8]), key }
    }
}

fn parse_key(text: &str) -> Option<KeyBytes> {
    let bytes = Zeroizing::new(hex::decode(text).ok().or_else(|| BASE64.decode(text).ok())?);
    Some(Zeroizing::new(bytes.as_slice().try_into().ok()?))
}

/// Nonce and ciphertext, in base64.
fn seal(key: &[u8; KEY_BYTES], plain: &[u8], about: &[u8]) -> Result<String, Error> {
    let nonce = random::<NONCE_BYTES>()?;
    let sealed = Aes256Gcm::new(key.into()).encrypt(&Nonce::from(nonce), Payload { msg: plain, aad: about });
    let sealed = sealed.map_err(|_| Error::Random)?;
    Ok(BASE64.encode([nonce.as_slice(), &sealed].concat()))
}

fn open(key: &[u8; KEY_BYTES], sealed: &str, about: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let bytes = BASE64.decode(sealed).ok()?;
    let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>()?;
    let plain = Aes256Gcm::new(key.into()).decrypt(&Nonce::from(*nonce), Payload { msg: sealed, aad: about });
    plain.ok().map(Zeroizing::new)
}

/// Each part with its length before it, so that parts cannot be shifted into each other.
fn associated_data(tenant: &TenantId, id: ConnectionId, field: &str, key_id: &str) -> Vec<u8> {
    let mut data = Vec::new();
    for part in [tenant.as_str().as_bytes(), id.as_bytes(), field.as_bytes(), key_id.as_bytes()] {
        data.extend((part.len() as u64).to_be_bytes());
        data.extend(part);
    }
    data
}

fn random<const COUNT: usize>() -> Result<[u8; COUNT], Error> {
    let mut bytes = [0; COUNT];
    getrandom::fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(bytes)
}

fn broken(error: &Error) -> Failure {
    Failure::new(Reason::Internal, format!("the secret cannot be sealed: {error}"))
}

fn unreadable() -> Failure {
    let message = "the stored password cannot be opened with the configured keys; add the old key to \
                   PULSE_ENCRYPTION_KEY, or save the connection with its password again";
    Failure::new(Reason::SecretUnreadable, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const SECOND: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn secrets() -> ConnectionSecrets {
        ConnectionSecrets { password: Some("canary".to_owned().into()), client_key_pem: None }
    }

    fn password(secrets: &ConnectionSecrets) -> &str {
        secrets.password.as_ref().unwrap().expose_secret()
    }

    #[test]
    fn sealed_secrets_open_for_their_connection_only() {
        let vault = Vault::from_keys(FIRST).unwrap();
        let (tenant, id) = (TenantId::local(), ConnectionId::generate());
        let sealed = vault.seal(&tenant, id, &secrets()).unwrap().unwrap();
        assert!(!sealed.contains("canary"));
        assert_eq!(password(&vault.open(&tenant, id, &sealed).unwrap()), "canary");
        let other = TenantId::parse("other").unwrap();
        assert!(vault.open(&other, id, &sealed).is_err());
        assert!(vault.open(&tenant, ConnectionId::generate(), &sealed).is_err());
        let swapped = sealed.replace("\"password\"", "\"client_key_pem\"");
        assert_eq!(vault.open(&tenant, id, &swapped).unwrap_err().reason, Reason::SecretUnreadable);
    }

    #[test]
    fn keys_rotate_and_wrong_ones_give_no_garbage() {
        let (tenant, id) = (TenantId::local(), ConnectionId::generate());
        let sealed = Vault::from_keys(FIRST).unwrap().seal(&tenant, id, &secrets()).unwrap().unwrap();
        let rotated = Vault::from_keys(&format!("{SECOND},{FIRST}")).unwrap();
        assert_eq!(password(&rotated.open(&tenant, id, &sealed).unwrap()), "canary");
        let failure = Vault::from_keys(SECOND).unwrap().open(&tenant, id, &sealed).unwrap_err();
        assert_eq!(failure.reason, Reason::SecretUnreadable);
        assert!(Vault::from_keys("short").is_err());
    }

    #[test]
    fn the_key_file_is_made_once_and_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let (tenant, id) = (TenantId::local(), ConnectionId::generate());
        let sealed = Vault::from_file(&path).unwrap().seal(&tenant, id, &secrets()).unwrap().unwrap();
        assert_eq!(password(&Vault::from_file(&path).unwrap().open(&tenant, id, &sealed).unwrap()), "canary");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?} {:?}", Vault::from_keys(FIRST).unwrap(), secrets());
        assert!(!shown.contains("canary") && !shown.contains(&FIRST[..16]), "{shown}");
    }
}
