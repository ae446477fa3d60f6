//! What the user of a connection may do beyond reading.

use std::collections::BTreeSet;

use super::cell::text;
use super::error;
use super::session::{Session, ask};
use crate::domain::AccessMode;
use crate::sql::{Error, ServerInfo};

/// Privileges that change nothing: reading, looking at definitions, and watching the server.
const HARMLESS: &[&str] = &[
    "USAGE",
    "SELECT",
    "SHOW VIEW",
    "SHOW DATABASES",
    "SHOW CREATE ROUTINE",
    "PROCESS",
    "REPLICATION CLIENT",
    "BINLOG MONITOR",
    "SLAVE MONITOR",
    "REPLICA MONITOR",
];
/// Privileges that a warning names, the worst first; the others are counted.
const NAMED: usize = 8;

/// Version of the server, and a warning when the user of a connection that only reads may do more.
pub(super) async fn probe(session: &mut Session, access: AccessMode) -> Result<ServerInfo, Error> {
    let rows = ask(&mut session.connection, "SHOW GRANTS".to_owned()).await;
    let rows = rows.map_err(|error| error::of_statement(error, "", session.longest))?;
    let grants: Vec<String> = rows.iter().filter_map(|row| text(row, 0)).collect();
    let warnings = if access == AccessMode::ReadOnly { warning(&grants).into_iter().collect() } else { Vec::new() };
    Ok(ServerInfo { version: session.version.clone(), warnings })
}

fn warning(grants: &[String]) -> Option<String> {
    let mut held: Vec<String> =
        grants.iter().flat_map(|grant| privileges(grant)).collect::<BTreeSet<_>>().into_iter().collect();
    held.retain(|privilege| !HARMLESS.contains(&privilege.as_str()));
    if held.is_empty() {
        return None;
    }
    held.sort_by_key(|privilege| !matches!(privilege.as_str(), "ALL PRIVILEGES" | "FILE" | "SUPER"));
    let more = held.len().saturating_sub(NAMED);
    held.truncate(NAMED);
    let others = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!("the user may do more than read ({}{others}): use one that has only SELECT", held.join(", ")))
}

/// Privileges that a line of `SHOW GRANTS` names; it may hold the hash of a password, which goes nowhere.
fn privileges(grant: &str) -> Vec<String> {
    let named = grant.strip_prefix("GRANT ").and_then(|grant| grant.split_once(" ON "));
    // A line without ON grants a role, whose own privileges are not looked into.
    let Some((list, rest)) = named else { return Vec::new() };
    let mut privileges = Vec::new();
    let mut depth = 0;
    for part in list.split_inclusive(['(', ')', ',']) {
        if depth == 0 {
            privileges.push(part.trim_end_matches(['(', ',']).trim().to_owned());
        }
        match part.chars().next_back() {
            Some('(') => depth += 1,
            Some(')') => depth -= 1,
            _ => {}
        }
    }
    if rest.ends_with("WITH GRANT OPTION") {
        privileges.push("GRANT OPTION".to_owned());
    }
    privileges.retain(|privilege| !privilege.is_empty() && privilege != "PROXY");
    privileges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning_of(grants: &[&str]) -> Option<String> {
        warning(&grants.iter().map(|&grant| grant.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_user_that_reads_is_no_reason_to_warn() {
        let grants = [
            "GRANT USAGE ON *.* TO `r`@`%` IDENTIFIED BY PASSWORD '*7B844B41A3799185EBF33B603FA8C632E65CA3EF'",
            "GRANT SELECT, SHOW VIEW ON `shop`.* TO `r`@`%`",
            "GRANT SELECT (`a`, `b`) ON `shop`.`t` TO `r`@`%`",
            "GRANT `role` TO `r`@`%`",
        ];
        assert_eq!(warning_of(&grants), None);
    }

    #[test]
    fn what_is_more_than_reading_is_named() {
        let all = ["GRANT ALL PRIVILEGES ON *.* TO `b`@`%` IDENTIFIED BY PASSWORD '*CANARY' WITH GRANT OPTION"];
        let warning = warning_of(&all).unwrap();
        assert!(warning.contains("(ALL PRIVILEGES, GRANT OPTION)") && !warning.contains("CANARY"), "{warning}");
        let some = ["GRANT SELECT, INSERT (`a`, `b`), UPDATE ON `shop`.`t` TO `b`@`%`", "GRANT FILE ON *.* TO `b`@`%`"];
        assert!(warning_of(&some).unwrap().contains("(FILE, INSERT, UPDATE)"), "{:?}", warning_of(&some));
        let many = ["GRANT A, B, C, D, E, F, G, H, I, SUPER ON *.* TO `b`@`%`"];
        assert!(warning_of(&many).unwrap().contains("(SUPER, A, B, C, D, E, F, G and 2 more)"));
    }
}
