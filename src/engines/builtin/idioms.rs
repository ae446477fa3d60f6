//! Turns of phrase, said again in words that the grammar reads.
//!
//! Each is everyday English for a plain request, and applies only where the schema has what its plain form speaks of.

use super::names::Names;
use super::words::{self, Token, TokenKind};

/// What is said, what it means, and the name that the schema must have for it; empty needs none.
const IDIOMS: &[(&str, &str, &str)] = &[
    ("out of stock", "with stock equal to 0", "stock"),
    ("sold out", "with stock equal to 0", "stock"),
    ("signed up", "with signup", "signup"),
    ("sign up", "with signup", "signup"),
    ("how much money", "total amount", "amount"),
    ("amount paid", "amount", "amount"),
    ("amount spent", "amount", "amount"),
    ("what does it cost", "its price", "price"),
    ("what do they cost", "their price", "price"),
    ("how much does it cost", "its price", "price"),
    ("how much do they cost", "their price", "price"),
    ("how much does it weigh", "its weight", "weight"),
    ("how much do they weigh", "their weight", "weight"),
    ("that cost between", "with price between", "price"),
    ("cost between", "with price between", "price"),
    ("that cost more than", "with price more than", "price"),
    ("that cost less than", "with price less than", "price"),
    ("that cost over", "with price more than", "price"),
    ("that cost under", "with price less than", "price"),
    ("lowest and the highest", "minimum and maximum", ""),
    ("lowest and highest", "minimum and maximum", ""),
    ("highest and the lowest", "maximum and minimum", ""),
    ("highest and lowest", "maximum and minimum", ""),
    ("newest first", "ordered by date in descending order", "date"),
    ("latest first", "ordered by date in descending order", "date"),
    ("oldest first", "ordered by date in ascending order", "date"),
    ("do most of our", "have the most", ""),
    ("do most of the", "have the most", ""),
    ("came with", "with", ""),
    ("come with", "with", ""),
    ("units", "quantity", "quantity"),
];

/// The question with its turns of phrase replaced.
pub(crate) fn plain(tokens: &[Token], names: &Names) -> Vec<Token> {
    let mut plain = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        if let Some((meant, length)) = longest(&tokens[at..], names) {
            plain.extend(words::tokens(meant));
            at += length;
        } else {
            plain.push(tokens[at].clone());
            at += 1;
        }
    }
    plain
}

fn longest(tokens: &[Token], names: &Names) -> Option<(&'static str, usize)> {
    IDIOMS
        .iter()
        .map(|(said, meant, needs)| (said.split(' ').count(), said, meant, needs))
        .filter(|(length, said, _, needs)| *length <= tokens.len() && says(tokens, said) && known(names, needs, said))
        .max_by_key(|(length, ..)| *length)
        .map(|(length, _, meant, _)| (*meant, length))
}

fn says(tokens: &[Token], said: &str) -> bool {
    said.split(' ').zip(tokens).all(|(word, token)| token.folded == word && token.kind != TokenKind::Quoted)
}

/// The plain form has a name in the schema, and a single word is not a name there itself.
fn known(names: &Names, needs: &str, said: &str) -> bool {
    let score = |words: &str| names.links(&words.split(' ').collect::<Vec<_>>()).first().map_or(0.0, |link| link.score);
    (needs.is_empty() || score(needs) > 0.0) && (said.contains(' ') || score(&words::lemma(said)) < 0.8)
}
