//! `pulse model check`: what the configured language model can do.

use super::command::{Error, Outcome};
use super::output::say;
use crate::app;
use crate::config::ModelSettings;

/// Prints what was found out of each configured model; one that cannot be used is [`Outcome::NotAnswered`].
pub(super) async fn check(settings: ModelSettings) -> Result<Outcome, Error> {
    let Some(config) = settings.check()? else {
        let problem = "no language model is configured: set OPENAI_API_KEY, or OPENAI_BASE_URL for a local one";
        return Err(Error::Usage(problem.to_owned()));
    };
    say(&format!("Endpoint:    {}", config.base_url));
    let reports = app::check_models(&config).await.map_err(|error| Error::Usage(error.to_string()))?;
    for report in &reports {
        say(&format!("\n{report}"));
    }
    let usable = reports.iter().all(app::ModelReport::is_usable);
    say(if usable { "The model can be used." } else { "The model cannot be used as it is configured." });
    Ok(if usable { Outcome::Done } else { Outcome::NotAnswered })
}
