//! Lines for standard output.

use std::fmt::Display;
use std::io::Write;

/// Prints a line. A reader that is gone, such as `head`, wants no more of them.
pub(super) fn say(line: &(impl Display + ?Sized)) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
