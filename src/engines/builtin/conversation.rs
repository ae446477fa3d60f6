//! A question after those before it, and after what was answered to questions back.

use jiff::civil::Date;

use super::ambiguity::{Settled, settle};
use super::followup;
use super::reading::{Abstention, Lexicon, Said, read, tokens, understand};

/// One question of a conversation.
pub(crate) struct Turn<'a> {
    pub question: &'a str,
    /// What was answered when it was asked back, first answer first.
    pub answers: Vec<&'a str>,
    /// The day that its "today" is.
    pub today: Date,
}

/// Reads the last question, completed from those before it. What cannot be read of them is passed over, for a question
/// that stands by itself does not need it; one that leans on it is not answered.
pub(crate) fn converse(before: &[Turn<'_>], last: &Turn<'_>, lexicon: &Lexicon) -> Result<Settled, Abstention> {
    let mut base: Option<Said> = None;
    for turn in before {
        let said = said(base.as_ref(), turn, lexicon);
        base = said
            .and_then(|said| {
                let settled = settled(&said, turn, lexicon)?;
                Ok(Said { draft: settled.readings.first().map_or(said.draft, followup::settled), words: said.words })
            })
            .ok();
    }
    if base.is_none() && !before.is_empty() && followup::leans(&tokens(last.question, lexicon)) {
        let reason = "it builds on a question that this engine cannot read; ask the whole question";
        return Err(Abstention::Shape(reason.to_owned()));
    }
    settled(&said(base.as_ref(), last, lexicon)?, last, lexicon)
}

fn said(base: Option<&Said>, turn: &Turn<'_>, lexicon: &Lexicon) -> Result<Said, Abstention> {
    let tokens = tokens(turn.question, lexicon);
    match base {
        Some(base) => followup::complete(base, &tokens, turn.today, lexicon),
        None => understand(&tokens, turn.today, lexicon),
    }
}

fn settled(said: &Said, turn: &Turn<'_>, lexicon: &Lexicon) -> Result<Settled, Abstention> {
    Ok(settle(read(said, lexicon)?, &turn.answers, lexicon))
}
