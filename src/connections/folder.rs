//! The one folder that SQLite files may lie in.

use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use crate::domain::{Failure, Reason};

/// The setting that names the folder, told in refusals.
const SETTING: &str = "PULSE_SQLITE_DIR";

/// Where a path that somebody gave really leads: canonical, inside the folder, a regular file.
///
/// The names alone are judged before the disk is asked, so that nobody learns what exists elsewhere; the canonical path
/// is judged again, so that symbolic links do not lead out. Blocks on the disk.
pub(super) fn resolve(folder: &Path, given: &str) -> Result<PathBuf, Failure> {
    let no_folder = |error: io::Error| unreadable(given, &error);
    let canonical_folder = folder.canonicalize().map_err(no_folder)?;
    let configured_folder = std::path::absolute(folder).map_err(no_folder)?;
    let named = without_dots(&configured_folder.join(given));
    let Some(inside) =
        [&configured_folder, &canonical_folder].iter().find_map(|folder| named.strip_prefix(folder).ok())
    else {
        return Err(outside(given));
    };
    let path = canonical_folder.join(inside).canonicalize().map_err(|error| unreadable(given, &error))?;
    if !path.starts_with(&canonical_folder) {
        return Err(outside(given));
    }
    let kind = path.metadata().map_err(|error| unreadable(given, &error))?.file_type();
    if kind.is_dir() {
        return Err(about(given, Reason::FileIsDirectory, format!("{given} is a folder, not a SQLite file")));
    }
    if !kind.is_file() {
        return Err(about(given, Reason::FileUnreadable, format!("{given} is no regular file")));
    }
    Ok(path)
}

/// The path with `.` and `..` taken out by their names.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

fn outside(given: &str) -> Failure {
    let message = format!(
        "{given} lies outside the folder that SQLite files may be opened from; put the file there, \
         or start the server with another {SETTING}"
    );
    about(given, Reason::FileOutsideFolder, message).with("setting", SETTING)
}

fn unreadable(given: &str, error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => {
            let message = format!("there is no file {given} in the folder for SQLite files ({SETTING})");
            about(given, Reason::FileNotFound, message)
        }
        kind => about(given, Reason::FileUnreadable, format!("{given} cannot be read: {kind}")),
    }
}

fn about(given: &str, reason: Reason, message: String) -> Failure {
    Failure::new(reason, message).with("path", given)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(folder: &Path, given: &str) -> Reason {
        let failure = resolve(folder, given).unwrap_err();
        let here = folder.parent().unwrap().to_str().unwrap();
        assert!(given.contains(here) || !failure.message.contains(here), "a path of the server: {failure}");
        failure.reason
    }

    #[test]
    fn only_files_inside_are_found() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("databases");
        std::fs::create_dir_all(folder.join("sub")).unwrap();
        for file in ["databases/a.sqlite", "databases/sub/b", "secret.sqlite", "databases.sqlite"] {
            std::fs::write(root.path().join(file), "x").unwrap();
        }
        let canonical = folder.canonicalize().unwrap();
        let absolute = folder.join("a.sqlite");
        for given in ["a.sqlite", "./a.sqlite", "sub/../a.sqlite", "../databases/a.sqlite", absolute.to_str().unwrap()]
        {
            assert_eq!(resolve(&folder, given).unwrap(), canonical.join("a.sqlite"), "{given}");
        }
        assert_eq!(resolve(&folder, "sub/b").unwrap(), canonical.join("sub/b"));

        let sibling = root.path().join("databases.sqlite");
        for given in ["../secret.sqlite", "../absent", "/etc/passwd", "/absent", "..", sibling.to_str().unwrap()] {
            assert_eq!(reason(&folder, given), Reason::FileOutsideFolder, "{given}");
        }
        assert_eq!(reason(&folder, "absent.sqlite"), Reason::FileNotFound);
        assert_eq!(reason(&folder, "a.sqlite/b"), Reason::FileNotFound);
        assert_eq!(reason(&folder, "sub"), Reason::FileIsDirectory);
        assert_eq!(reason(&folder, "."), Reason::FileIsDirectory);
        assert!(resolve(&folder, "../secret.sqlite").unwrap_err().message.contains("PULSE_SQLITE_DIR"));
    }

    #[cfg(unix)]
    #[test]
    fn links_do_not_lead_out() {
        use std::os::unix::fs::symlink;

        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("databases");
        std::fs::create_dir_all(root.path().join("elsewhere")).unwrap();
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(root.path().join("elsewhere/secret"), "x").unwrap();
        std::fs::write(folder.join("a"), "x").unwrap();
        symlink(root.path().join("elsewhere/secret"), folder.join("file")).unwrap();
        symlink(root.path().join("elsewhere"), folder.join("folder")).unwrap();
        symlink(folder.join("a"), folder.join("inside")).unwrap();
        assert_eq!(reason(&folder, "file"), Reason::FileOutsideFolder);
        assert_eq!(reason(&folder, "folder/secret"), Reason::FileOutsideFolder);
        assert_eq!(resolve(&folder, "inside").unwrap(), folder.canonicalize().unwrap().join("a"));
    }
}
