//! `pulse knowledge`: what people know of a database, as a YAML document.

use std::io::{Read, Write};
use std::path::Path;

use super::client::{Client, explain};
use super::command::{Error, ExportArguments, ImportArguments, Outcome};
use crate::pb::v1::{ExportKnowledgeRequest, ImportKnowledgeRequest};

/// Prints the document.
pub(super) async fn export(arguments: ExportArguments) -> Result<Outcome, Error> {
    let mut client = Client::connect(&arguments.server).await?;
    let connection_id = client.find_connection(&arguments.connection).await?.id;
    let exported = client.knowledge.export_knowledge(ExportKnowledgeRequest { connection_id }).await;
    let yaml = exported.map_err(|status| explain(&status))?.into_inner().yaml;
    // A reader that is gone wants no more.
    let _ = std::io::stdout().write_all(yaml.as_bytes());
    Ok(Outcome::Done)
}

/// Replaces what is known by the document, or says all that is wrong with it.
pub(super) async fn import(arguments: ImportArguments) -> Result<Outcome, Error> {
    let yaml = read(&arguments.file)?;
    let mut client = Client::connect(&arguments.server).await?;
    let connection = client.find_connection(&arguments.connection).await?;
    let request = ImportKnowledgeRequest {
        connection_id: connection.id,
        yaml,
        validate_only: arguments.check,
        ..ImportKnowledgeRequest::default()
    };
    let imported = client.knowledge.import_knowledge(request).await.map_err(|status| explain(&status))?;
    let known = imported.into_inner().knowledge.unwrap_or_default();
    println!(
        "{}: tables {}, measures {}, joins {}, examples {}{}",
        connection.name,
        known.tables.len(),
        known.measures.len(),
        known.joins.len(),
        known.example_count,
        if arguments.check { "; checked, not saved" } else { "" },
    );
    Ok(Outcome::Done)
}

/// The file, or standard input for `-`.
fn read(file: &Path) -> Result<String, Error> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    read.map_err(|error| Error::Usage(format!("{}: {error}", file.display())))
}
