//! What a statement says that it may not mean: it runs, but tables are joined beside their keys, columns are neither
//! grouped nor aggregated, or values of different kinds are compared. Found from its text, the schema and the values,
//! without the database.

use std::collections::HashSet;

use super::evidence::{column_of, table_of};
use crate::domain::evidence::{Doubt, DoubtKind};
use crate::domain::{Column, ColumnPath, ColumnType, DatabaseKind, ForeignKey, Schema, Table, ValueIndex};
use crate::sql::analyse::{Analysis, ColumnUse, Grouping, SelectUse};

/// Everything that is odd, in the order of the statement.
#[must_use]
pub fn doubts(analysis: &Analysis, schema: &Schema, values: &ValueIndex) -> Vec<Doubt> {
    let reader = Reader { analysis, schema, values };
    let mut doubts = reader.joins();
    for select in &analysis.selects {
        doubts.extend(reader.product(select));
        doubts.extend(select.grouping.iter().flat_map(|grouping| reader.ungrouped(grouping)));
    }
    doubts.extend(reader.texts());
    doubts.extend(reader.sums());
    doubts.sort_by_key(|doubt| (doubt.position, doubt.kind));
    doubts.dedup();
    doubts
}

struct Reader<'a> {
    analysis: &'a Analysis,
    schema: &'a Schema,
    values: &'a ValueIndex,
}

impl<'a> Reader<'a> {
    /// Tables that a key connects but that are joined by something else; and columns of different kinds.
    fn joins(&self) -> Vec<Doubt> {
        let pairs: Vec<(ColumnPath, ColumnPath, u32)> = self
            .analysis
            .equalities
            .iter()
            .filter_map(|(left, right)| Some((self.path(left)?, self.path(right)?, left.position)))
            .collect();
        let along_key = |one: &ColumnPath, other: &ColumnPath| self.refers(one, other) || self.refers(other, one);
        let mut doubts = Vec::new();
        for (one, other, position) in pairs.iter().filter(|(one, other, _)| table_name(one) != table_name(other)) {
            let between = self.keys_between(one, other);
            let joined_by_key = pairs.iter().any(|(left, right, _)| {
                let same_tables = [table_name(left), table_name(right)];
                same_tables.contains(&table_name(one))
                    && same_tables.contains(&table_name(other))
                    && along_key(left, right)
            });
            let alike = one.column.eq_ignore_ascii_case(&other.column) || self.share_parent(one, other);
            if let (Some(key), false, false) = (between.first(), joined_by_key, alike) {
                let message = format!("{} = {} does not follow a key; the key is {key}", short(one), short(other));
                doubts.push(Doubt { kind: DoubtKind::Join, message, position: *position });
            } else if self.differ(one, other) && !along_key(one, other) {
                let message = format!("{} and {} hold different kinds of values", short(one), short(other));
                doubts.push(Doubt { kind: DoubtKind::Kind, message, position: *position });
            }
        }
        doubts
    }

    /// Tables in one FROM that no condition connects.
    fn product(&self, select: &SelectUse) -> Option<Doubt> {
        if select.joins_otherwise || select.tables.len() < 2 {
            return None;
        }
        let mut group: Vec<usize> = (0..select.tables.len()).collect();
        for condition in &select.conditions {
            let mut places = condition.iter().filter_map(|column| {
                let owner = self.mention(column)?;
                select.tables.iter().position(|table| *table == owner)
            });
            let Some(first) = places.next() else { continue };
            for place in places {
                let (from, to) = (group[place], group[first]);
                group.iter_mut().filter(|group| **group == from).for_each(|group| *group = to);
            }
        }
        let apart = (1..group.len()).find(|place| group[*place] != group[0])?;
        let tables = [select.tables[0], select.tables[apart]].map(|index| &self.analysis.tables[index]);
        let known: Vec<&Table> = tables.iter().filter_map(|table| table_of(self.schema, table)).collect();
        let [one, other] = known[..] else { return None };
        if [one, other].iter().any(|table| table.row_count.is_some_and(|rows| rows <= 1)) {
            return None;
        }
        let (first, second) = (key_path(one), key_path(other));
        let key = self.keys_between(&first, &second).into_iter().next();
        let key = key.map(|key| format!("; the key is {key}")).unwrap_or_default();
        let message = format!(
            "nothing connects {} and {}: every row of one meets every row of the other{key}",
            one.name, other.name
        );
        Some(Doubt { kind: DoubtKind::Product, message, position: tables[1].position })
    }

    /// Selected columns that a group may hold several values of. PostgreSQL refuses them itself.
    fn ungrouped(&self, grouping: &Grouping) -> Vec<Doubt> {
        let extreme = grouping.extreme && self.schema.dialect == DatabaseKind::Sqlite;
        if extreme || self.schema.dialect == DatabaseKind::Postgresql {
            return Vec::new();
        }
        let fixed = self.fixed(grouping);
        let open = |column: &&ColumnUse| self.path(column).is_some_and(|path| !fixed.contains(&path));
        let doubt = |column: &ColumnUse| {
            let name = self.path(column).map_or_else(|| column.name.clone(), |path| short(&path));
            let message = format!("{name} is neither grouped nor aggregated, so it is of any row of its group");
            Doubt { kind: DoubtKind::Grouping, message, position: column.position }
        };
        grouping.loose.iter().filter(open).map(doubt).collect()
    }

    /// Columns with one value in each group: the keys, what equals them, and all of a table whose own key is among them.
    fn fixed(&self, grouping: &Grouping) -> HashSet<ColumnPath> {
        let mut fixed: HashSet<ColumnPath> = grouping.keys.iter().filter_map(|key| self.path(key)).collect();
        let equal: Vec<(ColumnPath, ColumnPath)> = self
            .analysis
            .equalities
            .iter()
            .filter_map(|(left, right)| Some((self.path(left)?, self.path(right)?)))
            .collect();
        let tables: Vec<&Table> =
            self.analysis.tables.iter().filter_map(|table| table_of(self.schema, table)).collect();
        loop {
            let before = fixed.len();
            for (left, right) in &equal {
                if fixed.contains(left) || fixed.contains(right) {
                    fixed.extend([left.clone(), right.clone()]);
                }
            }
            for table in &tables {
                let holds = |key: &Vec<String>| {
                    !key.is_empty()
                        && key
                            .iter()
                            .all(|name| table.column(name).is_some_and(|column| fixed.contains(&path(table, column))))
                };
                if holds(&table.primary_key) || table.unique_keys.iter().any(holds) {
                    fixed.extend(table.columns.iter().map(|column| path(table, column)));
                }
            }
            if fixed.len() == before {
                return fixed;
            }
        }
    }

    /// Numbers and dates compared with texts that are neither.
    fn texts(&self) -> Vec<Doubt> {
        let odd = |(column, text): &(ColumnUse, String)| {
            let path = self.path(column)?;
            let kind = self.kind(&path)?;
            let expected = match kind {
                kind if kind.is_numeric() && text.trim().parse::<f64>().is_err() => "numbers",
                kind if kind.is_temporal() && !text.contains(|letter: char| letter.is_ascii_digit()) => "dates",
                _ => return None,
            };
            let message = format!("{} holds {expected}, and {} is none", short(&path), quoted(text));
            Some(Doubt { kind: DoubtKind::Kind, message, position: column.position })
        };
        self.analysis.texts.iter().filter_map(odd).collect()
    }

    /// Sums and averages of texts that are no numbers.
    fn sums(&self) -> Vec<Doubt> {
        let odd = |column: &ColumnUse| {
            let path = self.path(column)?;
            let known = self.values.column(&path)?;
            let text = matches!(self.kind(&path)?, ColumnType::Text | ColumnType::Other);
            let words = known.distinct.iter().filter(|value| value.trim().parse::<f64>().is_err()).count();
            if !text || 2 * words <= known.distinct.len() {
                return None;
            }
            let message = format!("{} holds words, which cannot be added up", short(&path));
            Some(Doubt { kind: DoubtKind::Kind, message, position: column.position })
        };
        self.analysis.sums.iter().filter_map(odd).collect()
    }

    fn path(&self, column: &ColumnUse) -> Option<ColumnPath> {
        if column.may_be_other { None } else { column_of(column, self.analysis, self.schema) }
    }

    /// The mention of a table that a column is of.
    fn mention(&self, column: &ColumnUse) -> Option<usize> {
        let owns = |index: &&usize| {
            let table = table_of(self.schema, &self.analysis.tables[**index]);
            table.is_some_and(|table| table.column(&column.name).is_some())
        };
        column.scopes.iter().flatten().find(owns).copied()
    }

    fn table(&self, path: &ColumnPath) -> Option<&'a Table> {
        self.schema.table(Some(&path.schema), &path.table)
    }

    fn kind(&self, path: &ColumnPath) -> Option<ColumnType> {
        Some(self.table(path)?.column(&path.column)?.kind)
    }

    fn differ(&self, one: &ColumnPath, other: &ColumnPath) -> bool {
        let (Some(one), Some(other)) = (self.kind(one), self.kind(other)) else { return false };
        let differ = |one: ColumnType, other: ColumnType| one.is_numeric() && other == ColumnType::Text;
        self.schema.dialect == DatabaseKind::Mysql && (differ(one, other) || differ(other, one))
    }

    fn refers(&self, from: &ColumnPath, to: &ColumnPath) -> bool {
        let keys = self.table(from).map(|table| table.foreign_keys.as_slice()).unwrap_or_default();
        keys.iter().any(|key| leads(key, from, to))
    }

    /// Whether both refer to the same column of a third table.
    fn share_parent(&self, one: &ColumnPath, other: &ColumnPath) -> bool {
        let parents = |from: &ColumnPath| -> Vec<(String, String)> {
            let keys = self.table(from).map(|table| table.foreign_keys.as_slice()).unwrap_or_default();
            let own = keys.iter().filter(|key| key.columns.iter().any(|name| name.eq_ignore_ascii_case(&from.column)));
            let parent = |key: &ForeignKey| {
                let at = key.columns.iter().position(|name| name.eq_ignore_ascii_case(&from.column))?;
                Some((key.referenced_table.to_lowercase(), key.referenced_columns.get(at)?.to_lowercase()))
            };
            own.filter_map(parent).collect()
        };
        let known = parents(one);
        parents(other).iter().any(|parent| known.contains(parent))
    }

    /// The keys between the tables of two columns, as they are written in a condition.
    fn keys_between(&self, one: &ColumnPath, other: &ColumnPath) -> Vec<String> {
        let (Some(one), Some(other)) = (self.table(one), self.table(other)) else { return Vec::new() };
        let written = |from: &Table, to: &Table| -> Vec<String> {
            let keys = from.foreign_keys.iter().filter(|key| {
                key.referenced_table.eq_ignore_ascii_case(&to.name)
                    && key.referenced_schema.eq_ignore_ascii_case(&to.schema)
            });
            let condition = |key: &ForeignKey| {
                let pairs = key.columns.iter().zip(&key.referenced_columns);
                let equal = pairs
                    .map(|(from_column, to_column)| format!("{}.{from_column} = {}.{to_column}", from.name, to.name));
                equal.collect::<Vec<_>>().join(" AND ")
            };
            keys.map(condition).collect()
        };
        let mut keys = written(one, other);
        keys.extend(written(other, one));
        keys
    }
}

fn leads(key: &ForeignKey, from: &ColumnPath, to: &ColumnPath) -> bool {
    let mut pairs = key.columns.iter().zip(&key.referenced_columns);
    key.referenced_table.eq_ignore_ascii_case(&to.table)
        && key.referenced_schema.eq_ignore_ascii_case(&to.schema)
        && pairs.any(|(own, other)| own.eq_ignore_ascii_case(&from.column) && other.eq_ignore_ascii_case(&to.column))
}

fn table_name(path: &ColumnPath) -> (&str, &str) {
    (&path.schema, &path.table)
}

fn path(table: &Table, column: &Column) -> ColumnPath {
    ColumnPath { schema: table.schema.clone(), table: table.name.clone(), column: column.name.clone() }
}

fn key_path(table: &Table) -> ColumnPath {
    ColumnPath { schema: table.schema.clone(), table: table.name.clone(), column: String::new() }
}

fn short(path: &ColumnPath) -> String {
    format!("{}.{}", path.table, path.column)
}

/// A text as SQL writes it, so that whoever withholds values knows where it ends.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ColumnValues, testing};
    use crate::sql::analyse::analyse;
    use crate::sql::guard::{self, Policy};

    fn table(name: &str, columns: &[(&str, ColumnType)], references: &[(&str, &str)]) -> Table {
        Table { row_count: Some(100), ..testing::table("main", name, columns, references) }
    }

    fn found(sql: &str) -> Vec<String> {
        use ColumnType::{Date, Integer, Text};
        let tables = vec![
            table("album", &[("id", Integer), ("title", Text), ("artist_id", Integer)], &[("artist_id", "artist")]),
            table("artist", &[("id", Integer), ("name", Text), ("born", Date)], &[]),
            table("genre", &[("id", Integer), ("label", Text)], &[]),
            table(
                "track",
                &[("id", Integer), ("name", Text), ("album_id", Integer), ("genre_id", Integer)],
                &[("album_id", "album"), ("genre_id", "genre")],
            ),
        ];
        let schema = Schema { dialect: DatabaseKind::Sqlite, tables, fingerprint: String::new() };
        let path = ColumnPath { schema: "main".into(), table: "genre".into(), column: "label".into() };
        let labels = ColumnValues { distinct: vec!["Rock".to_owned(), "Jazz".to_owned()], complete: true };
        let values = ValueIndex::new([(path, labels)].into());
        let guarded = guard::check(sql, &Policy::reads(DatabaseKind::Sqlite)).unwrap();
        doubts(analyse(&guarded), &schema, &values).into_iter().map(|doubt| doubt.message).collect()
    }

    #[test]
    fn what_runs_but_is_not_meant_is_doubted() {
        for (sql, doubt) in [
            (
                "SELECT t.name FROM track AS t JOIN album AS a ON t.genre_id = a.id",
                "track.genre_id = album.id does not follow a key; the key is track.album_id = album.id",
            ),
            (
                "SELECT a.title FROM album AS a, artist AS b WHERE b.name = 'x'",
                "nothing connects album and artist: every row of one meets every row of the other; the key is \
                 album.artist_id = artist.id",
            ),
            (
                "SELECT t.name, g.label FROM track AS t JOIN album AS a ON t.album_id = a.id JOIN genre AS g ON g.label = 'Rock'",
                "nothing connects track and genre: every row of one meets every row of the other; the key is \
                 track.genre_id = genre.id",
            ),
            (
                "SELECT name, count(*) FROM track GROUP BY genre_id",
                "track.name is neither grouped nor aggregated, so it is of any row of its group",
            ),
            ("SELECT name FROM artist WHERE id = 'Abba'", "artist.id holds numbers, and 'Abba' is none"),
            ("SELECT name FROM artist WHERE born > 'long ago'", "artist.born holds dates, and 'long ago' is none"),
            ("SELECT avg(label) FROM genre", "genre.label holds words, which cannot be added up"),
        ] {
            assert_eq!(found(sql), [doubt], "{sql}");
        }
    }

    #[test]
    fn what_is_meant_is_not_doubted() {
        for sql in [
            "SELECT t.name FROM track t JOIN album a ON a.id = t.album_id JOIN artist r ON a.artist_id = r.id",
            "SELECT a.name, b.name FROM artist a JOIN artist b ON a.born < b.born",
            "SELECT t.name FROM track t, album a WHERE t.album_id = a.id AND a.title LIKE 'x%'",
            "SELECT t.name FROM track t CROSS JOIN (SELECT count(*) AS n FROM genre) c",
            "SELECT r.name, count(*) FROM artist r JOIN album a ON a.artist_id = r.id GROUP BY a.artist_id",
            "SELECT r.name, r.born, count(*) FROM artist r JOIN album a ON a.artist_id = r.id GROUP BY r.id",
            "SELECT substr(name, 1, 1) AS letter, count(*) FROM artist GROUP BY letter ORDER BY 2",
            "SELECT name, max(born) FROM artist",
            "SELECT upper(name), count(*) FROM track GROUP BY 1",
            "SELECT count(*) FROM track WHERE album_id = '7' AND name = 'seven'",
            "SELECT name FROM artist WHERE born BETWEEN '1990-01-01' AND '1999-12-31'",
            "SELECT a.title FROM album a JOIN track t USING (id)",
        ] {
            assert!(found(sql).is_empty(), "{sql}: {:?}", found(sql));
        }
    }
}
