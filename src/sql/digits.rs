//! Small numbers with zeros before them, without the formatter: for the cells of long results.

use std::sync::LazyLock;

/// A number below 10,000 in four digits; a larger one is taken for that.
pub(super) fn four(number: u16) -> &'static str {
    /// "0000", "0001" and so on to "9999".
    static ALL: LazyLock<String> = LazyLock::new(|| (0..10_000).map(|number| format!("{number:04}")).collect());
    let start = 4 * usize::from(number.min(9_999));
    &ALL[start..start + 4]
}

/// A number below 100 in two digits; of a larger one the last two.
pub(super) fn two(number: u16) -> &'static str {
    &four(number)[2..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_come_first() {
        assert_eq!([four(0), four(7), four(10_000 - 1), four(u16::MAX)], ["0000", "0007", "9999", "9999"]);
        assert_eq!([two(0), two(9), two(59)], ["00", "09", "59"]);
    }
}
