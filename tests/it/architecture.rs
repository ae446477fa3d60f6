//! The arrows between modules, as `ARCHITECTURE.md` draws them: a module imports only what the table allows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Module → what it may import. Everything may import `domain` and `lifecycle`.
const ALLOWED: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("lifecycle", &[]),
    ("telemetry", &[]),
    ("pb", &[]),
    ("sql", &[]),
    ("llm", &[]),
    ("store", &[]),
    ("agents", &[]),
    ("engines", &["agents", "llm"]),
    ("connections", &["sql", "store"]),
    ("queries", &["sql", "store", "connections"]),
    ("knowledge", &["queries", "connections", "store"]),
    ("workflow", &["agents", "queries", "connections", "knowledge", "store"]),
    ("demo", &[]),
    ("eval", &["agents", "connections", "engines", "queries", "sql", "workflow"]),
    ("api", &["pb", "connections", "queries", "knowledge", "workflow"]),
    ("config", &["telemetry"]),
    ("cli", &["app", "config", "demo", "eval", "pb", "sql", "telemetry"]),
    (
        "app",
        &[
            "agents",
            "api",
            "config",
            "connections",
            "demo",
            "engines",
            "knowledge",
            "llm",
            "queries",
            "sql",
            "store",
            "workflow",
        ],
    ),
];
const FOR_ALL: &[&str] = &["domain", "lifecycle"];

#[test]
fn imports_follow_the_arrows() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.iter().copied().collect();
    let mut broken = BTreeSet::new();
    let mut read = 0;
    for file in rust_files(&source) {
        let relative = file.strip_prefix(&source).unwrap();
        let module = relative.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if matches!(module, "main" | "lib") {
            continue;
        }
        let may =
            allowed.get(module).unwrap_or_else(|| panic!("module `{module}` is not in the table: add its arrows"));
        let text = std::fs::read_to_string(&file).unwrap();
        read += 1;
        for name in imports(&text) {
            if name != module && !may.contains(&name.as_str()) && !FOR_ALL.contains(&name.as_str()) {
                broken.insert(format!("{}: {module} → {name}", relative.display()));
            }
        }
    }
    assert!(read > 50, "only {read} files were read");
    assert!(broken.is_empty(), "imports against the arrows:\n{}", broken.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn only_config_reads_the_environment() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in rust_files(&source) {
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap();
        let reads = code.contains("env::var") && !file.ends_with("tests.rs");
        assert!(!reads || file.ends_with("config.rs"), "{} reads the environment", file.display());
    }
}

/// Top-level modules that a file imports from this crate, by `use crate::…` or by path in the code.
fn imports(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for (at, _) in line.match_indices("crate::") {
            let rest = &line[at + "crate::".len()..];
            match rest.strip_prefix('{') {
                Some(_) => {}
                None => {
                    names.insert(word(rest));
                }
            }
        }
    }
    // `use crate::{a, b::c};` may run over several lines.
    for (at, _) in text.match_indices("use crate::{") {
        let mut depth = 1;
        let mut item = String::new();
        for character in text[at + "use crate::{".len()..].chars() {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 || (depth == 1 && character == ',') {
                names.insert(word(item.trim()));
                item.clear();
            } else {
                item.push(character);
            }
            if depth == 0 {
                break;
            }
        }
    }
    names.remove("");
    names
}

fn word(text: &str) -> String {
    text.chars().take_while(|one| one.is_ascii_lowercase() || *one == '_').collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
