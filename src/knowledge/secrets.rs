//! Columns whose values nobody should meet in a step, a prompt or a hint.

/// Words of names, in the order in which they follow one another, that say what is secret.
const SECRET: [&[&str]; 19] = [
    &["password"],
    &["passwd"],
    &["passphrase"],
    &["pwd"],
    &["secret"],
    &["token"],
    &["apikey"],
    &["api", "key"],
    &["access", "key"],
    &["private", "key"],
    &["salt"],
    &["ssn"],
    &["social", "security"],
    &["credit", "card"],
    &["creditcard"],
    &["card", "number"],
    &["cvv"],
    &["cvc"],
    &["iban"],
];

/// Whether a column's name says that its values are secret: they are not looked up, and so are in no index.
pub(super) fn is_secret(column: &str) -> bool {
    let words = words(column);
    SECRET.iter().any(|phrase| words.windows(phrase.len()).any(|run| run == *phrase))
}

/// The words of a name in lower case: `snake_case` and `camelCase` taken apart.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for letter in name.chars() {
        if !letter.is_alphanumeric() || (was_lower && letter.is_uppercase()) {
            words.push(String::new());
        }
        was_lower = letter.is_lowercase();
        if let (true, Some(word)) = (letter.is_alphanumeric(), words.last_mut()) {
            word.extend(letter.to_lowercase());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_secret() {
        for name in
            ["password", "user_password", "PasswordHash", "apiToken", "API_KEY", "ssn", "CreditCardNo", "Card Number"]
        {
            assert!(is_secret(name), "{name}");
        }
        for name in ["name", "city", "tokens_used_label", "secretary", "passport_country", "key", "card", "assnumber"] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
