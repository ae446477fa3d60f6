//! Where Redis is, as one URL says it.

use fred::types::RespVersion;
use fred::types::config::Config;
use url::Url;

use super::keys::Keys;

/// Parameters that a URL may carry: ours, and those of the client.
const PARAMETERS: [&str; 5] = ["prefix", "node", "sentinelServiceName", "sentinelUsername", "sentinelPassword"];

/// A checked URL. Holds credentials: there is no `Debug`.
#[derive(Clone)]
pub struct Settings {
    pub(super) config: Config,
    pub(super) keys: Keys,
}

impl Settings {
    /// Reads `redis://`, `rediss://` (TLS), `redis-sentinel://`, `rediss-sentinel://`, `redis-cluster://` or
    /// `rediss-cluster://` `[[USER]:PASSWORD@]HOST[:PORT][/DATABASE][?PARAMETERS]`. The error says what is wrong and
    /// never repeats the URL.
    pub fn parse(url: &str) -> Result<Self, String> {
        let mut url = Url::parse(url.trim()).map_err(|problem| format!("not a URL: {problem}"))?;
        let (_, kind) = url.scheme().split_once('-').unwrap_or(("", ""));
        let (cluster, sentinel) = (kind == "cluster", kind == "sentinel");
        if url.host_str().is_none_or(str::is_empty) {
            return Err("names no host; it is redis://HOST:PORT".to_owned());
        }
        let parameters: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        if let Some((name, _)) = parameters.iter().find(|(name, _)| !PARAMETERS.contains(&name.as_str())) {
            return Err(format!("`{name}` is no parameter; there are {}", PARAMETERS.join(", ")));
        }
        let is_place = |node: &str| node.split_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if parameters.iter().any(|(name, node)| name == "node" && !is_place(node)) {
            return Err("a `node` is not HOST:PORT".to_owned());
        }
        let named = |wanted: &str| parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        if sentinel && named("sentinelServiceName").is_none_or(str::is_empty) {
            return Err("needs `?sentinelServiceName=NAME`, the name that the sentinels watch".to_owned());
        }
        let database = url.path().trim_matches('/');
        if cluster && !matches!(database, "" | "0") {
            return Err("a Cluster has database 0 only; leave it out".to_owned());
        }
        if !database.is_empty() && database.parse::<u8>().is_err() {
            return Err("the database after the host is not a number from 0 to 255".to_owned());
        }
        let prefix = named("prefix").unwrap_or(Keys::PREFIX);
        let keys = Keys::new(prefix).ok_or("`prefix` is not 1 to 32 of a-z, A-Z, 0-9, `-`, `_` and `.`")?;
        if cluster {
            url.set_path("");
        }
        let config = match (cluster, sentinel) {
            (true, _) => Config::from_url_clustered(url.as_str()),
            (_, true) => Config::from_url_sentinel(url.as_str()),
            _ => Config::from_url_centralized(url.as_str()),
        };
        let mut config = config.map_err(|problem| problem.details().to_owned())?;
        config.version = RespVersion::RESP3;
        // It connects as soon as it can, and until then calls are refused.
        config.fail_fast = false;
        Ok(Self { config, keys })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, expected: Result<&str, &str>) {
        match (Settings::parse(url), expected) {
            (Ok(settings), Ok(marker)) => assert_eq!(settings.keys.marker(), marker, "{url}"),
            (Err(problem), Err(part)) => assert!(problem.contains(part) && !problem.contains("s3cret"), "{problem}"),
            (outcome, _) => panic!("{url}: {:?}, not {expected:?}", outcome.map(|settings| settings.keys.marker())),
        }
    }

    #[test]
    fn urls_are_checked_and_never_repeated() {
        check("redis://localhost", Ok("{pulse}:store"));
        check("redis://:s3cret@localhost:7000/3?prefix=staging", Ok("{staging}:store"));
        check("rediss://user:s3cret@redis.example.org", Ok("{pulse}:store"));
        check("redis-cluster://h:7000?node=h:7001&node=h:7002", Ok("{pulse}:store"));
        check("redis-sentinel://h:26379/1?sentinelServiceName=pulse&node=h:26380", Ok("{pulse}:store"));
        check("redis://", Err("names no host"));
        check("redis", Err("not a URL"));
        check("redis://u:s3cret@h?timeout=1", Err("`timeout` is no parameter; there are prefix"));
        check("redis://u:s3cret@h/many", Err("not a number from 0 to 255"));
        check("redis-cluster://u:s3cret@h:7000/2", Err("database 0 only"));
        check("redis-sentinel://u:s3cret@h:7000", Err("sentinelServiceName"));
        check("redis://h?prefix={x}", Err("`prefix` is not"));
        check("redis-cluster://h:7000?node=u:s3cret@h", Err("a `node` is not HOST:PORT"));
    }

    #[test]
    fn credentials_and_database_reach_the_client() {
        let config = Settings::parse("redis://us%40er:p%3Ass@h:7000/3?prefix=x").unwrap().config;
        assert_eq!((config.username.as_deref(), config.password.as_deref()), (Some("us@er"), Some("p:ss")));
        assert_eq!((config.database, config.server.hosts()[0].port), (Some(3), 7000));
    }
}
