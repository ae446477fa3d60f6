//! `pulse eval`.

use super::command::{Error, EvalArguments, Outcome};

pub(super) async fn run(_arguments: EvalArguments) -> Result<Outcome, Error> {
    Err(Error::Usage("not there yet".to_owned()))
}
