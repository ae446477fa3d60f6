//! Everything that the three dialects spell differently, in one place.
//!
//! The same query must give the same rows everywhere, so this decides meaning too, where a dialect's own spelling means
//! something else: texts are equal when they are spelled alike (MySQL's collations ignore case and accents), they sort by
//! code points (a server's locale sorts as its installer chose), NULL sorts before everything, text that is searched for is
//! found in any case, and averages are not rounded.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::LazyLock;

use crate::domain::{Column, ColumnType, DatabaseKind, Schema, Table};

/// How one schema's statements are spelled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialect<'a> {
    schema: &'a Schema,
    /// With several namespaces on MySQL nobody says which is the connection's own.
    several_namespaces: bool,
}

/// Where a searched text may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Search<'a> {
    /// Whether anything may stand before it.
    pub before: bool,
    /// Whether anything may follow.
    pub after: bool,
    /// As written in the question.
    pub text: &'a str,
}

impl<'a> Dialect<'a> {
    /// The dialect of a schema.
    pub(crate) fn of(schema: &'a Schema) -> Self {
        let several_namespaces = schema.tables.windows(2).any(|pair| pair[0].schema != pair[1].schema);
        Self { schema, several_namespaces }
    }

    // ---- names ----

    /// A table's name, with its namespace where the name alone could be another table.
    pub(crate) fn table(self, table: &Table) -> String {
        let name = self.identifier(&table.name);
        let namesakes = || self.schema.tables.iter().filter(|other| other.name == table.name).count() > 1;
        let full = match self.schema.dialect {
            DatabaseKind::Sqlite => false,
            DatabaseKind::Postgresql => table.schema != "public" || namesakes(),
            DatabaseKind::Mysql => self.several_namespaces,
        };
        if full { format!("{}.{name}", self.identifier(&table.schema)) } else { name }
    }

    /// A name, in quotes where it would be read as something else.
    pub(crate) fn identifier(self, name: &str) -> String {
        let folded = self.schema.dialect == DatabaseKind::Postgresql && name.contains(|c: char| c.is_ascii_uppercase());
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && !folded
            && !RESERVED.contains(name.to_ascii_lowercase().as_str());
        match self.schema.dialect {
            _ if plain => name.to_owned(),
            DatabaseKind::Mysql => format!("`{}`", name.replace('`', "``")),
            DatabaseKind::Sqlite | DatabaseKind::Postgresql => format!("\"{}\"", name.replace('"', "\"\"")),
        }
    }

    // ---- constants ----

    /// A text.
    pub(crate) fn text(self, text: &str) -> String {
        let text = text.replace('\'', "''");
        let text = if self.schema.dialect == DatabaseKind::Mysql { text.replace('\\', "\\\\") } else { text };
        format!("'{text}'")
    }

    /// A text that a column is compared with.
    pub(crate) fn text_like_in(self, column: &Column, text: &str) -> String {
        let collation = if self.folds(column) { " COLLATE utf8mb4_bin" } else { "" };
        self.text(text) + collation
    }

    /// A number that a column is compared with: flags of PostgreSQL are no numbers.
    pub(crate) fn number_like_in(self, column: &Column, number: &str) -> String {
        match number {
            "1" if self.is_flag(column) => "TRUE".to_owned(),
            "0" if self.is_flag(column) => "FALSE".to_owned(),
            number => number.to_owned(),
        }
    }

    // ---- columns: `sql` is the column as it stands in the statement ----

    /// The column to compare with numbers and to compute with: texts may hold numbers too, which SQLite takes as they are.
    /// A text that starts with no number is none in PostgreSQL, where the others say 0.
    pub(crate) fn number(self, column: &Column, sql: String) -> String {
        match self.schema.dialect {
            _ if column.kind != ColumnType::Text => sql,
            DatabaseKind::Sqlite => sql,
            DatabaseKind::Postgresql => {
                format!("CAST(SUBSTRING({sql} FROM '^ *[-+]?[0-9]+[.]?[0-9]*') AS NUMERIC)")
            }
            DatabaseKind::Mysql => format!("CAST({sql} AS DOUBLE)"),
        }
    }

    /// The column to average: MySQL rounds averages of whole and decimal numbers.
    pub(crate) fn averaged(self, column: &Column, sql: String) -> String {
        let rounds = self.schema.dialect == DatabaseKind::Mysql && column.kind != ColumnType::Float;
        if rounds { format!("CAST({sql} AS DOUBLE)") } else { self.number(column, sql) }
    }

    /// The column to sort by, and to ask whether it is above or below a text.
    pub(crate) fn ordered(self, column: &Column, sql: String) -> String {
        match self.schema.dialect {
            DatabaseKind::Postgresql if is_text(column) => format!("{sql} COLLATE \"C\""),
            DatabaseKind::Mysql if is_text(column) => binary(&sql),
            _ => sql,
        }
    }

    /// The column to compare with a first or a last text; on MySQL the text says how, see [`Self::text_like_in`].
    pub(crate) fn ranged(self, column: &Column, sql: String) -> String {
        if self.folds(column) { sql } else { self.ordered(column, sql) }
    }

    /// The column to take the smallest or the largest value of.
    pub(crate) fn extreme(self, column: &Column, sql: String) -> String {
        if self.folds(column) { self.spelled(column, sql) } else { self.ordered(column, sql) }
    }

    /// The column to count the different values of.
    pub(crate) fn counted(self, column: &Column, sql: String) -> String {
        if self.folds(column) { binary(&sql) } else { sql }
    }

    /// What to group by besides the column, so that each spelling is a group of its own.
    pub(crate) fn also_grouped(self, column: &Column, sql: &str) -> Option<String> {
        self.folds(column).then(|| binary(sql))
    }

    /// The column as a text that only equals its own spelling.
    pub(crate) fn spelled(self, column: &Column, sql: String) -> String {
        if self.folds(column) { format!("CONVERT({sql} USING utf8mb4) COLLATE utf8mb4_bin") } else { sql }
    }

    /// The year (`2024`) or month (`2024-03`) of a date, as text.
    pub(crate) fn period(self, column: &Column, sql: &str, month: bool) -> String {
        match (self.schema.dialect, month) {
            (DatabaseKind::Sqlite, false) => format!("strftime('%Y', {sql})"),
            (DatabaseKind::Sqlite, true) => format!("strftime('%Y-%m', {sql})"),
            (DatabaseKind::Postgresql, _) if !column.kind.is_temporal() => {
                format!("substr({sql}, 1, {})", if month { 7 } else { 4 })
            }
            (DatabaseKind::Postgresql, false) => format!("to_char({sql}, 'YYYY')"),
            (DatabaseKind::Postgresql, true) => format!("to_char({sql}, 'YYYY-MM')"),
            (DatabaseKind::Mysql, false) => format!("date_format({sql}, '%Y')"),
            (DatabaseKind::Mysql, true) => format!("date_format({sql}, '%Y-%m')"),
        }
    }

    /// Whether a text is found in the column, in any case.
    pub(crate) fn search(self, column: &Column, sql: &str, search: Search<'_>, negated: bool) -> String {
        let not = if negated { "NOT " } else { "" };
        match self.schema.dialect {
            DatabaseKind::Sqlite => {
                // LIKE of SQLite knows the cases of ASCII letters only.
                let mut spellings =
                    vec![search.text.to_owned(), search.text.to_lowercase(), search.text.to_uppercase()];
                let mut seen = HashSet::new();
                spellings.retain(|text| seen.insert(text.to_ascii_lowercase()));
                let each = |text: &String| format!("{sql} {not}LIKE {}", self.pattern(Search { text, ..search }, ""));
                let each: Vec<String> = spellings.iter().map(each).collect();
                match &each[..] {
                    [only] => only.clone(),
                    several => format!("({})", several.join(if negated { " AND " } else { " OR " })),
                }
            }
            DatabaseKind::Postgresql => {
                let text = if is_text(column) { sql.to_owned() } else { format!("CAST({sql} AS TEXT)") };
                format!("{text} {not}ILIKE {}", self.pattern(search, ""))
            }
            DatabaseKind::Mysql => {
                let lower = search.text.to_lowercase();
                let pattern = self.pattern(Search { text: &lower, ..search }, " COLLATE utf8mb4_bin");
                format!("LOWER({sql}) {not}LIKE {pattern}")
            }
        }
    }

    /// A pattern for LIKE in which the text stands for itself.
    fn pattern(self, search: Search<'_>, collation: &str) -> String {
        let percent = |there: bool| if there { "%" } else { "" };
        let special = search.text.contains(['%', '_', '\\']);
        let text = if special {
            search.text.replace('!', "!!").replace('%', "!%").replace('_', "!_")
        } else {
            search.text.to_owned()
        };
        let mut sql = self.text(&format!("{}{text}{}", percent(search.before), percent(search.after)));
        let _ = write!(sql, "{collation}{}", if special { " ESCAPE '!'" } else { "" });
        sql
    }

    // ---- order ----

    /// What follows a sort key, so that NULL sorts before everything.
    pub(crate) fn direction(self, descending: bool, nullable: bool) -> &'static str {
        match (self.schema.dialect, descending) {
            (DatabaseKind::Postgresql, false) if nullable => " NULLS FIRST",
            (DatabaseKind::Postgresql, true) if nullable => " DESC NULLS LAST",
            (_, true) => " DESC",
            (_, false) => "",
        }
    }

    /// Whether every sort key of SELECT DISTINCT must be shown as it is sorted by.
    pub(crate) fn sorts_distinct_by_what_it_shows(self) -> bool {
        self.schema.dialect != DatabaseKind::Sqlite
    }

    /// Whether the column's own comparison takes different texts for equal.
    pub(crate) fn folds(self, column: &Column) -> bool {
        self.schema.dialect == DatabaseKind::Mysql && is_text(column)
    }

    fn is_flag(self, column: &Column) -> bool {
        self.schema.dialect == DatabaseKind::Postgresql && column.kind == ColumnType::Boolean
    }
}

/// Free text; the labels of an enum are compared and sorted in their declared order.
fn is_text(column: &Column) -> bool {
    column.kind == ColumnType::Text && column.enum_labels.is_empty()
}

fn binary(sql: &str) -> String {
    format!("CAST({sql} AS BINARY)")
}

/// Words that are quoted when they are names: reserved in one of the dialects.
static RESERVED: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    "accessible add all alter analyse analyze and any array as asc asensitive asymmetric authorization before between bigint
     binary blob both by call cascade case cast change char character check collate collation column concurrently condition
     constraint continue convert create cross cube cume_dist current_catalog current_date current_role current_schema
     current_time current_timestamp current_user cursor database databases day_hour day_microsecond day_minute day_second
     dec decimal declare default deferrable delayed delete dense_rank desc describe deterministic distinct distinctrow div
     do double drop dual each else elseif empty enclosed end escape escaped except exists exit explain false fetch
     first_value float float4 float8 for force foreign freeze from full fulltext function generated get glob grant group
     grouping groups having high_priority hour_microsecond hour_minute hour_second if ignore ilike in index infile initially
     inner inout insensitive insert int int1 int2 int3 int4 int8 integer intersect interval into io_after_gtids
     io_before_gtids is isnull iterate join json_table key keys kill lag last_value lateral lead leading leave left like
     limit linear lines load localtime localtimestamp lock long longblob longtext loop low_priority master_bind match
     maxvalue mediumblob mediumint mediumtext middleint minute_microsecond minute_second mod modifies natural
     no_write_to_binlog not notnull nth_value ntile null numeric of offset on only optimize optimizer_costs option
     optionally or order out outer outfile over overlaps page_checksum parse_vcol_expr partition percent_rank placing
     position precision primary procedure purge qualify range rank read read_write reads real recursive ref_system_id
     references regexp release rename repeat replace require resignal restrict return returning revoke right rlike row
     row_number rows schema schemas second_microsecond select sensitive separator session_user set show signal similar
     slow smallint some spatial specific sql sql_big_result sql_calc_found_rows sql_small_result sqlexception sqlstate
     sqlwarning ssl starting stats_auto_recalc stats_persistent stats_sample_pages stored straight_join symmetric system
     table tablesample terminated then tinyblob tinyint tinytext to top trailing transaction trigger true undo union unique
     unlock unsigned update usage use user using utc_date utc_time utc_timestamp values varbinary varchar varcharacter
     variadic varying verbose virtual when where while window with write xor year_month zerofill"
        .split_whitespace()
        .collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(dialect: DatabaseKind, tables: &[(&str, &str)]) -> Schema {
        let table = |(schema, name): &(&str, &str)| Table {
            schema: (*schema).to_owned(),
            name: (*name).to_owned(),
            kind: crate::domain::TableKind::Table,
            columns: Vec::new(),
            primary_key: Vec::new(),
            unique_keys: Vec::new(),
            foreign_keys: Vec::new(),
            comment: None,
            row_count: None,
        };
        Schema { dialect, tables: tables.iter().map(table).collect(), fingerprint: String::new() }
    }

    fn column(kind: ColumnType) -> Column {
        Column {
            name: "c".to_owned(),
            declared_type: String::new(),
            kind,
            nullable: true,
            default: None,
            comment: None,
            enum_labels: Vec::new(),
            generated: false,
        }
    }

    /// The same thing in SQLite, PostgreSQL and MySQL.
    fn check(spell: impl Fn(Dialect<'_>) -> String, expected: [&str; 3]) {
        let kinds = [DatabaseKind::Sqlite, DatabaseKind::Postgresql, DatabaseKind::Mysql];
        for (kind, expected) in kinds.into_iter().zip(expected) {
            assert_eq!(spell(Dialect::of(&schema(kind, &[]))), expected, "{kind:?}");
        }
    }

    #[test]
    fn names_are_quoted_where_they_must_be() {
        check(|dialect| dialect.identifier("country"), ["country", "country", "country"]);
        check(|dialect| dialect.identifier("InvoiceLine"), ["InvoiceLine", "\"InvoiceLine\"", "InvoiceLine"]);
        check(|dialect| dialect.identifier("order"), ["\"order\"", "\"order\"", "`order`"]);
        check(|dialect| dialect.identifier("a`b\"c"), ["\"a`b\"\"c\"", "\"a`b\"\"c\"", "`a``b\"c`"]);
        check(|dialect| dialect.identifier("Größe"), ["\"Größe\"", "\"Größe\"", "`Größe`"]);
    }

    #[test]
    fn namespaces_are_named_where_a_table_could_be_another() {
        let named = |kind, tables: &[(&str, &str)]| {
            let schema = schema(kind, tables);
            schema.tables.iter().map(|table| Dialect::of(&schema).table(table)).collect::<Vec<_>>()
        };
        let tables = [("public", "a"), ("public", "b"), ("sales", "a"), ("Sales", "c")];
        assert_eq!(named(DatabaseKind::Postgresql, &tables), ["public.a", "b", "sales.a", "\"Sales\".c"]);
        assert_eq!(named(DatabaseKind::Mysql, &[("shop", "a"), ("shop", "b")]), ["a", "b"]);
        assert_eq!(named(DatabaseKind::Mysql, &[("crm", "a"), ("shop", "b")]), ["crm.a", "shop.b"]);
        assert_eq!(named(DatabaseKind::Sqlite, &[("main", "a")]), ["a"]);
    }

    #[test]
    fn texts_equal_their_own_spelling() {
        let (text, date) = (column(ColumnType::Text), column(ColumnType::Date));
        check(
            |dialect| dialect.text_like_in(&text, "O'Neil"),
            ["'O''Neil'", "'O''Neil'", "'O''Neil' COLLATE utf8mb4_bin"],
        );
        check(|dialect| dialect.text_like_in(&date, "2024-01-01"), ["'2024-01-01'"; 3]);
        check(|dialect| dialect.text("a\\b"), ["'a\\b'", "'a\\b'", "'a\\\\b'"]);
        check(|dialect| dialect.counted(&text, "c".to_owned()), ["c", "c", "CAST(c AS BINARY)"]);
        check(|dialect| dialect.ordered(&text, "c".to_owned()), ["c", "c COLLATE \"C\"", "CAST(c AS BINARY)"]);
        check(|dialect| dialect.ordered(&date, "c".to_owned()), ["c"; 3]);
    }

    #[test]
    fn flags_and_numbers() {
        let (flag, number) = (column(ColumnType::Boolean), column(ColumnType::Integer));
        check(|dialect| dialect.number_like_in(&flag, "1"), ["1", "TRUE", "1"]);
        check(|dialect| dialect.number_like_in(&number, "1"), ["1"; 3]);
        check(|dialect| dialect.averaged(&number, "c".to_owned()), ["c", "c", "CAST(c AS DOUBLE)"]);
        let text = column(ColumnType::Text);
        let postgresql = "CAST(SUBSTRING(c FROM '^ *[-+]?[0-9]+[.]?[0-9]*') AS NUMERIC)";
        check(|dialect| dialect.number(&text, "c".to_owned()), ["c", postgresql, "CAST(c AS DOUBLE)"]);
    }

    #[test]
    fn searched_text_stands_for_itself_in_any_case() {
        let text = column(ColumnType::Text);
        let search = |text| Search { before: true, after: true, text };
        check(
            |dialect| dialect.search(&text, "c", search("Lamp"), false),
            ["c LIKE '%Lamp%'", "c ILIKE '%Lamp%'", "LOWER(c) LIKE '%lamp%' COLLATE utf8mb4_bin"],
        );
        check(
            |dialect| dialect.search(&text, "c", search("é"), true),
            [
                "(c NOT LIKE '%é%' AND c NOT LIKE '%É%')",
                "c NOT ILIKE '%é%'",
                "LOWER(c) NOT LIKE '%é%' COLLATE utf8mb4_bin",
            ],
        );
        check(
            |dialect| dialect.search(&text, "c", search("5%!"), false),
            [
                "c LIKE '%5!%!!%' ESCAPE '!'",
                "c ILIKE '%5!%!!%' ESCAPE '!'",
                "LOWER(c) LIKE '%5!%!!%' COLLATE utf8mb4_bin ESCAPE '!'",
            ],
        );
        let number = column(ColumnType::Integer);
        let found = Search { before: false, after: true, text: "4" };
        check(
            |dialect| dialect.search(&number, "c", found, false),
            ["c LIKE '4%'", "CAST(c AS TEXT) ILIKE '4%'", "LOWER(c) LIKE '4%' COLLATE utf8mb4_bin"],
        );
    }

    #[test]
    fn nulls_sort_first_everywhere() {
        check(|dialect| dialect.direction(false, true).to_owned(), ["", " NULLS FIRST", ""]);
        check(|dialect| dialect.direction(true, true).to_owned(), [" DESC", " DESC NULLS LAST", " DESC"]);
        check(|dialect| dialect.direction(true, false).to_owned(), [" DESC"; 3]);
    }
}
