//! `GetSchema`: tables, columns, keys and row counts of a saved connection, filtered and in pages.

use std::fmt::Write;

use pulse::pb::v1::{
    DataType, GetSchemaRequest, GetSchemaResponse, ListConnectionsRequest, SchemaView, Table, TableColumn, TableKind,
};
use tonic::{Code, Status};

use crate::support::calls::assert_error;
use crate::support::server::Server;

const LIBRARY: &str = "
CREATE TABLE authors (
    id      INTEGER PRIMARY KEY,
    name    TEXT NOT NULL,
    born    DATE,
    rating  REAL DEFAULT 2.5,
    photo   BLOB
);
CREATE TABLE books (
    author_id  INTEGER NOT NULL REFERENCES authors (id),
    title      VARCHAR(200) NOT NULL,
    isbn       TEXT UNIQUE,
    pages      INT,
    long       INT GENERATED ALWAYS AS (pages > 500) VIRTUAL,
    PRIMARY KEY (author_id, title)
);
CREATE TABLE reviews (
    id         INTEGER PRIMARY KEY,
    author_id  INTEGER,
    title      TEXT,
    FOREIGN KEY (author_id, title) REFERENCES books (author_id, title)
);
CREATE VIEW long_books AS SELECT title, pages FROM books WHERE pages > 500;
INSERT INTO authors (id, name) VALUES (1, 'Ada'), (2, 'Ben'), (3, 'Cy');
INSERT INTO books (author_id, title, pages) VALUES (1, 'One', 100), (1, 'Two', 900);
";

async fn get(server: &mut Server, request: GetSchemaRequest) -> Result<GetSchemaResponse, Status> {
    Ok(server.connections.get_schema(request).await?.into_inner())
}

fn of(id: &str) -> GetSchemaRequest {
    GetSchemaRequest { id: id.to_owned(), ..GetSchemaRequest::default() }
}

async fn library() -> (Server, String) {
    let mut server = Server::start().await;
    let id = server.database("library", LIBRARY).await;
    (server, id)
}

fn names(tables: &[Table]) -> Vec<&str> {
    tables.iter().map(|table| table.name.as_str()).collect()
}

fn column<'a>(table: &'a Table, name: &str) -> &'a TableColumn {
    table.columns.iter().find(|column| column.name == name).unwrap_or_else(|| panic!("no column {name}: {table:?}"))
}

#[tokio::test]
async fn tables_come_with_columns_types_and_row_counts() {
    let (mut server, id) = library().await;
    let schema = get(&mut server, of(&id)).await.unwrap();
    assert_eq!(names(&schema.tables), ["authors", "books", "long_books", "reviews"]);
    assert_eq!(schema.table_count, 4);
    assert!(!schema.fingerprint.is_empty() && schema.next_page_token.is_empty());

    let authors = &schema.tables[0];
    assert_eq!((authors.schema.as_str(), authors.kind()), ("main", TableKind::Table));
    assert_eq!(authors.approximate_row_count, Some(3));
    let shown = authors.columns.iter().map(|one| (&*one.name, &*one.declared_type, one.r#type(), one.nullable));
    assert_eq!(
        shown.collect::<Vec<_>>(),
        [
            ("id", "INTEGER", DataType::Int64, false),
            ("name", "TEXT", DataType::String, false),
            ("born", "DATE", DataType::Date, true),
            ("rating", "REAL", DataType::Double, true),
            ("photo", "BLOB", DataType::Bytes, true),
        ]
    );
    assert_eq!(column(authors, "rating").default_expression, "2.5");
    let books = &schema.tables[1];
    assert_eq!((books.approximate_row_count, column(books, "title").declared_type.as_str()), (Some(2), "VARCHAR(200)"));
    assert!(column(books, "long").generated && !column(books, "pages").generated);
}

#[tokio::test]
async fn keys_are_shown() {
    let (mut server, id) = library().await;
    let schema = get(&mut server, of(&id)).await.unwrap();
    let [authors, books, long_books, reviews] = &schema.tables[..] else { panic!("{schema:?}") };
    assert_eq!((authors.primary_key.join(","), books.primary_key.join(",")), ("id".into(), "author_id,title".into()));
    assert_eq!(books.unique_keys.iter().map(|key| key.columns.join(",")).collect::<Vec<_>>(), ["isbn"]);
    assert_eq!(foreign_keys(books), ["author_id -> authors.id"]);
    assert_eq!(foreign_keys(reviews), ["author_id,title -> books.author_id,title"]);
    assert_eq!((long_books.kind(), long_books.columns.len()), (TableKind::View, 2));
}

fn foreign_keys(table: &Table) -> Vec<String> {
    let shown = table.foreign_keys.iter().map(|key| {
        format!("{} -> {}.{}", key.columns.join(","), key.referenced_table, key.referenced_columns.join(","))
    });
    shown.collect()
}

#[tokio::test]
async fn filters_and_views_narrow_what_is_told() {
    let (mut server, id) = library().await;
    let one = get(&mut server, GetSchemaRequest { table: "books".to_owned(), ..of(&id) }).await.unwrap();
    assert_eq!((names(&one.tables), one.table_count), (vec!["books"], 1));
    for (schema, count) in [("main", 4), ("elsewhere", 0)] {
        let some = get(&mut server, GetSchemaRequest { schema: schema.to_owned(), ..of(&id) }).await.unwrap();
        assert_eq!(some.tables.len(), count, "{schema}");
    }
    let only_names = get(&mut server, GetSchemaRequest { view: SchemaView::Names.into(), ..of(&id) }).await.unwrap();
    assert_eq!(names(&only_names.tables), ["authors", "books", "long_books", "reviews"]);
    assert!(only_names.tables.iter().all(|table| table.columns.is_empty() && table.primary_key.is_empty()));
    assert_eq!(only_names.tables[0].approximate_row_count, Some(3));
}

#[tokio::test]
async fn three_hundred_tables_come_in_pages() {
    let mut server = Server::start().await;
    let tables = (0..300).fold(String::new(), |mut text, number| {
        write!(text, "CREATE TABLE t{number:03} (id INTEGER PRIMARY KEY, name TEXT);").unwrap();
        text
    });
    let id = server.database("wide", &tables).await;
    assert_eq!(get(&mut server, of(&id)).await.unwrap().tables.len(), 200);

    let (mut seen, mut sizes, mut page_token) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = get(&mut server, GetSchemaRequest { page_size: 140, page_token, ..of(&id) }).await.unwrap();
        assert_eq!(page.table_count, 300);
        sizes.push(page.tables.len());
        seen.extend(page.tables.into_iter().map(|table| table.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(sizes, [140, 140, 20]);
    assert_eq!(seen, (0..300).map(|number| format!("t{number:03}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_page_token_belongs_to_its_filter_and_connection() {
    let (mut server, id) = library().await;
    let other = server.database("other", LIBRARY).await;
    let first = get(&mut server, GetSchemaRequest { page_size: 1, ..of(&id) }).await.unwrap();
    let page_token = first.next_page_token;
    for request in [
        GetSchemaRequest { page_token: page_token.clone(), schema: "main".to_owned(), ..of(&id) },
        GetSchemaRequest { page_token: page_token.clone(), ..of(&other) },
    ] {
        let refused = get(&mut server, request).await.unwrap_err();
        assert_error(&refused, Code::InvalidArgument, "PAGE_TOKEN_INVALID", &[]);
    }
    let elsewhere = ListConnectionsRequest { page_token, ..ListConnectionsRequest::default() };
    let refused = server.connections.list_connections(elsewhere).await.unwrap_err();
    assert_error(&refused, Code::InvalidArgument, "PAGE_TOKEN_INVALID", &[]);
}

#[tokio::test]
async fn a_changed_schema_is_noticed() {
    let (mut server, id) = library().await;
    let before = get(&mut server, of(&id)).await.unwrap();
    let database = rusqlite::Connection::open(server.databases().join("library.sqlite")).unwrap();
    database.execute_batch("INSERT INTO authors (name) VALUES ('Di')").unwrap();
    let refreshed = |id: &str| GetSchemaRequest { refresh: true, ..of(id) };
    let grown = get(&mut server, refreshed(&id)).await.unwrap();
    assert_eq!((&grown.fingerprint, grown.tables[0].approximate_row_count), (&before.fingerprint, Some(4)));
    database.execute_batch("CREATE TABLE zines (id INTEGER PRIMARY KEY)").unwrap();
    let changed = get(&mut server, refreshed(&id)).await.unwrap();
    assert_eq!(names(&changed.tables).last(), Some(&"zines"));
    assert_ne!(changed.fingerprint, before.fingerprint);
}
