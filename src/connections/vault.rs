//! Seals the secrets of connections before they reach the store.
//!
//! Envelope encryption with AES-256-GCM (NIST SP 800-38D): each connection has a random data key that seals its
//! fields, and a key-encryption key seals the data key. The associated data names tenant, connection, field and key,
//! so that a sealed text opens nowhere but where it was put.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::domain::connection::ConnectionSecrets;
use crate::domain::{ConnectionId, TenantId};

const KEY_BYTES: usize = 32;

/// 96 bits, the size that GCM is made for. Random ones are safe for 2^32 messages of one key; a data key seals a few.
const NONCE_BYTES: usize = 12;

/// Bytes of a key's SHA-256 that name it.
const KEY_ID_BYTES: usize = 8;

/// The form of [`Envelope`] that this build writes and reads.
const VERSION: u32 = 1;

/// Names of sealed fields in associated data and envelope.
const DATA_KEY: &str = "data_key";
const PASSWORD: &str = "password";
const CLIENT_KEY: &str = "client_key_pem";

/// Base64 with or without padding; written with.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Seals and opens. Holds the key-encryption keys; `Debug` shows none.
pub struct Vault {
    /// The first seals, all open.
    keys: Vec<Key>,
}

struct Key {
    id: String,
    cipher: Aes256Gcm,
}

/// Why there is no vault.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key has another form.
    #[error("key {position} is not 32 bytes in base64 or hexadecimal; `openssl rand -base64 32` makes one")]
    Key {
        /// Which one, from 1.
        position: usize,
    },
    /// The file of the generated key cannot be read or made.
    #[error("{} cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The system gives no randomness.
    #[error("the system gives no random bytes")]
    Random,
}

/// A sealed text that does not open: another key, or not the place it was sealed for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the saved secret cannot be opened with the configured encryption keys")]
pub struct Unreadable {
    /// Names the key that sealed it; empty when even that cannot be read.
    pub key_id: String,
}

/// What is stored. All binary parts are base64 of nonce and ciphertext.
#[derive(Serialize, Deserialize)]
struct Envelope {
    version: u32,
    key_id: String,
    data_key: String,
    fields: BTreeMap<String, String>,
}

impl Vault {
    /// A vault with the keys of `PULSE_ENCRYPTION_KEY`: a comma-separated list, each 32 bytes in base64 or hexadecimal.
    /// The first seals, all open: put a new one in front to change keys.
    pub fn from_keys(list: &str) -> Result<Self, Error> {
        let keys = list.split(',').map(str::trim).zip(1..);
        let keys = keys.map(|(text, position)| {
            let bytes = key_bytes(text).ok_or(Error::Key { position })?;
            Ok(Key::new(&bytes))
        });
        Ok(Self { keys: keys.collect::<Result<_, Error>>()? })
    }

    /// A vault with the key in a file, which is made (0600, random) when it does not exist.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::File { path: path.to_owned(), source };
        let text = match fs::read_to_string(path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = Zeroizing::new(BASE64.encode(random::<KEY_BYTES>()?));
                write_private(path, &text).map_err(failed)?;
                text
            }
            Err(error) => return Err(failed(error)),
        };
        Self::from_keys(text.trim())
    }

    /// Seals what there is for one connection; `None` when there is nothing.
    pub fn seal(
        &self,
        tenant: &TenantId,
        id: ConnectionId,
        secrets: &ConnectionSecrets,
    ) -> Result<Option<String>, Error> {
        let given = [(PASSWORD, &secrets.password), (CLIENT_KEY, &secrets.client_key_pem)];
        let given: Vec<_> = given.into_iter().filter_map(|(field, secret)| Some((field, secret.as_ref()?))).collect();
        let Some(key) = self.keys.first().filter(|_| !given.is_empty()) else { return Ok(None) };
        let data_key = random::<KEY_BYTES>()?;
        let data_cipher = cipher(&data_key);
        let place = |field| Place { tenant, id, field, key_id: &key.id };
        let mut fields = BTreeMap::new();
        for (field, secret) in given {
            let sealed = seal(&data_cipher, secret.expose_secret().as_bytes(), &place(field))?;
            fields.insert(field.to_owned(), sealed);
        }
        let data_key = seal(&key.cipher, data_key.as_slice(), &place(DATA_KEY))?;
        let envelope = Envelope { version: VERSION, key_id: key.id.clone(), data_key, fields };
        // Strings and a map of strings always have a JSON form.
        Ok(Some(serde_json::to_string(&envelope).unwrap_or_default()))
    }

    /// Opens what [`Vault::seal`] gave for this very connection.
    pub fn open(&self, tenant: &TenantId, id: ConnectionId, sealed: &str) -> Result<ConnectionSecrets, Unreadable> {
        let envelope: Envelope = serde_json::from_str(sealed).map_err(|_| Unreadable { key_id: String::new() })?;
        let key_id = envelope.key_id.as_str();
        let unreadable = || Unreadable { key_id: key_id.to_owned() };
        let key =
            self.keys.iter().find(|key| key.id == key_id && envelope.version == VERSION).ok_or_else(unreadable)?;
        let place = |field| Place { tenant, id, field, key_id };
        let data_key = open(&key.cipher, &envelope.data_key, &place(DATA_KEY)).ok_or_else(unreadable)?;
        let data_key = <&[u8; KEY_BYTES]>::try_from(data_key.as_slice()).map_err(|_| unreadable())?;
        let data_cipher = cipher(data_key);
        let field = |field| {
            let Some(sealed) = envelope.fields.get(field) else { return Ok(None) };
            let plain = open(&data_cipher, sealed, &place(field)).ok_or_else(unreadable)?;
            let text = std::str::from_utf8(&plain).map_err(|_| unreadable())?;
            Ok(Some(SecretString::from(text)))
        };
        Ok(ConnectionSecrets { password: field(PASSWORD)?, client_key_pem: field(CLIENT_KEY)? })
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Vault").finish_non_exhaustive()
    }
}

impl Key {
    fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        let digest = Sha256::digest(bytes);
        Self { id: hex::encode(&digest[..KEY_ID_BYTES]), cipher: cipher(bytes) }
    }
}

/// Where a sealed text belongs.
struct Place<'a> {
    tenant: &'a TenantId,
    id: ConnectionId,
    field: &'a str,
    key_id: &'a str,
}

impl Place<'_> {
    /// The parts, each after its length, so that no two places give the same bytes.
    fn associated_data(&self) -> Vec<u8> {
        let parts =
            [self.tenant.as_str().as_bytes(), self.id.as_bytes(), self.field.as_bytes(), self.key_id.as_bytes()];
        parts
            .iter()
            .flat_map(|part| (part.len() as u64).to_be_bytes().into_iter().chain(part.iter().copied()))
            .collect()
    }
}

fn cipher(key: &[u8; KEY_BYTES]) -> Aes256Gcm {
    Aes256Gcm::new(key.into())
}

fn seal(cipher: &Aes256Gcm, plain: &[u8], place: &Place<'_>) -> Result<String, Error> {
    let nonce = random::<NONCE_BYTES>()?;
    let payload = Payload { msg: plain, aad: &place.associated_data() };
    // Fails for texts of 64 GiB only.
    let sealed = cipher.encrypt(&Nonce::from(*nonce), payload).map_err(|_| Error::Random)?;
    Ok(BASE64.encode([nonce.as_slice(), &sealed].concat()))
}

fn open(cipher: &Aes256Gcm, sealed: &str, place: &Place<'_>) -> Option<Zeroizing<Vec<u8>>> {
    let bytes = BASE64.decode(sealed).ok()?;
    let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>()?;
    let payload = Payload { msg: sealed, aad: &place.associated_data() };
    cipher.decrypt(&Nonce::from(*nonce), payload).ok().map(Zeroizing::new)
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, Error> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|_| Error::Random)?;
    Ok(bytes)
}

fn key_bytes(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    // 32 bytes are 64 hexadecimal digits, but at most 44 characters of base64: no text is both.
    let bytes = if text.len() == 2 * KEY_BYTES { hex::decode(text).ok()? } else { BASE64.decode(text).ok()? };
    let bytes = Zeroizing::new(bytes);
    Some(Zeroizing::new(bytes.as_slice().try_into().ok()?))
}

/// Writes beside the file and renames, so that a crash leaves a whole key or none.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&unfinished)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const NEW: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn secrets() -> ConnectionSecrets {
        ConnectionSecrets { password: Some("hunter2 ü".into()), client_key_pem: Some("-----BEGIN".into()) }
    }

    fn texts(secrets: &ConnectionSecrets) -> [Option<&str>; 2] {
        [&secrets.password, &secrets.client_key_pem].map(|secret| secret.as_ref().map(ExposeSecret::expose_secret))
    }

    #[test]
    fn what_is_sealed_opens_and_shows_nothing() {
        let vault = Vault::from_keys(OLD).unwrap();
        let (tenant, id) = (TenantId::local(), ConnectionId::generate());
        let sealed = vault.seal(&tenant, id, &secrets()).unwrap().unwrap();
        assert_eq!(texts(&vault.open(&tenant, id, &sealed).unwrap()), texts(&secrets()));
        assert_ne!(vault.seal(&tenant, id, &secrets()).unwrap().unwrap(), sealed, "keys and nonces are random");
        assert!(!sealed.contains("hunter2"));
        assert_eq!(format!("{vault:?}"), "Vault { .. }");
        assert!(!format!("{:?}", secrets()).contains("hunter2"));
        assert_eq!(vault.seal(&tenant, id, &ConnectionSecrets::default()).unwrap(), None);
        let one = ConnectionSecrets { password: Some("x".into()), client_key_pem: None };
        let sealed = vault.seal(&tenant, id, &one).unwrap().unwrap();
        assert_eq!(texts(&vault.open(&tenant, id, &sealed).unwrap()), [Some("x"), None]);
    }

    #[test]
    fn a_sealed_text_opens_nowhere_else() {
        let vault = Vault::from_keys(OLD).unwrap();
        let (tenant, id) = (TenantId::local(), ConnectionId::generate());
        let sealed = vault.seal(&tenant, id, &secrets()).unwrap().unwrap();
        assert!(vault.open(&tenant, ConnectionId::generate(), &sealed).is_err(), "another row");
        assert!(vault.open(&TenantId::parse("other").unwrap(), id, &sealed).is_err(), "another tenant");

        let mut swapped: Envelope = serde_json::from_str(&sealed).unwrap();
        let password = swapped.fields.insert(PASSWORD.to_owned(), swapped.fields[CLIENT_KEY].clone()).unwrap();
        swapped.fields.insert(CLIENT_KEY.to_owned(), password);
        assert!(vault.open(&tenant, id, &serde_json::to_string(&swapped).unwrap()).is_err(), "fields swapped");

        let mut damaged: Envelope = serde_json::from_str(&sealed).unwrap();
        damaged.fields.insert(PASSWORD.to_owned(), BASE64.encode([0; 40]));
        assert!(vault.open(&tenant, id, &serde_json::to_string(&damaged).unwrap()).is_err());
        assert!(vault.open(&tenant, id, "{}").is_err());
    }

    #[test]
    fn keys_change_without_loss() {
        let (tenant, id) = (TenantId::local(), ConnectionId::generate());
        let old = Vault::from_keys(OLD).unwrap();
        let both = Vault::from_keys(&format!("{NEW}, {OLD}")).unwrap();
        let new = Vault::from_keys(NEW).unwrap();
        let before = old.seal(&tenant, id, &secrets()).unwrap().unwrap();
        assert_eq!(texts(&both.open(&tenant, id, &before).unwrap()), texts(&secrets()));
        let after = both.seal(&tenant, id, &secrets()).unwrap().unwrap();
        assert_eq!(texts(&new.open(&tenant, id, &after).unwrap()), texts(&secrets()));
        let refused = new.open(&tenant, id, &before).unwrap_err();
        assert_eq!(refused.key_id, old.keys[0].id);
        assert!(old.open(&tenant, id, &after).is_err());
    }

    #[test]
    fn other_forms_of_keys_are_refused_by_position() {
        for (list, wrong) in [("", 1), ("short", 1), (&format!("{OLD},"), 2), (&format!("{OLD},{NEW}00"), 2)] {
            let error = Vault::from_keys(list).unwrap_err();
            assert!(matches!(error, Error::Key { position } if position == wrong), "{list}: {error}");
        }
        assert!(Vault::from_keys(OLD.trim_end_matches('=')).is_ok());
    }

    #[test]
    fn a_generated_key_stays_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("encryption.key");
        let (tenant, id) = (TenantId::local(), ConnectionId::generate());
        let sealed = Vault::from_file(&path).unwrap().seal(&tenant, id, &secrets()).unwrap().unwrap();
        assert_eq!(texts(&Vault::from_file(&path).unwrap().open(&tenant, id, &sealed).unwrap()), texts(&secrets()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
