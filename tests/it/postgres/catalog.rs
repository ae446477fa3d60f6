//! The catalog: everything that the user may read, each thing once, and as it is.

use std::fmt::Write as _;
use std::time::Instant;

use pulse::domain::{ColumnType, ForeignKey, Schema, Table, TableKind};
use pulse::sql::SampleBounds;

use super::{opened, patient};
use crate::support::servers;

const MADE: &str = "
CREATE SCHEMA sales; CREATE SCHEMA \"Odd name\"; CREATE SCHEMA hidden;
CREATE TYPE sales.state AS ENUM ('new', 'paid', 'it''s sent');
CREATE DOMAIN sales.price AS numeric(10, 2) NOT NULL DEFAULT 0;
CREATE DOMAIN sales.low_price AS sales.price CHECK (value < 10);
CREATE DOMAIN sales.open_state AS sales.state;
CREATE DOMAIN sales.tags AS text[];
CREATE TABLE country (code char(2) PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE sales.customer (
  region int, number bigint GENERATED ALWAYS AS IDENTITY, country char(2) REFERENCES country,
  email text, state sales.state NOT NULL DEFAULT 'new', shown sales.open_state, states sales.state[],
  price sales.price, low sales.low_price, tags sales.tags, born date DEFAULT CURRENT_DATE,
  twice int GENERATED ALWAYS AS (region * 2) STORED, gone int, address inet, PRIMARY KEY (number, region));
ALTER TABLE sales.customer DROP COLUMN gone;
CREATE UNIQUE INDEX ON sales.customer (region, email) INCLUDE (country);
CREATE UNIQUE INDEX ON sales.customer (lower(email));
CREATE UNIQUE INDEX ON sales.customer (email) WHERE region = 1;
COMMENT ON TABLE sales.customer IS 'Who buys';
COMMENT ON COLUMN sales.customer.email IS 'Where to write';
CREATE TABLE \"Odd name\".\"Order \"\"x\"\"\" (id serial PRIMARY KEY, region int, number bigint, parent int REFERENCES \"Odd name\".\"Order \"\"x\"\"\",
  CONSTRAINT buyer FOREIGN KEY (number, region) REFERENCES sales.customer (number, region));
CREATE TABLE sales.event (id int, at date NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE sales.event_2023 PARTITION OF sales.event FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');
CREATE TABLE sales.event_2024 PARTITION OF sales.event FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY RANGE (at);
CREATE TABLE sales.event_2024_1 PARTITION OF sales.event_2024 FOR VALUES FROM ('2024-01-01') TO ('2024-07-01');
CREATE TABLE sales.note (event int, at date, FOREIGN KEY (event, at) REFERENCES sales.event);
CREATE VIEW sales.paid AS SELECT number, email FROM sales.customer WHERE state = 'paid';
CREATE MATERIALIZED VIEW sales.totals AS SELECT region, count(*) AS n FROM sales.customer GROUP BY region;
COMMENT ON MATERIALIZED VIEW sales.totals IS 'Counted at night';
CREATE TABLE unread (id int PRIMARY KEY, secret text);
CREATE TABLE partly (id int PRIMARY KEY, name text, secret text UNIQUE, other int REFERENCES unread);
REVOKE ALL ON unread, partly FROM pulse_ro; GRANT SELECT (name, other) ON partly TO pulse_ro;
CREATE TABLE hidden.t (n int); REVOKE ALL ON SCHEMA hidden FROM pulse_ro;
CREATE TABLE empty ();
INSERT INTO country SELECT chr(65 + n / 26) || chr(65 + n % 26), n::text FROM generate_series(0, 99) n;
INSERT INTO sales.event SELECT n, '2023-05-01' FROM generate_series(1, 30) n;
INSERT INTO sales.event SELECT n, '2024-05-01' FROM generate_series(1, 12) n;
";

fn table<'a>(schema: &'a Schema, namespace: &str, name: &str) -> &'a Table {
    let found: Vec<&Table> =
        schema.tables.iter().filter(|table| table.schema == namespace && table.name == name).collect();
    assert_eq!(found.len(), 1, "{namespace}.{name}");
    found[0]
}

#[tokio::test]
async fn every_kind_of_thing_is_read() {
    let home = servers::postgres().await.fresh_database("catalog").await;
    home.admin(MADE).await;
    let database = opened(&home, patient());
    let schema = database.schema().await.unwrap();
    let names: Vec<String> = schema.tables.iter().map(|table| format!("{}.{}", table.schema, table.name)).collect();
    let mut expected = [
        "public.country",
        "public.partly",
        "public.empty",
        "sales.customer",
        "sales.event",
        "sales.note",
        "sales.paid",
        "sales.totals",
        "Odd name.Order \"x\"",
    ]
    .map(str::to_owned)
    .to_vec();
    expected.sort();
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(sorted, expected);

    let customer = table(&schema, "sales", "customer");
    assert_eq!((customer.kind, customer.comment.as_deref()), (TableKind::Table, Some("Who buys")));
    assert_eq!(customer.primary_key, ["number", "region"]);
    assert_eq!(customer.unique_keys, [["region", "email"]]);
    let key = |name: &str, columns: &[&str], schema: &str, table: &str, referenced: &[&str]| ForeignKey {
        name: name.to_owned().into(),
        columns: columns.iter().map(ToString::to_string).collect(),
        referenced_schema: schema.to_owned(),
        referenced_table: table.to_owned(),
        referenced_columns: referenced.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(customer.foreign_keys, [key("customer_country_fkey", &["country"], "public", "country", &["code"])]);
    let labels = ["new", "paid", "it's sent"];
    for (name, declared, kind, nullable, default, labels, generated) in [
        ("region", "integer", ColumnType::Integer, false, None, [].as_slice(), false),
        ("number", "bigint", ColumnType::Integer, false, None, &[], false),
        ("country", "character(2)", ColumnType::Text, true, None, &[], false),
        ("email", "text", ColumnType::Text, true, None, &[], false),
        ("state", "sales.state", ColumnType::Text, false, Some("'new'::sales.state"), &labels, false),
        ("shown", "sales.open_state", ColumnType::Text, true, None, &labels, false),
        ("states", "sales.state[]", ColumnType::Array, true, None, &[], false),
        ("price", "sales.price", ColumnType::Decimal, false, Some("0"), &[], false),
        ("low", "sales.low_price", ColumnType::Decimal, false, Some("0"), &[], false),
        ("tags", "sales.tags", ColumnType::Array, true, None, &[], false),
        ("born", "date", ColumnType::Date, true, Some("CURRENT_DATE"), &[], false),
        ("twice", "integer", ColumnType::Integer, true, None, &[], true),
        ("address", "inet", ColumnType::Other, true, None, &[], false),
    ] {
        let column = customer.columns.iter().find(|column| column.name == name).unwrap_or_else(|| panic!("{name}"));
        let found =
            (column.declared_type.as_str(), column.kind, column.nullable, column.default.as_deref(), column.generated);
        assert_eq!(found, (declared, kind, nullable, default, generated), "{name}");
        assert_eq!(column.enum_labels, labels, "{name}");
    }
    assert_eq!(customer.columns.len(), 13);
    assert_eq!(
        customer.columns.iter().find(|column| column.name == "email").unwrap().comment.as_deref(),
        Some("Where to write")
    );

    let order = table(&schema, "Odd name", "Order \"x\"");
    assert_eq!(
        order.foreign_keys,
        [
            key("Order \"x\"_parent_fkey", &["parent"], "Odd name", "Order \"x\"", &["id"]),
            key("buyer", &["number", "region"], "sales", "customer", &["number", "region"]),
        ]
    );
    let note = table(&schema, "sales", "note");
    assert_eq!(note.foreign_keys, [key("note_event_at_fkey", &["event", "at"], "sales", "event", &["id", "at"])]);
    assert_eq!(table(&schema, "sales", "paid").kind, TableKind::View);
    let totals = table(&schema, "sales", "totals");
    assert_eq!((totals.kind, totals.comment.as_deref()), (TableKind::MaterializedView, Some("Counted at night")));
    assert_eq!(table(&schema, "public", "country").unique_keys, [["name"]]);
    assert_eq!(table(&schema, "public", "empty").columns, []);
}

/// What may not be read is not told either: no column, no key over it, no table behind a foreign key.
#[tokio::test]
async fn only_what_the_user_may_read_is_told() {
    let home = servers::postgres().await.fresh_database("grants").await;
    home.admin(MADE).await;
    let schema = opened(&home, patient()).schema().await.unwrap();
    let partly = table(&schema, "public", "partly");
    let names: Vec<&str> = partly.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["name", "other"]);
    assert_eq!(
        (&partly.primary_key[..], &partly.unique_keys[..], &partly.foreign_keys[..]),
        (&[][..], &[][..], &[][..])
    );
}

#[tokio::test]
async fn row_counts_are_what_the_statistics_say() {
    let home = servers::postgres().await.fresh_database("counts").await;
    home.admin(MADE).await;
    let database = opened(&home, patient());
    let count = async |namespace: &str, name: &str| table(&database.schema().await.unwrap(), namespace, name).row_count;
    assert_eq!(count("public", "country").await, None);
    home.admin("ANALYZE;").await;
    assert_eq!(count("public", "country").await, Some(100));
    assert_eq!(count("sales", "event").await, Some(42));
    assert_eq!(count("sales", "paid").await, None);
}

#[tokio::test]
async fn values_are_collected_within_bounds() {
    let home = servers::postgres().await.fresh_database("samples").await;
    home.admin(MADE).await;
    let database = opened(&home, patient());
    let schema = database.schema().await.unwrap();
    let bounds = SampleBounds { values_per_column: 200, ..SampleBounds::default() };
    let index = format!("{:?}", database.values(&schema, bounds).await.unwrap());
    assert!(index.contains("it's sent") && index.contains("\"99\""), "{index}");
    assert!(!index.contains("secret"), "{index}");
}

/// 1,000 tables of 20 columns: a handful of statements, not one a table.
#[tokio::test]
async fn a_thousand_tables_take_as_many_statements_as_one() {
    let server = servers::postgres_of_its_own(&["shared_preload_libraries = 'pg_stat_statements'"]).await;
    let home = server.fresh_database("thousand").await;
    home.admin("CREATE EXTENSION pg_stat_statements;").await;
    let database = opened(&home, patient());
    let asked =
        "SELECT sum(calls) FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid WHERE rolname = 'pulse_ro';";
    let mut counts = Vec::new();
    for tables in [1, 1_000] {
        let mut sql = String::new();
        for table in 0..tables {
            let columns: Vec<String> = (1..20).map(|column| format!("c{column} text")).collect();
            let _ = writeln!(sql, "CREATE TABLE t{tables}_{table} (id int PRIMARY KEY, {});", columns.join(", "));
        }
        home.admin(&sql).await;
        database.probe().await.unwrap();
        home.admin("SELECT pg_stat_statements_reset();").await;
        let begun = Instant::now();
        let schema = database.schema().await.unwrap();
        println!("{} tables in {:?}", schema.tables.len(), begun.elapsed());
        assert!(schema.tables.iter().filter(|table| table.columns.len() == 20).count() >= tables);
        counts.push(home.admin(asked).await);
    }
    assert_eq!(counts[0], counts[1]);
}
