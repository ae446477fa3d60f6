//! `docs/api`: a page for each service and one for what they share, made from the descriptors. `scripts/api-docs` writes
//! them; the test says when they no longer tell what the contract does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use prost_reflect::{
    Cardinality, DynamicMessage, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor,
    MethodDescriptor, ServiceDescriptor, Value,
};

use crate::support::contract::pool;

/// Set to write the pages instead of comparing them.
const WRITE: &str = "PULSE_WRITE_API_DOCS";

/// The page of what more than one page speaks of.
const SHARED: &str = "types.md";

#[test]
fn pages_tell_what_the_contract_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api");
    let pages = Pages::of_the_contract().written();
    if std::env::var_os(WRITE).is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in &pages {
            std::fs::write(folder.join(name), text).unwrap();
        }
    }
    let there: BTreeSet<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(there, pages.keys().map(|name| folder.join(name)).collect(), "run scripts/api-docs");
    for (name, text) in &pages {
        let stale = std::fs::read_to_string(folder.join(name)).unwrap() != *text;
        assert!(!stale, "docs/api/{name} is stale: run scripts/api-docs");
    }
}

/// Which page tells of which type.
struct Pages {
    services: Vec<ServiceDescriptor>,
    homes: BTreeMap<String, String>,
    types: Vec<Type>,
}

/// A message or an enum of ours.
#[derive(Clone)]
enum Type {
    Message(MessageDescriptor),
    Enum(EnumDescriptor),
}

impl Pages {
    fn of_the_contract() -> Self {
        let services: Vec<ServiceDescriptor> = pool().services().collect();
        let mut homes = BTreeMap::new();
        for file in pool().files().filter(|file| file.package_name() == "pulse.v1") {
            let service = services.iter().find(|service| service.parent_file().name() == file.name());
            let page = service.map_or_else(|| SHARED.to_owned(), page_of);
            for message in file.messages() {
                homes.insert(message.full_name().to_owned(), page.clone());
            }
            for one in file.enums() {
                homes.insert(one.full_name().to_owned(), page.clone());
            }
        }
        // Reasons have a page of their own.
        homes.remove("pulse.v1.ErrorReason");
        let files = pool().files().collect::<Vec<_>>().into_iter();
        let types = files.flat_map(|file| {
            let messages = file.messages().map(Type::Message).collect::<Vec<_>>();
            messages.into_iter().chain(file.enums().map(Type::Enum).collect::<Vec<_>>())
        });
        Self { types: types.collect(), services, homes }
    }

    fn written(&self) -> BTreeMap<String, String> {
        let mut pages: BTreeMap<String, String> =
            self.services.iter().map(|service| (page_of(service), self.service(service))).collect();
        pages.insert(SHARED.to_owned(), self.shared());
        pages.insert("README.md".to_owned(), self.index());
        pages
    }

    fn index(&self) -> String {
        let mut page = String::from(
            "# API\n\nMade from `proto/pulse/v1` by `scripts/api-docs`. Every call is gRPC and gRPC-Web on Pulse's own port, and \
             REST with JSON through the gateway (`scripts/gateway`). Errors: [errors.md](../errors.md).\n\n\
             In JSON, fields have the names below, 64-bit integers are strings, durations read `1.5s`, times \
             `2026-01-31T08:00:00Z`, bytes are base64. What is in the path is not in the body; where the body is one field, \
             the others are query parameters. Unknown parameters are refused, unknown fields of a body are ignored. A stream is one \
             object a line.\n",
        );
        for service in &self.services {
            let _ = write!(page, "\n## [{}]({})\n\n{}\n\n", service.name(), page_of(service), comment(service));
            page.push_str("| RPC | REST |\n|---|---|\n");
            for method in service.methods() {
                let paths: Vec<String> =
                    rules(&method).into_iter().map(|rule| format!("`{} {}`", rule.verb, rule.path)).collect();
                let (name, paths) = (method.name().to_owned(), paths.join("<br>"));
                let _ = writeln!(page, "| [{name}]({}#{}) | {paths} |", page_of(service), name.to_lowercase());
            }
        }
        let _ = write!(page, "\n## [Types]({SHARED})\n\nWhat several services speak of.\n");
        page
    }

    fn service(&self, service: &ServiceDescriptor) -> String {
        let mut page = format!("# {}\n\n`{}`. {}\n", service.name(), service.full_name(), comment(service));
        let mut told = BTreeSet::new();
        for method in service.methods() {
            let (input, output) = (method.input(), method.output());
            let stream = if method.is_server_streaming() { "stream of " } else { "" };
            let (takes, gives) =
                (self.link(&page_of(service), input.full_name()), self.link(&page_of(service), output.full_name()));
            let _ = write!(page, "\n## {}\n\n{}\n\n{takes} → {stream}{gives}\n", method.name(), comment(&method));
            for rule in rules(&method) {
                let _ = write!(page, "\n- `{} {}`{}", rule.verb, rule.path, rule.body());
            }
            page.push('\n');
            for message in [input, output] {
                told.insert(message.full_name().to_owned());
                self.message(&mut page, &page_of(service), &message);
            }
        }
        let rest = self.types.iter().filter(|one| self.homes.get(one.full_name()) == Some(&page_of(service)));
        let rest: Vec<&Type> = rest.filter(|one| !told.contains(one.full_name())).collect();
        if !rest.is_empty() {
            page.push_str("\n## Types\n");
        }
        for one in rest {
            self.one(&mut page, &page_of(service), one);
        }
        page
    }

    fn shared(&self) -> String {
        let mut page = String::from("# Types\n\nWhat several services speak of.\n");
        for one in self.types.iter().filter(|one| self.homes.get(one.full_name()).is_some_and(|home| home == SHARED)) {
            self.one(&mut page, SHARED, one);
        }
        page
    }

    fn one(&self, page: &mut String, here: &str, one: &Type) {
        match one {
            Type::Message(message) => self.message(page, here, message),
            Type::Enum(one) => {
                let _ = write!(page, "\n### {}\n\n{}\n\n| value | meaning |\n|---|---|\n", one.name(), comment(one));
                for value in one.values() {
                    let meaning = comment_at(&one.parent_file(), value.path());
                    let _ = writeln!(page, "| `{}` | {} |", value.name(), cell(&meaning));
                }
            }
        }
    }

    fn message(&self, page: &mut String, here: &str, message: &MessageDescriptor) {
        let _ = write!(page, "\n### {}\n\n{}\n", message.name(), comment(message));
        if message.fields().len() == 0 {
            return;
        }
        page.push_str("\n| field | type | meaning |\n|---|---|---|\n");
        for field in message.fields() {
            let meaning = comment_at(&message.parent_file(), field.path());
            let one_of = field.containing_oneof().filter(|one| !one.is_synthetic());
            let one_of = one_of.map(|one| format!("One of `{}`. ", one.name())).unwrap_or_default();
            let _ = writeln!(page, "| `{}` | {} | {one_of}{} |", field.name(), self.kind(here, &field), cell(&meaning));
        }
    }

    fn kind(&self, here: &str, field: &FieldDescriptor) -> String {
        let one = match field.kind() {
            Kind::Message(message) if field.is_map() => {
                let (key, value) = (message.map_entry_key_field(), message.map_entry_value_field());
                return format!("map of {} to {}", self.kind(here, &key), self.kind(here, &value));
            }
            Kind::Message(message) => self.link(here, message.full_name()),
            Kind::Enum(one) => self.link(here, one.full_name()),
            scalar => format!("{scalar:?}").to_lowercase(),
        };
        match field.cardinality() {
            Cardinality::Repeated => format!("repeated {one}"),
            _ if field.supports_presence() && field.containing_oneof().is_some_and(|one| one.is_synthetic()) => {
                format!("optional {one}")
            }
            _ => one,
        }
    }

    /// A type's name, leading to where it is told of.
    fn link(&self, here: &str, full_name: &str) -> String {
        let name = full_name.rsplit('.').next().unwrap();
        match self.homes.get(full_name) {
            Some(home) if home == here => format!("[{name}](#{})", name.to_lowercase()),
            Some(home) => format!("[{name}]({home}#{})", name.to_lowercase()),
            None if name == "ErrorReason" => format!("[{name}](../errors.md)"),
            None => full_name.to_owned(),
        }
    }
}

impl Type {
    fn full_name(&self) -> &str {
        match self {
            Self::Message(message) => message.full_name(),
            Self::Enum(one) => one.full_name(),
        }
    }
}

/// `ConnectionService` → `connection_service.md`.
fn page_of(service: &ServiceDescriptor) -> String {
    let file = service.parent_file().name().to_owned();
    format!("{}.md", Path::new(&file).file_stem().unwrap().to_str().unwrap())
}

/// A REST binding.
struct Rule {
    verb: String,
    path: String,
    body: String,
}

impl Rule {
    fn body(&self) -> String {
        match &*self.body {
            "" => String::new(),
            "*" => ", the request as body".to_owned(),
            field => format!(", `{field}` as body"),
        }
    }
}

fn rules(method: &MethodDescriptor) -> Vec<Rule> {
    let http = pool().get_extension_by_name("google.api.http").unwrap();
    let options = method.options();
    let rule = options.get_extension(&http);
    let rule = rule.as_message().unwrap();
    let more = rule.get_field_by_name("additional_bindings").unwrap();
    let rules = std::iter::once(rule).chain(more.as_list().unwrap().iter().filter_map(Value::as_message));
    rules.filter_map(bound).collect()
}

fn bound(rule: &DynamicMessage) -> Option<Rule> {
    let text = |name: &str| rule.get_field_by_name(name).unwrap().as_str().unwrap().to_owned();
    for verb in ["get", "put", "post", "delete", "patch"] {
        let path = text(verb);
        if !path.is_empty() {
            return Some(Rule { verb: verb.to_uppercase(), path, body: text("body") });
        }
    }
    None
}

/// What has a comment in the proto files.
trait Commented {
    fn place(&self) -> (FileDescriptor, Vec<i32>);
}

macro_rules! commented {
    ($($descriptor:ty),*) => {
        $(impl Commented for $descriptor {
            fn place(&self) -> (FileDescriptor, Vec<i32>) {
                (self.parent_file(), self.path().to_vec())
            }
        })*
    };
}
commented!(ServiceDescriptor, MessageDescriptor, EnumDescriptor);

impl Commented for MethodDescriptor {
    fn place(&self) -> (FileDescriptor, Vec<i32>) {
        (self.parent_service().parent_file(), self.path().to_vec())
    }
}

fn comment(what: &impl Commented) -> String {
    let (file, path) = what.place();
    comment_at(&file, &path)
}

/// The comment before what is declared there, each paragraph on one line.
fn comment_at(file: &FileDescriptor, path: &[i32]) -> String {
    let info = file.file_descriptor_proto().source_code_info.as_ref().expect("descriptors have comments");
    let here = info.location.iter().find(|one| one.path == path);
    let text = here.and_then(|one| one.leading_comments.as_deref()).unwrap_or_default();
    let paragraphs = text.split("\n\n").map(|one| one.split_whitespace().collect::<Vec<_>>().join(" "));
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

/// Text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace("\n\n", "<br>").replace('|', "\\|")
}
