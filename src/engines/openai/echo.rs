//! Free words of a model on their way to people: without what it was told to do, and without addresses.
//!
//! The rules are no secret, but whoever talks a model into repeating them should get nothing for it; and a link in an
//! explanation is a way out for data when somebody follows it.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::ask::{DATA, SHARED};
use super::composer;
use super::fence::clean;
use super::reviewer;
use super::role::Role;

/// Words in a row that an answer shares with the rules only when it repeats them.
const RUN: usize = 8;

/// Every run of so many words in the rules.
static RULES: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let dialects = [composer::SQLITE, composer::POSTGRESQL, composer::MYSQL];
    let rules = Role::ALL.map(Role::rules).into_iter().chain([SHARED, DATA, reviewer::PROMPT]).chain(dialects);
    rules.flat_map(|text| runs(&words(text))).collect()
});

/// Whether a text holds a piece of the rules.
pub fn repeats_rules(text: &str) -> bool {
    runs(&words(text)).iter().any(|run| RULES.contains(run))
}

/// Words of an endpoint, fit to be shown to people: at most `max` characters, on one line.
pub fn plain(text: &str, max: usize) -> String {
    if repeats_rules(text) { "(The model repeated its instructions.)".to_owned() } else { clean(text.trim(), max) }
}

/// Free words of a model: the same, without addresses.
pub fn prose(text: &str, max: usize) -> String {
    let plain = plain(text, max);
    if !plain.contains("://") {
        return plain;
    }
    let address = |word: &str| if word.contains("://") { "(an address)".to_owned() } else { word.to_owned() };
    plain.split(' ').map(address).collect::<Vec<_>>().join(" ")
}

fn words(text: &str) -> Vec<String> {
    let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

fn runs(words: &[String]) -> Vec<String> {
    words.windows(RUN).map(|run| run.join(" ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_and_addresses_are_left_out() {
        let rules = Role::Composer.rules();
        assert_eq!(prose(&rules[..400], 1_000), "(The model repeated its instructions.)");
        assert_eq!(prose(&format!("Sure: {}", SHARED.to_uppercase()), 9_000), "(The model repeated its instructions.)");
        let plain = "Counts the customers of each country, the most first.";
        assert_eq!(prose(plain, 1_000), plain);
        assert_eq!(prose("see ![x](http://evil.example/?q=1) now", 1_000), "see (an address) now");
    }
}
