//! Which rows are the answer when several statements were executed: those that most of them return.

use std::cmp::Reverse;

use super::Rows;
use crate::domain::Comparable;
use crate::domain::outputs::Agreement;

/// The rows of one statement, for comparing.
pub(super) struct Vote {
    rows: Comparable,
    capped: bool,
}

impl From<&Rows> for Vote {
    fn from(answered: &Rows) -> Self {
        Self { rows: Comparable::of_rows(answered.columns.len(), &answered.rows), capped: answered.capped }
    }
}

impl Vote {
    /// Of a result that was cut only its beginning is known, and any other may begin with the same rows: it agrees with none
    /// but itself. Equal statements are run once, so that their candidates share one vote.
    fn agrees(&self, other: &Self, ordered: bool) -> bool {
        std::ptr::eq(self, other) || (!self.capped && !other.capped && self.rows.same(&other.rows, ordered))
    }
}

struct Group<'a> {
    vote: &'a Vote,
    candidates: Vec<u32>,
    builtin: bool,
}

impl Group<'_> {
    fn votes(&self) -> usize {
        self.candidates.len() + usize::from(self.builtin)
    }
}

/// The largest group of candidates with the same rows. Of groups of the same size the one with the built-in engine's vote
/// wins, then the one with the lowest candidate. `ordered` says whether the order of rows counts; `composed` is how many
/// candidates there were, those included that have no rows. `None` when nobody has any.
pub(super) fn elect(
    candidates: &[(u32, &Vote)],
    builtin: Option<&Vote>,
    ordered: bool,
    composed: u32,
) -> Option<Agreement> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for &(candidate, vote) in candidates {
        match groups.iter_mut().find(|group| group.vote.agrees(vote, ordered)) {
            Some(group) => group.candidates.push(candidate),
            None => groups.push(Group { vote, candidates: vec![candidate], builtin: false }),
        }
    }
    if let Some(vote) = builtin
        && let Some(group) = groups.iter_mut().find(|group| group.vote.agrees(vote, ordered))
    {
        group.builtin = true;
    }
    let rank = |group: &Group<'_>| (group.votes(), group.builtin, Reverse(group.candidates.first().copied()));
    let Group { candidates: agreeing, builtin: has_builtin, .. } = groups.into_iter().max_by_key(rank)?;
    let builtin = builtin.map(|_| has_builtin);
    Some(Agreement { candidate: *agreeing.first()?, agreeing, composed, builtin })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Value;

    /// Each letter is a row of its own; the same word in another order is the same result.
    fn vote(word: &str) -> Vote {
        let rows: Vec<_> = word.chars().map(|letter| vec![Value::String(letter.to_string())]).collect();
        Vote { rows: Comparable::of_rows(1, &rows), capped: false }
    }

    #[track_caller]
    fn check(candidates: &[&str], builtin: Option<&str>, agreeing: &[u32], confidence: f64) {
        let votes: Vec<Vote> = candidates.iter().map(|word| vote(word)).collect();
        let numbered: Vec<(u32, &Vote)> = (1..).zip(&votes).collect();
        let builtin = builtin.map(vote);
        let composed = u32::try_from(candidates.len()).unwrap();
        let agreement = elect(&numbered, builtin.as_ref(), false, composed).unwrap();
        assert_eq!((agreement.candidate, agreement.agreeing.as_slice()), (agreeing[0], agreeing));
        assert!((agreement.confidence() - confidence).abs() < 1e-9, "{agreement:?}");
    }

    #[test]
    fn the_largest_group_wins() {
        check(&["ab", "x", "ba"], None, &[1, 3], 2.0 / 3.0);
        check(&["x", "ab", "ba"], None, &[2, 3], 2.0 / 3.0);
        check(&["ab", "ab", "ab"], Some("ab"), &[1, 2, 3], 1.0);
        check(&["ab", "ab", "x"], Some("y"), &[1, 2], 0.5);
    }

    #[test]
    fn ties_go_to_the_built_in_engine_and_then_to_the_first() {
        check(&["a", "b", "c"], Some("c"), &[3], 0.5);
        check(&["a", "b", "c"], None, &[1], 1.0 / 3.0);
        check(&["a", "b", "b"], Some("a"), &[1], 0.5);
        check(&["a", "b", "c"], Some("z"), &[1], 0.25);
    }

    #[test]
    fn who_has_no_rows_counts_against() {
        let rows = vote("ab");
        let agreement = elect(&[(2, &rows)], None, false, 3).unwrap();
        assert_eq!((agreement.candidate, agreement.builtin), (2, None));
        assert!((agreement.confidence() - 1.0 / 3.0).abs() < 1e-9);
        assert!(elect(&[], Some(&rows), false, 3).is_none());
    }

    #[test]
    fn order_and_the_cap_count_where_they_mean_something() {
        let (rows, turned) = (vote("ab"), vote("ba"));
        let agreeing = |ordered| elect(&[(1, &rows), (2, &turned)], None, ordered, 2).unwrap().agreeing;
        assert_eq!((agreeing(false), agreeing(true)), (vec![1, 2], vec![1]));
        let cut = || Vote { capped: true, ..vote("ab") };
        let (cut, another) = (cut(), cut());
        assert_eq!(elect(&[(1, &rows), (2, &cut)], None, false, 2).unwrap().agreeing, [1]);
        assert_eq!(elect(&[(1, &cut), (2, &another)], Some(&another), false, 2).unwrap().agreeing, [2]);
        assert_eq!(elect(&[(1, &another), (2, &cut), (3, &cut)], None, false, 3).unwrap().agreeing, [2, 3]);
    }
}
