//! Builds the web UI with npm, once for each state of its sources, and writes the list of files that the program embeds.
//!
//! The program is whole without the UI: where npm is missing or fails the list is empty, a warning says why, and the
//! page at `/` tells how to get it. `PULSE_SKIP_WEB=1` leaves the UI out on purpose.

use std::collections::hash_map::DefaultHasher;
use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, io};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What the bundle is made from, below the package's root. What npm and buf write beside them is not watched.
const SOURCES: &[&str] = &[
    "proto/google",
    "proto/pulse",
    "web/buf.gen.yaml",
    "web/index.html",
    "web/package-lock.json",
    "web/package.json",
    "web/plugins",
    "web/proto",
    "web/public",
    "web/src",
    "web/tsconfig.json",
    "web/vite.config.ts",
];

/// Writes `web_assets.rs`: the files to embed, or none.
pub fn embed(out: &Path) -> Result<()> {
    println!("cargo:rerun-if-env-changed=PULSE_SKIP_WEB");
    for source in SOURCES {
        println!("cargo:rerun-if-changed={source}");
    }
    let bundle = if env::var_os("PULSE_SKIP_WEB").is_some_and(|skip| skip != "0") {
        None
    } else {
        match bundle(out) {
            Ok(bundle) => Some(bundle),
            Err(reason) => {
                println!("cargo:warning=the web UI is left out: {reason}");
                None
            }
        }
    };
    fs::write(out.join("web_assets.rs"), list(bundle.as_deref())?)?;
    Ok(())
}

/// The folder with the bundle of these sources, built unless it is there already.
fn bundle(out: &Path) -> Result<PathBuf> {
    let folder = out.join("web");
    let stamp = out.join("web.stamp");
    let sources = SOURCES.iter().map(Path::new).map(Path::to_path_buf).collect();
    let state = fingerprint(sources)?;
    if fs::read_to_string(&stamp).is_ok_and(|built| built == state) && folder.join("index.html").exists() {
        return Ok(folder);
    }
    let web = fs::canonicalize("web")?;
    // Two builds may share the folder of npm's packages: one at a time.
    let lock = File::create(web.join(".build.lock"))?;
    lock.lock()?;
    install(&web)?;
    npm(&web, &["run", "build"], &[("PULSE_WEB_OUT", &folder)])?;
    fs::write(stamp, state)?;
    Ok(folder)
}

/// Installs the locked packages unless they are there.
fn install(web: &Path) -> Result<()> {
    let stamp = web.join("node_modules/.installed");
    let state = fingerprint(vec![web.join("package-lock.json")])?;
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == state) {
        return Ok(());
    }
    npm(web, &["ci", "--ignore-scripts", "--no-audit", "--no-fund"], &[])?;
    fs::write(stamp, state)?;
    Ok(())
}

fn npm(web: &Path, arguments: &[&str], environment: &[(&str, &Path)]) -> Result<()> {
    let name = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let mut command = Command::new(name);
    command.current_dir(web).args(arguments).envs(environment.iter().copied()).stdin(Stdio::null());
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err("npm is not installed".into()),
        Err(error) => return Err(format!("npm cannot be run: {error}").into()),
    };
    let said = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
    // Not to cargo, which would take lines of it for its own.
    eprintln!("{said}");
    if output.status.success() {
        return Ok(());
    }
    let last: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).rev().take(6).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    Err(format!("`npm {}` failed: {}", arguments.join(" "), last.join(" | ")).into())
}

/// Changes with the names and the contents of these files and of all below these folders.
fn fingerprint(paths: Vec<PathBuf>) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for file in files(paths)? {
        file.hash(&mut hasher);
        fs::read(&file)?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// The Rust expression that embeds every file of the bundle.
fn list(bundle: Option<&Path>) -> Result<String> {
    let mut names = Vec::new();
    if let Some(folder) = bundle {
        for file in files(vec![folder.to_path_buf()])? {
            let name = file.strip_prefix(folder)?.to_str().ok_or("the name of a file is not UTF-8")?;
            names.push(name.replace('\\', "/"));
        }
    }
    let include = |name: &str| format!("include_bytes!(concat!(env!(\"OUT_DIR\"), {:?}))", format!("/web/{name}"));
    let mut text = "&[\n".to_owned();
    for name in names.iter().filter(|name| Path::new(name).extension().is_none_or(|kind| kind != "gz")) {
        let packed = format!("{name}.gz");
        let gzip = if names.contains(&packed) { format!("Some({})", include(&packed)) } else { "None".to_owned() };
        let path = format!("/{name}");
        writeln!(text, "    Asset {{ path: {path:?}, bytes: {}, gzip: {gzip} }},", include(name))?;
    }
    text.push_str("]\n");
    Ok(text)
}

/// These files and all below these folders, sorted; what does not exist is left out.
fn files(mut paths: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            for entry in fs::read_dir(&path)? {
                paths.push(entry?.path());
            }
        } else if path.exists() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
