//! What `docker compose` needs before its first start.

use std::os::unix::fs::PermissionsExt as _;

use sha2::{Digest, Sha256};

/// The script works on the folder above its own, so it is tried in a copy.
#[tokio::test]
async fn keys_are_made_once() {
    let folder = tempfile::TempDir::new().unwrap();
    let script = folder.path().join("scripts/compose-init");
    std::fs::create_dir(folder.path().join("scripts")).unwrap();
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/compose-init"), &script).unwrap();
    let run = async || tokio::process::Command::new("bash").arg(&script).output().await.unwrap();
    let first = run().await;
    assert!(first.status.success(), "{first:?}");

    let env = folder.path().join(".env");
    assert_eq!(std::fs::metadata(&env).unwrap().permissions().mode() & 0o777, 0o600);
    let env = || std::fs::read_to_string(&env).unwrap();
    let written = env();
    let value = |name: &str| {
        let line = written.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.unwrap_or_else(|| panic!("no {name}: {written}")).to_owned()
    };
    assert_eq!(hex::decode(value("PULSE_ENCRYPTION_KEY")).unwrap().len(), 32);
    let keys = std::fs::read_to_string(folder.path().join("api-keys.json")).unwrap();
    assert!(keys.contains(&hex::encode(Sha256::digest(value("PULSE_API_KEY")))), "{keys}");
    pulse::api::ApiKeys::parse(&keys).unwrap();

    let second = run().await;
    assert_eq!(second.status.code(), Some(1), "{second:?}");
    assert!(String::from_utf8(second.stderr).unwrap().contains(".env is there already"));
    assert_eq!(env(), written);
}
