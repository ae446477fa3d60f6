//! What of a statement's words says how its rows are compared.

/// The bare statement, when it begins as one that reads.
pub(super) fn reading(sql: &str) -> Option<&str> {
    let sql = bare(sql);
    let word: String = sql.chars().take_while(|letter| is_word(*letter)).collect();
    let reads = ["select", "with", "values"].iter().any(|verb| word.eq_ignore_ascii_case(verb));
    (reads && !sql.contains('\0')).then_some(sql)
}

/// The statement without comments before it and semicolons after it.
fn bare(sql: &str) -> &str {
    let mut sql = sql;
    while let Some(length) = gap(sql) {
        sql = &sql[length..];
    }
    sql.trim_end().trim_end_matches(';').trim_end()
}

/// The length of the blank or comment that a text begins with, if it does. A comment that never ends is none.
fn gap(sql: &str) -> Option<usize> {
    let blank = sql.len() - sql.trim_start().len();
    if blank > 0 {
        return Some(blank);
    }
    if sql.starts_with("--") {
        return Some(sql.find('\n').map_or(sql.len(), |end| end + 1));
    }
    let comment = sql.strip_prefix("/*")?;
    comment.find("*/").map(|end| end + 4)
}

/// Whether ORDER BY stands outside every parenthesis and quotation.
pub(super) fn orders(sql: &str) -> bool {
    let (mut rest, mut depth, mut ordering) = (sql, 0_usize, false);
    while let Some(letter) = rest.chars().next() {
        if let Some(length) = gap(rest) {
            rest = &rest[length..];
        } else if matches!(letter, '\'' | '"' | '`' | '[') {
            rest = behind_quotation(rest, letter);
            ordering = false;
        } else if is_word(letter) {
            let end = rest.find(|letter| !is_word(letter)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            rest = after;
            if depth == 0 {
                if ordering && word.eq_ignore_ascii_case("by") {
                    return true;
                }
                ordering = word.eq_ignore_ascii_case("order");
            }
        } else {
            match letter {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            rest = &rest[letter.len_utf8()..];
        }
    }
    false
}

/// What follows a quotation that the text begins with. A doubled mark inside is part of it: it reads as two quotations,
/// one behind the other.
fn behind_quotation(text: &str, mark: char) -> &str {
    let end = if mark == '[' { ']' } else { mark };
    let inside = &text[mark.len_utf8()..];
    inside.find(end).map_or("", |at| &inside[at + end.len_utf8()..])
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_that_of_the_outermost_query() {
        for ordered in ["SELECT 1 ORDER\n/* c */ BY 1", "SELECT (SELECT 1) order by 1", "SELECT ']' ORDER BY 1"] {
            assert!(orders(ordered), "{ordered}");
        }
        for free in [
            "SELECT * FROM (SELECT 1 ORDER BY 1)",
            "SELECT 'it''s ORDER BY'",
            "SELECT 1 -- ORDER BY 1",
            "SELECT \"ORDER\" BY",
            "SELECT [a ORDER BY b]",
            "SELECT sum(a) OVER (ORDER BY b) FROM t",
        ] {
            assert!(!orders(free), "{free}");
        }
    }
}
