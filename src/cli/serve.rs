//! `pulse serve`: the server itself.

use tokio::net::TcpListener;

use super::command::{Error, Outcome, ServeArguments};
use crate::app::App;
use crate::lifecycle::Lifecycle;
use crate::telemetry;

/// Serves until a signal stops it.
pub(super) async fn run(arguments: ServeArguments) -> Result<Outcome, Error> {
    let config = arguments.settings.check()?;
    telemetry::init(&config.telemetry).map_err(|error| Error::Usage(error.to_string()))?;
    let listener = TcpListener::bind(config.listen).await.map_err(|error| {
        Error::Usage(format!("PULSE_LISTEN: cannot listen on {}: {error}; choose another port", config.listen))
    })?;
    let lifecycle = Lifecycle::default();
    lifecycle.listen_for_signals().map_err(|error| Error::Call(format!("signals cannot be handled: {error}")))?;
    let app = App::start(config, &lifecycle).await.map_err(|error| Error::Usage(error.to_string()))?;
    if arguments.demo {
        app.add_demo_in_time(&lifecycle).await.map_err(|error| Error::Call(error.to_string()))?;
    }
    app.serve(listener, &lifecycle).await.map_err(|error| Error::Call(error.to_string()))?;
    Ok(Outcome::Done)
}
