//! From a question to a reading, or to the reason why there is none.

use std::fmt;
use std::sync::Arc;

use jiff::civil::Date;

use super::build::Builder;
use super::chunks::{self, Chunk};
use super::defined;
use super::draft::Draft;
use super::idioms;
use super::joins::{Edge, Joins};
use super::names::{Names, Target};
use super::print;
use super::resolve::{self, Assignment};
use super::tree::Query;
use super::values::Values;
use super::words::{self, Token};
use crate::domain::Facts;

/// Confidence below which the engine does not answer.
const THRESHOLD: f64 = 0.72;

/// What the engine looks questions up in: built once per schema and value index.
pub struct Lexicon {
    pub(crate) names: Names,
    pub(crate) values: Values,
    pub(crate) joins: Joins,
    pub(crate) facts: Arc<Facts>,
}

impl Lexicon {
    /// Indexes facts.
    #[must_use]
    pub fn new(facts: Arc<Facts>) -> Self {
        let names = Names::new(&facts.schema, &facts.meaning);
        let values = Values::new(&names, &facts.values, &facts.meaning);
        let joins = Joins::new(&names);
        Self { names, values, joins, facts }
    }
}

/// A question understood.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The statement, in the schema's dialect.
    pub sql: String,
    /// 0 to 1.
    pub confidence: f64,
    /// What was assumed where the question left it open.
    pub assumptions: Vec<String>,
    pub(crate) query: Query,
    pub(crate) draft: Draft,
    pub(crate) targets: Vec<Target>,
    /// How well the targets fit: 0 is perfect, every compromise takes something away.
    pub(crate) score: f64,
}

/// Why a question has no reading.
#[derive(Debug, Clone, PartialEq)]
pub enum Abstention {
    /// Words that neither the schema nor the data explains.
    Unexplained(Vec<String>),
    /// The words are known, their arrangement is not.
    Shape(String),
    /// There is a reading, but it is not sure enough.
    Unsure(String),
}

impl fmt::Display for Abstention {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unexplained(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
                write!(formatter, "No table, column or value explains {}. ", words.join(", "))?;
                formatter.write_str("Ask with the names that the schema uses.")
            }
            Self::Shape(reason) => {
                write!(formatter, "The question was not understood: {reason}. Try to ask it in simpler words.")
            }
            Self::Unsure(reading) => {
                write!(
                    formatter,
                    "The question may mean this, but not surely enough to answer: {reading} Ask with the names that the schema uses."
                )
            }
        }
    }
}

/// A question on its way to its readings.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    pub draft: Draft,
    /// Lemmas of its words, and of those that it builds on.
    pub words: Vec<String>,
}

/// Reads a question; the first reading is the best.
pub fn interpret(question: &str, lexicon: &Lexicon) -> Result<Vec<Reading>, Abstention> {
    read(&understand(&tokens(question, lexicon), lexicon.facts.today, lexicon)?, lexicon)
}

/// The words of a question, turns of phrase said plainly.
pub(crate) fn tokens(question: &str, lexicon: &Lexicon) -> Vec<Token> {
    idioms::plain(&words::tokens(question), &lexicon.names)
}

/// What a question asks for, when it stands by itself.
pub(crate) fn understand(tokens: &[Token], today: Date, lexicon: &Lexicon) -> Result<Said, Abstention> {
    let chunks = chunks::chunks(tokens, &lexicon.names, &lexicon.values, today);
    let chunks = defined::with_totals(chunks, &lexicon.names);
    let unknown: Vec<String> = chunks
        .iter()
        .filter(|chunk| chunk.unknown && !is_like_text(&chunks, chunk))
        .map(|chunk| chunk.text.clone())
        .collect();
    if !unknown.is_empty() {
        return Err(Abstention::Unexplained(unknown));
    }
    let draft = super::parse::parse(&chunks, &lexicon.names);
    if !draft.unknown.is_empty() {
        return Err(Abstention::Unexplained(draft.unknown));
    }
    if draft.items.is_empty() {
        return Err(Abstention::Shape("it does not say what to show".to_owned()));
    }
    let words = tokens.iter().map(|token| token.lemma.clone()).collect();
    Ok(Said { draft, words })
}

/// The readings of what was said, best first.
pub(crate) fn read(said: &Said, lexicon: &Lexicon) -> Result<Vec<Reading>, Abstention> {
    let Said { draft, words } = said;
    if let Some(slot) = draft.slots.iter().find(|slot| slot.candidates.is_empty() && !slot.text.is_empty()) {
        return Err(Abstention::Unexplained(vec![slot.text.clone()]));
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let prefers = |edge: &Edge| preference(edge, &words, &lexicon.names);
    let assignments = resolve::resolve(draft, &lexicon.names, &lexicon.joins, &prefers);
    readings(draft, &assignments, lexicon, &prefers, &words)
}

fn readings(
    draft: &Draft,
    assignments: &[Assignment],
    lexicon: &Lexicon,
    prefers: &dyn Fn(&Edge) -> f64,
    words: &[&str],
) -> Result<Vec<Reading>, Abstention> {
    let mut readings: Vec<Reading> = Vec::new();
    let mut reason = None;
    for assignment in assignments.iter().take(12) {
        let builder = Builder {
            draft,
            targets: &assignment.targets,
            names: &lexicon.names,
            values: &lexicon.values,
            joins: &lexicon.joins,
            prefers,
            words,
            certainty: draft.doubt,
            assumptions: Vec::new(),
        };
        match builder.build() {
            Ok(mut built) => {
                built.assumptions.extend(defined::narrow(&mut built.query, draft, &assignment.targets, &lexicon.names));
                let sql = print::sql(&built.query, &lexicon.names);
                if readings.iter().any(|known| known.sql == sql) {
                    continue;
                }
                let fit = (1.0 + assignment.score.min(0.0)).clamp(0.0, 1.0);
                readings.push(Reading {
                    sql,
                    confidence: built.certainty * fit.max(0.05),
                    assumptions: built.assumptions,
                    query: built.query,
                    draft: draft.clone(),
                    targets: assignment.targets.clone(),
                    score: assignment.score,
                });
            }
            Err(text) => reason = reason.or(Some(text)),
        }
    }
    let Some(best) = readings.first() else {
        return Err(Abstention::Shape(
            reason.unwrap_or_else(|| "no foreign keys connect the tables that are spoken of".to_owned()),
        ));
    };
    if best.confidence < THRESHOLD {
        return Err(Abstention::Unsure(super::explain::sentence(&best.query, &lexicon.names)));
    }
    Ok(readings)
}

/// A word after "contains" stands for itself.
fn is_like_text(chunks: &[Chunk], unknown: &Chunk) -> bool {
    let position = chunks.iter().position(|chunk| std::ptr::eq(chunk, unknown)).unwrap_or(0);
    chunks[..position]
        .iter()
        .rev()
        .find(|chunk| !chunk.noise)
        .is_some_and(|chunk| matches!(chunk.cue, Some(super::cues::Cue::Like(..))))
}

/// How much the question's words speak for an edge: parallel keys differ in the name of the referencing column.
fn preference(edge: &Edge, said: &[&str], names: &Names) -> f64 {
    let words = edge.child.iter().flat_map(|col| names.words(*col));
    let hits = words
        .filter(|word| {
            said.contains(&word.as_str())
                || super::synonyms::of(word).iter().any(|other| said.contains(other))
                || (word.len() > 4 && said.iter().any(|spoken| spoken.len() > 4 && (spoken.starts_with(&word[..4]))))
        })
        .count();
    // What people prefer decides, whatever the words say.
    hits as f64 * 0.1 + if edge.preferred { 10.0 } else { 0.0 }
}
