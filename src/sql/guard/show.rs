//! `SHOW`, whose many forms are read from the tokens: the parser knows few of them. And `SHOW` and `DESCRIBE` on SQLite, which
//! has no such statements: the plain forms stand for queries of the catalog.

use sqlparser::ast::{ObjectName, ShowStatementOptions, Statement};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::check::Policy;
use super::refusal::{Finding, Rule, is_word};
use super::{query, settings};
use crate::domain::DatabaseKind;

const TABLES: &str = r"SELECT name, type FROM sqlite_schema
WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name";

/// A file is one database, and SQLite calls it so.
const DATABASES: &str = "SELECT 'main' AS name";

/// What `SHOW` may show on MySQL, and whether tables are named behind it. The longest come first.
const MYSQL_FORMS: [(&[&str], Place); 30] = [
    (&["CHARACTER", "SET"], Place::None),
    (&["CHARSET"], Place::None),
    (&["COLLATION"], Place::None),
    (&["COUNT", "(", "*", ")", "WARNINGS"], Place::None),
    (&["COUNT", "(", "*", ")", "ERRORS"], Place::None),
    (&["CREATE", "DATABASE"], Place::Name),
    (&["CREATE", "SCHEMA"], Place::Name),
    (&["CREATE", "TABLE"], Place::Name),
    (&["CREATE", "VIEW"], Place::Name),
    (&["DATABASES"], Place::None),
    (&["SCHEMAS"], Place::None),
    (&["ENGINES"], Place::None),
    (&["STORAGE", "ENGINES"], Place::None),
    (&["WARNINGS"], Place::None),
    (&["ERRORS"], Place::None),
    (&["EVENTS"], Place::Schema),
    (&["TRIGGERS"], Place::Schema),
    (&["OPEN", "TABLES"], Place::Schema),
    (&["TABLE", "STATUS"], Place::Schema),
    (&["TABLES"], Place::Schema),
    (&["COLUMNS"], Place::Table),
    (&["FIELDS"], Place::Table),
    (&["INDEX"], Place::Table),
    (&["INDEXES"], Place::Table),
    (&["KEYS"], Place::Table),
    (&["VARIABLES"], Place::Setting),
    (&["GLOBAL", "VARIABLES"], Place::Setting),
    (&["SESSION", "VARIABLES"], Place::Setting),
    (&["LOCAL", "VARIABLES"], Place::Setting),
    (&["STATUS"], Place::Setting),
];

/// What stands behind the words of a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing but a filter.
    None,
    /// A name.
    Name,
    /// Perhaps `FROM schema`.
    Schema,
    /// `FROM table`, and perhaps `FROM schema`.
    Table,
    /// `LIKE` and a setting that anybody may read.
    Setting,
}

/// Checks `SHOW …` of PostgreSQL and MySQL; `None` when the statement is something else. White space and comments are already
/// left out of the tokens. What comes back is the condition of a filter, as a query to be checked.
pub(super) fn check(tokens: &[&TokenWithSpan], policy: &Policy) -> Option<Result<Option<Vec<TokenWithSpan>>, Finding>> {
    let (first, rest) = tokens.split_first()?;
    if !is_word(&first.token, "SHOW") || policy.kind == DatabaseKind::Sqlite {
        return None;
    }
    let rest = match rest {
        [rest @ .., last] if last.token == Token::SemiColon => rest,
        rest => rest,
    };
    let refusal = || {
        Finding::new(Rule::ReadsOnly, first.span, "this SHOW is not allowed").hint(match policy.kind {
            DatabaseKind::Postgresql => {
                "only settings that tell nothing about files, addresses or secrets may be shown"
            }
            _ => "tables, columns, indexes, databases, character sets and how tables were created may be shown",
        })
    };
    let filter = match policy.kind {
        DatabaseKind::Postgresql => postgresql(rest).then_some(Ok(None)),
        _ => mysql(rest, policy),
    };
    Some(filter.unwrap_or_else(|| Err(refusal())))
}

/// `SHOW setting`.
fn postgresql(rest: &[&TokenWithSpan]) -> bool {
    match rest {
        [name] => matches!(&name.token, Token::Word(name) if settings::is_public(&name.value)),
        [time, zone] => is_word(&time.token, "TIME") && is_word(&zone.token, "ZONE"),
        _ => false,
    }
}

/// `None` for what is not allowed.
fn mysql(rest: &[&TokenWithSpan], policy: &Policy) -> Option<Result<Option<Vec<TokenWithSpan>>, Finding>> {
    let rest = match rest {
        [word, rest @ ..] if is_word(&word.token, "FULL") || is_word(&word.token, "EXTENDED") => rest,
        rest => rest,
    };
    let (words, place) = MYSQL_FORMS.iter().find(|(words, _)| {
        rest.len() >= words.len() && words.iter().zip(rest).all(|(word, token)| is_word_or_symbol(&token.token, word))
    })?;
    let mut rest = &rest[words.len()..];
    match place {
        Place::None => {}
        Place::Name => rest = name(rest, policy)?.ok()?,
        Place::Schema | Place::Table => {
            let most = if *place == Place::Table { 2 } else { 1 };
            let mut named = Vec::new();
            while named.len() < most
                && let [from, after @ ..] = rest
                && (is_word(&from.token, "FROM") || is_word(&from.token, "IN"))
            {
                let behind = match name(after, policy)? {
                    Ok(behind) => behind,
                    Err(finding) => return Some(Err(finding)),
                };
                named.insert(0, &after[..after.len() - behind.len()]);
                rest = behind;
            }
            if *place == Place::Table && named.is_empty() {
                return None;
            }
            // FROM table FROM schema names schema.table.
            let parts: Vec<&str> =
                named.iter().flat_map(|name| name.iter()).filter_map(|token| word(&token.token)).collect();
            if *place == Place::Table
                && let Err(finding) = query::allowed_relation(&parts, named[0][0].span, policy)
            {
                return Some(Err(finding));
            }
        }
        Place::Setting => {
            return match rest {
                [like, pattern] if is_word(&like.token, "LIKE") => {
                    literal(&pattern.token).filter(|pattern| settings::is_public_pattern(pattern)).map(|_| Ok(None))
                }
                _ => None,
            };
        }
    }
    filter(rest).map(|condition| Ok((!condition.is_empty()).then_some(condition)))
}

/// A name of one or two parts, and what stands behind it.
fn name<'a, 'b>(rest: &'b [&'a TokenWithSpan], policy: &Policy) -> Option<Result<&'b [&'a TokenWithSpan], Finding>> {
    let (parts, span, behind) = match rest {
        [first, dot, second, behind @ ..] if dot.token == Token::Period => {
            (vec![word(&first.token)?, word(&second.token)?], first.span, behind)
        }
        [first, behind @ ..] => (vec![word(&first.token)?], first.span, behind),
        [] => return None,
    };
    Some(query::allowed_relation(&parts, span, policy).map(|()| behind))
}

/// `LIKE 'pattern'`, `WHERE condition`, `LIMIT count`, or nothing. A condition comes back as a query, anything else as no tokens.
fn filter(rest: &[&TokenWithSpan]) -> Option<Vec<TokenWithSpan>> {
    match rest {
        [] => Some(Vec::new()),
        [like, pattern] if is_word(&like.token, "LIKE") => literal(&pattern.token).map(|_| Vec::new()),
        [limit, count] if is_word(&limit.token, "LIMIT") => matches!(count.token, Token::Number(..)).then(Vec::new),
        [condition, _, ..] if is_word(&condition.token, "WHERE") => {
            let select = [Token::make_keyword("SELECT"), Token::Number("1".to_owned(), false)];
            let select = select.into_iter().map(|token| TokenWithSpan::new(token, condition.span));
            Some(select.chain(rest.iter().map(|token| (*token).clone())).collect())
        }
        _ => None,
    }
}

fn is_word_or_symbol(token: &Token, expected: &str) -> bool {
    is_word(token, expected) || (!matches!(token, Token::Word(_)) && token.to_string() == expected)
}

fn word(token: &Token) -> Option<&str> {
    match token {
        Token::Word(word) => Some(&word.value),
        _ => None,
    }
}

fn literal(token: &Token) -> Option<&str> {
    match token {
        Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) => Some(text),
        _ => None,
    }
}

/// The query that a statement stands for; `None` for everything that SQLite should answer for itself.
pub(super) fn as_query(statement: &Statement) -> Option<String> {
    match statement {
        Statement::ShowTables { show_options, .. } if is_plain(show_options) && show_options.show_in.is_none() => {
            Some(TABLES.to_owned())
        }
        Statement::ShowDatabases { show_options, .. } if is_plain(show_options) => Some(DATABASES.to_owned()),
        Statement::ShowColumns { show_options, .. } if is_plain(show_options) => {
            columns(show_options.show_in.as_ref()?.parent_name.as_ref()?)
        }
        Statement::ExplainTable { table_name, .. } => columns(table_name),
        _ => None,
    }
}

/// Without LIKE, LIMIT and their kind.
fn is_plain(options: &ShowStatementOptions) -> bool {
    let ShowStatementOptions { show_in: _, starts_with, limit, limit_from, filter_position } = options;
    starts_with.is_none() && limit.is_none() && limit_from.is_none() && filter_position.is_none()
}

fn columns(table: &ObjectName) -> Option<String> {
    let name = &table.0.last()?.as_ident()?.value;
    let literal = name.replace('\'', "''");
    Some(format!(
        "SELECT name, type, NOT \"notnull\" AS nullable, dflt_value AS default_value, pk AS primary_key \
         FROM pragma_table_info('{literal}')"
    ))
}

#[cfg(test)]
mod tests {
    use crate::domain::DatabaseKind::{Mysql, Sqlite};
    use crate::sql::guard::{Policy, check};

    #[test]
    fn plain_forms_stand_for_queries_on_sqlite_only() {
        let runs = |kind, sql: &str| check(sql, &Policy::reads(kind)).unwrap().text().to_owned();
        for (sql, expected) in [
            ("SHOW TABLES", "FROM sqlite_schema"),
            ("SHOW DATABASES", "'main'"),
            ("DESCRIBE main.customers", "pragma_table_info('customers')"),
            ("DESC \"it's\"", "pragma_table_info('it''s')"),
            ("SHOW COLUMNS FROM customers", "pragma_table_info('customers')"),
        ] {
            assert!(runs(Sqlite, sql).contains(expected), "{sql}: {}", runs(Sqlite, sql));
            assert_eq!(runs(Mysql, &sql.replace('"', "`")), sql.replace('"', "`"));
        }
        assert_eq!(runs(Sqlite, "SHOW TABLES LIKE 'a%'"), "SHOW TABLES LIKE 'a%'");
    }
}
