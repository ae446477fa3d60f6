//! SQLite files are opened from one folder only, and by no way around.

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use crate::domain::{Failure, Reason};

/// The canonical path of a file inside the allowed folder. A relative path starts there; symbolic links and `..` are
/// resolved before the comparison. Blocking: it asks the file system.
pub(super) fn resolve(folder: &Path, database: &str) -> Result<PathBuf, Failure> {
    let wanted = Path::new(database);
    let folder = folder.canonicalize().map_err(|_| {
        Failure::new(Reason::FileUnreadable, "the folder for SQLite databases cannot be read; see PULSE_SQLITE_DIR")
    })?;
    // What lies outside is refused before it is looked at, so that answers tell nothing of other folders.
    if !lexically_inside(&folder, wanted) {
        return Err(outside());
    }
    let path = folder.join(wanted).canonicalize().map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => Failure::new(
            Reason::FileNotFound,
            "there is no such file in the folder for SQLite databases (PULSE_SQLITE_DIR)",
        )
        .with("setting", "PULSE_SQLITE_DIR"),
        _ => Failure::new(Reason::FileUnreadable, "the file cannot be read; check its permissions"),
    })?;
    if !path.starts_with(&folder) {
        return Err(outside());
    }
    if path.is_dir() {
        return Err(Failure::new(Reason::FileIsDirectory, "the path is a directory; give the file inside it"));
    }
    Ok(path)
}

fn outside() -> Failure {
    let message = "the path lies outside the folder for SQLite databases; move the file there, or set PULSE_SQLITE_DIR";
    Failure::new(Reason::FileOutsideFolder, message).with("setting", "PULSE_SQLITE_DIR")
}

fn lexically_inside(folder: &Path, wanted: &Path) -> bool {
    let mut path = PathBuf::new();
    for component in folder.join(wanted).components() {
        match component {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path.starts_with(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_inside_the_folder() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("databases");
        std::fs::create_dir_all(folder.join("sub")).unwrap();
        std::fs::write(folder.join("in.sqlite"), "x").unwrap();
        std::fs::write(root.path().join("out.sqlite"), "x").unwrap();
        std::os::unix::fs::symlink(root.path().join("out.sqlite"), folder.join("link.sqlite")).unwrap();
        let absolute = folder.join("in.sqlite");
        for (path, expected) in [
            ("in.sqlite", None),
            ("sub/../in.sqlite", None),
            (absolute.to_str().unwrap(), None),
            ("none.sqlite", Some(Reason::FileNotFound)),
            ("in.sqlite/x", Some(Reason::FileNotFound)),
            ("sub", Some(Reason::FileIsDirectory)),
            ("../out.sqlite", Some(Reason::FileOutsideFolder)),
            ("../none.sqlite", Some(Reason::FileOutsideFolder)),
            ("/etc/passwd", Some(Reason::FileOutsideFolder)),
            ("link.sqlite", Some(Reason::FileOutsideFolder)),
        ] {
            assert_eq!(resolve(&folder, path).err().map(|failure| failure.reason), expected, "{path}");
        }
    }
}
