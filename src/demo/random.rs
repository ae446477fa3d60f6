//! A deterministic pseudo-random generator, written here so that no dependency's new version can
//! change the demo data. Not for secrets.

/// SplitMix64: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 up to, not including, `bound`; 0 when `bound` is 0.
    ///
    /// Takes the high half of a product (Lemire, "Fast Random Integer Generation in an Interval",
    /// ACM TOMACS 2019) without its correction step: the bias is far below what a demo shows.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included; `high` must not be smaller.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below(high.abs_diff(low) + 1) as i64
    }

    /// True in `percent` of a hundred cases.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One element of a list that is not empty.
    pub(super) fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as u64) as usize]
    }

    /// A copy of `pattern` with a digit for each `#` and a capital letter for each `@`.
    pub(super) fn fill(&mut self, pattern: &str) -> String {
        let letters = b"ABCDEFGHJKLMNPRSTUVWXYZ";
        let fill_one = |c| match c {
            // Never 0, which would look wrong at the front of a postal code or phone number.
            '#' => char::from(b'1' + self.below(9) as u8),
            '@' => char::from(*self.pick(letters)),
            other => other,
        };
        pattern.chars().map(fill_one).collect()
    }
}

/// Indexes with different chances: index `i` is drawn in proportion to the weight at `i`.
pub(super) struct Weighted(Vec<u64>);

impl Weighted {
    pub(super) fn new(weights: impl IntoIterator<Item = u64>) -> Self {
        let mut sum = 0;
        let running_sums = weights.into_iter().map(|weight| {
            sum += weight;
            sum
        });
        Self(running_sums.collect())
    }

    /// An index below `count`, which is at most the number of weights; the weights up to it must
    /// not all be 0.
    pub(super) fn pick_among_first(&self, count: usize, random: &mut Random) -> usize {
        let running_sums = &self.0[..count];
        let sum = running_sums.last().copied().unwrap_or(0);
        let mark = random.below(sum);
        running_sums.partition_point(|&running_sum| running_sum <= mark)
    }

    pub(super) fn pick(&self, random: &mut Random) -> usize {
        self.pick_among_first(self.0.len(), random)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_published_algorithm() {
        let mut random = Random::new(1_234_567);
        let numbers: Vec<u64> = (0..3).map(|_| random.next()).collect();
        let published = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(numbers, published);
    }

    #[test]
    fn both_ends_of_a_range_are_reached_and_never_passed() {
        let mut random = Random::new(1);
        let mut seen: Vec<i64> = (0..1_000).map(|_| random.between(-2, 2)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [-2, -1, 0, 1, 2]);
    }

    #[test]
    fn an_index_of_weight_zero_is_never_drawn() {
        let mut random = Random::new(1);
        let weighted = Weighted::new([0, 3, 0, 1, 9]);
        let mut seen: Vec<usize> = (0..1_000).map(|_| weighted.pick_among_first(4, &mut random)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [1, 3]);
    }
}
