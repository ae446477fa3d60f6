//! From text to tokens, and from tokens to lemmas that names and questions share.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// Letters and digits.
    Word,
    /// Digits, with sign, fraction or scale.
    Number,
    /// Text in quotes, kept whole.
    Quoted,
    /// Comma, full stop, question mark and the like.
    Mark,
}

/// One token of a question.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    /// As written, without quotes.
    pub text: String,
    /// Folded: lower case, no accents.
    pub folded: String,
    /// Lemma of the folded form; see [`lemma`].
    pub lemma: String,
    /// What it is.
    pub kind: TokenKind,
    /// Whether it starts with a capital letter.
    pub capital: bool,
    /// The number it spells, for numbers and number words.
    pub number: Option<f64>,
}

/// Cuts a question into tokens. Quoted spans stay whole; `n't` becomes `not`; `'s` becomes a token of its own.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut result = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        if c.is_whitespace() {
            at += 1;
        } else if let Some(end) = quoted_end(&chars, at) {
            let inner: String = chars[at + 1..end].iter().collect();
            result.push(token(inner.trim(), TokenKind::Quoted));
            at = end + 1;
        } else if begins_number(&chars, at) {
            at = number_or_word(&chars, at, &mut result);
        } else if c.is_alphanumeric() {
            let end = word_end(&chars, at);
            let word: String = chars[at..end].iter().collect();
            push_word(&word, &mut result);
            at = end;
        } else if is_apostrophe(c)
            && chars.get(at + 1) == Some(&'s')
            && !chars.get(at + 2).is_some_and(|c| c.is_alphanumeric())
        {
            result.push(token("'s", TokenKind::Mark));
            at += 2;
        } else {
            if !matches!(c, '-' | '_' | '/' | '(' | ')') && !is_apostrophe(c) {
                result.push(token(&c.to_string(), TokenKind::Mark));
            }
            at += 1;
        }
    }
    result
}

/// A digit, behind a sign or a currency where there is one. Behind a letter or digit a minus is a hyphen or a range.
fn begins_number(chars: &[char], at: usize) -> bool {
    let signed = is_minus(chars[at]) && (at == 0 || chars[at - 1].is_whitespace() || chars[at - 1] == '(');
    let at = at + usize::from(signed);
    let at = at + usize::from(chars.get(at) == Some(&'$'));
    chars.get(at).is_some_and(char::is_ascii_digit)
}

fn is_minus(c: char) -> bool {
    matches!(c, '-' | '−')
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '’' | '`' | '‘')
}

fn quoted_end(chars: &[char], at: usize) -> Option<usize> {
    let close = match chars[at] {
        '"' => '"',
        '“' => '”',
        '\'' | '`' | '‘' | '’' if at == 0 || !chars[at - 1].is_alphanumeric() => '\'',
        _ => return None,
    };
    let ends = |index: usize| {
        let c = chars[index];
        if close == '\'' {
            is_apostrophe(c) && !chars.get(index + 1).is_some_and(|next| next.is_alphanumeric())
        } else {
            c == close || c == '"'
        }
    };
    (at + 2..chars.len()).find(|&index| ends(index)).filter(|end| end - at <= 80)
}

fn word_end(chars: &[char], at: usize) -> usize {
    let mut end = at;
    while end < chars.len() {
        let c = chars[end];
        let inner = |next: Option<&char>| next.is_some_and(|c| c.is_alphanumeric());
        let keeps = c.is_alphanumeric()
            || (matches!(c, '@' | '&') && inner(chars.get(end + 1)))
            || (c == '.' && chars[at..end].contains(&'@') && inner(chars.get(end + 1)))
            || (is_apostrophe(c) && chars.get(end + 1) == Some(&'t') && chars[end - 1] == 'n');
        if !keeps {
            break;
        }
        end += 1;
    }
    end
}

fn number_or_word(chars: &[char], at: usize, result: &mut Vec<Token>) -> usize {
    let minus = is_minus(chars[at]);
    let mut end = at + usize::from(minus);
    end += usize::from(chars[end] == '$');
    let begin = end;
    while end < chars.len() {
        let c = chars[end];
        let digit_next = chars.get(end + 1).is_some_and(char::is_ascii_digit);
        let thousands = c == ','
            && (1..=3).all(|step| chars.get(end + step).is_some_and(char::is_ascii_digit))
            && !chars.get(end + 4).is_some_and(char::is_ascii_digit);
        if !(c.is_alphanumeric() || (matches!(c, '.' | '-' | ':') && digit_next) || thousands) {
            break;
        }
        end += 1;
    }
    let digits = chars[begin..end].iter().copied().filter(|c| *c != ',');
    let raw: String = minus.then_some('-').into_iter().chain(digits).collect();
    let scale = [("k", 1e3), ("m", 1e6), ("bn", 1e9)];
    let scaled = scale.iter().find_map(|(suffix, factor)| {
        raw.to_lowercase().strip_suffix(suffix).and_then(|digits| digits.parse::<f64>().ok()).map(|n| n * factor)
    });
    if let Some(number) = raw.parse::<f64>().ok().or(scaled) {
        result.push(Token { number: Some(number), ..token(&raw, TokenKind::Number) });
    } else {
        result.push(token(&raw, TokenKind::Word));
    }
    end
}

fn push_word(word: &str, result: &mut Vec<Token>) {
    let folded = fold(word);
    let stripped = folded.strip_suffix("n't").or_else(|| folded.strip_suffix("n’t"));
    if let Some(verb) = stripped {
        result.push(token(if verb == "ca" { "can" } else { verb }, TokenKind::Word));
        result.push(token("not", TokenKind::Word));
    } else if folded == "cannot" {
        result.push(token("can", TokenKind::Word));
        result.push(token("not", TokenKind::Word));
    } else {
        result.push(Token { number: number_word(&folded), ..token(word, TokenKind::Word) });
    }
}

fn token(text: &str, kind: TokenKind) -> Token {
    let folded = fold(text);
    let capital = text.chars().next().is_some_and(char::is_uppercase);
    Token { text: text.to_owned(), lemma: lemma(&folded), folded, kind, capital, number: None }
}

fn number_word(word: &str) -> Option<f64> {
    const WORDS: [&str; 21] = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
        "twenty",
    ];
    match word {
        "once" => return Some(1.0),
        "twice" => return Some(2.0),
        _ => {}
    }
    WORDS.iter().position(|&known| known == word).map(|index| index as f64)
}

/// Lower case without the accents of Latin letters.
pub(crate) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for c in text.chars().flat_map(char::to_lowercase) {
        match c {
            'à'..='å' | 'ā' | 'ă' | 'ą' => folded.push('a'),
            'ç' | 'ć' | 'č' => folded.push('c'),
            'è'..='ë' | 'ē' | 'ę' | 'ě' => folded.push('e'),
            'ì'..='ï' | 'ī' => folded.push('i'),
            'ñ' | 'ń' | 'ň' => folded.push('n'),
            'ò'..='ö' | 'ø' | 'ō' | 'ő' => folded.push('o'),
            'ù'..='ü' | 'ū' | 'ů' | 'ű' => folded.push('u'),
            'ý' | 'ÿ' => folded.push('y'),
            'š' | 'ś' => folded.push('s'),
            'ž' | 'ź' | 'ż' => folded.push('z'),
            'ł' => folded.push('l'),
            'ß' => folded.push_str("ss"),
            'æ' => folded.push_str("ae"),
            other => folded.push(other),
        }
    }
    folded
}

/// Words of a text, folded, without marks: the key under which values are found.
pub(crate) fn key(text: &str) -> String {
    let folded = fold(text);
    let mut key = String::with_capacity(folded.len());
    let mut gap = false;
    for c in folded.chars() {
        if c.is_alphanumeric() || matches!(c, '@' | '&') {
            if gap && !key.is_empty() {
                key.push(' ');
            }
            gap = false;
            key.push(c);
        } else if !is_apostrophe(c) {
            gap = true;
        }
    }
    key
}

/// Singular of a noun; other words unchanged. Names and questions go through the same rules.
pub(crate) fn lemma(word: &str) -> String {
    const IRREGULAR: &[(&str, &str)] = &[
        ("people", "person"),
        ("children", "child"),
        ("men", "man"),
        ("women", "woman"),
        ("feet", "foot"),
        ("mice", "mouse"),
        ("data", "data"),
        ("series", "series"),
        ("species", "species"),
        ("staff", "staff"),
        ("statuses", "status"),
        ("buses", "bus"),
        ("movies", "movie"),
        ("cookies", "cookie"),
        ("ties", "tie"),
        ("analyses", "analysis"),
        ("theses", "thesis"),
        ("wives", "wife"),
        ("lives", "live"),
        ("indices", "index"),
        ("shelves", "shelf"),
        ("news", "news"),
        ("aircrafts", "aircraft"),
        ("caches", "cache"),
        ("campuses", "campus"),
        ("bonuses", "bonus"),
        ("viruses", "virus"),
        ("courses", "course"),
        ("taught", "teach"),
        ("given", "give"),
        ("made", "make"),
        ("sent", "send"),
        ("taken", "take"),
        ("bought", "buy"),
        ("wrote", "write"),
        ("written", "write"),
        ("won", "win"),
        ("lost", "lose"),
        ("sold", "sell"),
        ("built", "build"),
        ("paid", "pay"),
        ("geese", "goose"),
    ];
    if let Some((_, singular)) = IRREGULAR.iter().find(|(plural, _)| *plural == word) {
        return (*singular).to_owned();
    }
    if word.len() < 4 || !word.ends_with('s') || word.ends_with("ss") || word.ends_with("us") || word.ends_with("is") {
        return match word {
            "ids" => "id".to_owned(),
            other => other.to_owned(),
        };
    }
    if let Some(root) = word.strip_suffix("ies") {
        return format!("{root}y");
    }
    for ending in ["sses", "ches", "shes", "xes", "zes"] {
        if word.ends_with(ending) {
            return word[..word.len() - 2].to_owned();
        }
    }
    word[..word.len() - 1].to_owned()
}

/// Cuts an identifier into folded words: `snake_case`, `camelCase`, digits.
pub(crate) fn identifier_words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let chars: Vec<char> = name.chars().collect();
    for (index, &c) in chars.iter().enumerate() {
        if !c.is_alphanumeric() {
            words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
            continue;
        }
        let before = index.checked_sub(1).map(|before| chars[before]);
        let hump = c.is_uppercase()
            && (before.is_some_and(char::is_lowercase)
                || (before.is_some_and(char::is_uppercase)
                    && chars.get(index + 1).is_some_and(|c| c.is_lowercase())
                    && !word.is_empty()
                    && chars.get(index + 1) != Some(&'s')));
        if hump {
            words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
        }
        word.push(c);
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    let mut folded: Vec<String> = Vec::new();
    for word in words.iter().map(|word| fold(word)) {
        // `LName`, `tShirt`: a single letter belongs to what follows.
        match folded.last_mut() {
            Some(last) if last.len() == 1 && last.chars().all(char::is_alphabetic) => last.push_str(&word),
            _ => folded.push(word),
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let found: Vec<String> = tokens(text).into_iter().map(|token| token.text).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn questions_become_tokens() {
        check("Who doesn't live in 'New York'?", &["Who", "does", "not", "live", "in", "New York", "?"]);
        check("Linda's pets, over $1,500.50", &["Linda", "'s", "pets", ",", "over", "1500.50"]);
        check("between 2024-01-05 and 10k", &["between", "2024-01-05", "and", "10k"]);
        check("from -5 to −$1,000, a 10-20 range", &["from", "-5", "to", "-1000", ",", "a", "10-20", "range"]);
    }

    #[test]
    fn identifiers_become_words() {
        assert_eq!(identifier_words("SupportRepId"), ["support", "rep", "id"]);
        assert_eq!(identifier_words("pet_age"), ["pet", "age"]);
        assert_eq!(identifier_words("EMP_LNAME"), ["emp", "lname"]);
    }

    #[test]
    fn nouns_have_one_lemma() {
        for (word, expected) in
            [("cities", "city"), ("addresses", "address"), ("people", "person"), ("status", "status")]
        {
            assert_eq!(lemma(word), expected);
        }
    }
}
