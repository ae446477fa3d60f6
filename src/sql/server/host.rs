//! Which hosts Pulse connects to. Names are resolved once per connect, and what was checked is what is connected to.
//!
//! Whoever may save a connection names a host, and Pulse may reach hosts that this person cannot. So every address of a
//! name is judged, and one that is forbidden forbids the name: the database's owner decides where a name leads, and may
//! decide anew between two look-ups.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::ServerTarget;
use crate::sql::{Error, Unreachable};

/// Ports below this belong to the system's own services.
const FIRST_ORDINARY_PORT: u16 = 1024;

/// Where clouds tell a machine its credentials, beside the link-local 169.254.169.254.
const METADATA: [IpAddr; 5] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// Which hosts may be connected to. Link-local and metadata addresses, multicast and the like never may, whatever is
/// listed. The default suits a server that only its own machine can call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPolicy {
    /// Whether loopback and private addresses may be connected to without being listed.
    pub private: bool,
    /// Loopback and private addresses that may be connected to, and what `*` in `deny` spares.
    pub allow: HostList,
    /// Hosts that may not be connected to. Wins over `allow`.
    pub deny: HostList,
    /// Ports below 1024 that may be connected to.
    pub low_ports: Vec<u16>,
    /// Folders below which Unix sockets may be connected to.
    pub socket_folders: Vec<PathBuf>,
}

impl Default for HostPolicy {
    fn default() -> Self {
        Self {
            private: true,
            allow: HostList::default(),
            deny: HostList::default(),
            low_ports: Vec::new(),
            socket_folders: Vec::new(),
        }
    }
}

/// Host names, addresses and networks: `db.example.org, *.example.org, 10.1.2.3, fd00::/8`, or `*` for every host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostList(Vec<Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Everything,
    Name(String),
    /// Every name that ends so; begins with a dot.
    Below(String),
    Network(IpNet),
}

/// A place to connect to that policy allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sql) enum Address {
    /// An address; the port is the target's.
    Ip(IpAddr),
    /// A folder with Unix sockets.
    SocketFolder(PathBuf),
}

impl ServerTarget {
    /// The addresses of the host, every one checked. `limit` bounds the look-up of a name.
    pub(in crate::sql) async fn resolve(&self, limit: Duration) -> Result<Vec<Address>, Error> {
        if self.host.starts_with('/') {
            let folder = self.hosts.socket_folder(&self.host).await?;
            return Ok(vec![Address::SocketFolder(folder)]);
        }
        self.hosts.check_port(&self.host, self.port)?;
        self.hosts.check_name(&self.host)?;
        let found = match timeout(limit, lookup_host((self.host.as_str(), self.port))).await {
            Ok(Ok(found)) => found.map(|address| address.ip()).collect::<Vec<_>>(),
            Ok(Err(_)) => return Err(Error::Unreachable(Unreachable::Dns)),
            Err(_elapsed) => return Err(Error::Unreachable(Unreachable::Timeout)),
        };
        if found.is_empty() {
            return Err(Error::Unreachable(Unreachable::Dns));
        }
        for address in &found {
            self.hosts.check_address(&self.host, *address)?;
        }
        Ok(found.into_iter().map(Address::Ip).collect())
    }

    /// Whether policy allows the host, as far as is known: a name that has no address yet is not refused.
    pub async fn check_host(&self, limit: Duration) -> Result<(), Error> {
        match self.resolve(limit).await {
            Err(refused @ Error::HostNotAllowed { .. }) => Err(refused),
            _ => Ok(()),
        }
    }
}

impl HostPolicy {
    fn check_port(&self, host: &str, port: u16) -> Result<(), Error> {
        if port >= FIRST_ORDINARY_PORT || self.low_ports.contains(&port) {
            return Ok(());
        }
        Err(refused(&format!("{host}:{port}"), "ports below 1024 have to be listed in PULSE_ALLOW_PORTS"))
    }

    /// What the name alone decides, so that a denied name is not even looked up.
    fn check_name(&self, host: &str) -> Result<(), Error> {
        if self.deny.has_name(host) { Err(denied(host)) } else { Ok(()) }
    }

    fn check_address(&self, host: &str, address: IpAddr) -> Result<(), Error> {
        // A packet to such an address ends at the one inside it, which is therefore the one that counts.
        let meant = embedded(address).map_or(address, IpAddr::V4);
        if let Some(what) = never_allowed(meant) {
            return Err(refused(host, &format!("it leads to {what}, which is never allowed")));
        }
        let listed = |list: &HostList| list.has_address(address) || list.has_address(meant);
        let allowed = self.allow.has_name(host) || listed(&self.allow) || self.allow.has_everything();
        if listed(&self.deny) || (self.deny.has_everything() && !allowed) {
            return Err(denied(host));
        }
        if is_private(meant) && !self.private && !allowed {
            let why = "it leads to a loopback or private address, which has to be listed in PULSE_ALLOW_HOSTS \
                       on a server that listens to other machines";
            return Err(refused(host, why));
        }
        Ok(())
    }

    /// The folder itself, without links. It is judged by its name before the disk is asked, so that nobody learns what
    /// exists elsewhere, and again by where links lead.
    async fn socket_folder(&self, host: &str) -> Result<PathBuf, Error> {
        if self.socket_folders.is_empty() {
            return Err(refused(host, "Unix sockets are off; PULSE_SOCKET_DIRS names folders in which they are on"));
        }
        let outside = || refused(host, "the folder is not below one of PULSE_SOCKET_DIRS");
        let plain = Path::new(host).components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        if !plain || !self.socket_folders.iter().any(|folder| Path::new(host).starts_with(folder)) {
            return Err(outside());
        }
        // A folder that is not there has no server in it.
        let nobody = |_| Error::Unreachable(Unreachable::Refused);
        let folder = tokio::fs::canonicalize(host).await.map_err(nobody)?;
        for allowed in &self.socket_folders {
            if tokio::fs::canonicalize(allowed).await.is_ok_and(|allowed| folder.starts_with(allowed)) {
                return Ok(folder);
            }
        }
        Err(outside())
    }
}

impl HostList {
    fn has_everything(&self) -> bool {
        self.0.contains(&Entry::Everything)
    }

    fn has_name(&self, host: &str) -> bool {
        let host = plain(host);
        self.0.iter().any(|entry| match entry {
            Entry::Name(name) => *name == host,
            Entry::Below(end) => host.ends_with(end.as_str()),
            Entry::Everything | Entry::Network(_) => false,
        })
    }

    fn has_address(&self, address: IpAddr) -> bool {
        self.0.iter().any(|entry| matches!(entry, Entry::Network(network) if network.contains(&address)))
    }
}

impl FromStr for HostList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        entries.map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for Entry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Everything);
        }
        if let Ok(address) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Ok(Self::Network(address.into()));
        }
        if let Ok(network) = text.parse() {
            return Ok(Self::Network(network));
        }
        let name = plain(text);
        let (below, rest) = name.strip_prefix('*').map_or((false, name.as_str()), |rest| (rest.starts_with('.'), rest));
        let letters = |one: char| one.is_ascii_alphanumeric() || matches!(one, '-' | '_' | '.');
        // Digits and dots alone are an address, and a wrong one.
        let is_name = !rest.is_empty() && rest.chars().all(letters) && rest.contains(|one: char| one.is_alphabetic());
        match (is_name, below) {
            (true, true) => Ok(Self::Below(rest.to_owned())),
            (true, false) if !name.starts_with('*') => Ok(Self::Name(name)),
            _ => Err(format!("`{text}` is no host name, no address and no network such as 10.0.0.0/8")),
        }
    }
}

/// A host name as it is compared.
fn plain(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

fn refused(host: &str, reason: &str) -> Error {
    Error::HostNotAllowed { host: host.to_owned(), reason: reason.to_owned() }
}

fn denied(host: &str) -> Error {
    refused(host, "PULSE_DENY_HOSTS forbids it")
}

/// What no list can allow.
fn never_allowed(address: IpAddr) -> Option<&'static str> {
    if METADATA.contains(&address) {
        return Some("an address of cloud metadata");
    }
    match address {
        // All of 0.0.0.0/8 is `this host`.
        IpAddr::V4(v4) if v4.octets()[0] == 0 => Some("an unspecified address"),
        IpAddr::V4(v4) if v4.is_link_local() => Some("a link-local address"),
        IpAddr::V4(v4) if v4.is_broadcast() => Some("a broadcast address"),
        IpAddr::V6(v6) if v6.is_unspecified() => Some("an unspecified address"),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some("a link-local address"),
        // Translation for local use (RFC 8215): which IPv4 address it leads to, only its operator knows.
        IpAddr::V6(v6) if v6.segments()[..3] == [0x64, 0xff9b, 1] => Some("a translated address"),
        _ if address.is_multicast() => Some("a multicast address"),
        _ => None,
    }
}

/// Loopback, and what is not reachable from everywhere.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, third, _] = v4.octets();
            let shared = first == 100 && (64..128).contains(&second);
            let special = (first, second, third) == (192, 0, 0) || (first == 198 && matches!(second, 18 | 19));
            v4.is_loopback() || v4.is_private() || shared || special || first >= 240
        }
        IpAddr::V6(v6) => {
            let site_local = v6.segments()[0] & 0xffc0 == 0xfec0;
            v6.is_loopback() || v6.is_unique_local() || site_local
        }
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped and compatible (RFC 4291), translated (RFC 2765, RFC 6052),
/// 6to4 (RFC 3056) and Teredo (RFC 4380).
fn embedded(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return None };
    let octets = v6.octets();
    let at = |start: usize| Ipv4Addr::new(octets[start], octets[start + 1], octets[start + 2], octets[start + 3]);
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _] | [0, 0, 0, 0, 0xffff, 0, _, _] => Some(at(12)),
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some(at(12)),
        [0x2002, ..] => Some(at(2)),
        [0x2001, 0, ..] => Some(Ipv4Addr::from_bits(!at(12).to_bits())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Tls;
    use crate::domain::connection::ConnectionSecrets;

    fn list(text: &str) -> HostList {
        text.parse().unwrap()
    }

    fn exposed() -> HostPolicy {
        HostPolicy { private: false, ..HostPolicy::default() }
    }

    fn target(host: &str, port: u16, hosts: HostPolicy) -> ServerTarget {
        ServerTarget {
            host: host.to_owned(),
            port,
            database: String::new(),
            username: "ann".to_owned(),
            secrets: ConnectionSecrets::default(),
            tls: Tls::default(),
            hosts,
        }
    }

    /// Why an address is refused; empty when it is not.
    fn verdict(policy: &HostPolicy, address: &str) -> String {
        match policy.check_address("db.example.org", address.parse().unwrap()) {
            Ok(()) => String::new(),
            Err(Error::HostNotAllowed { host, reason }) if host == "db.example.org" => reason,
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn some_addresses_are_refused_whatever_is_listed() {
        let open = HostPolicy { allow: list("*, 0.0.0.0/0, ::/0"), ..HostPolicy::default() };
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "224.0.0.1",
            "239.255.255.255",
            "ff02::1",
            "255.255.255.255",
            "::ffff:169.254.169.254",
            "::ffff:0.0.0.0",
            "::169.254.169.254",
            "::ffff:0:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::1",
            "2002:a9fe:a9fe::1",
            "2001:0:1:2:3:4:5601:5601",
        ] {
            assert!(verdict(&open, address).contains("never allowed"), "{address}");
        }
    }

    #[test]
    fn private_addresses_are_for_servers_on_loopback() {
        for address in [
            "127.0.0.1",
            "127.255.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "198.18.0.1",
            "240.0.0.1",
            "::1",
            "fd12::1",
            "fec0::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:0a00:0001::1",
        ] {
            assert!(verdict(&exposed(), address).contains("PULSE_ALLOW_HOSTS"), "{address}");
            assert_eq!(verdict(&HostPolicy::default(), address), "", "{address}");
        }
        for address in ["93.184.215.14", "172.32.0.1", "100.128.0.1", "11.0.0.1", "2606:2800::1", "64:ff9b::8.8.8.8"] {
            assert_eq!(verdict(&exposed(), address), "", "{address}");
        }
    }

    #[test]
    fn lists_allow_and_deny_names_addresses_and_networks() {
        for (allow, deny, address, allowed) in [
            ("10.0.0.0/8", "", "10.1.2.3", true),
            ("10.0.0.0/8", "", "::ffff:10.1.2.3", true),
            ("10.0.0.0/8", "", "192.168.0.1", false),
            ("10.1.2.3", "", "10.1.2.3", true),
            ("10.1.2.3", "", "10.1.2.4", false),
            ("[fd12::1]", "", "fd12::1", true),
            ("DB.example.org.", "", "10.1.2.3", true),
            ("*.example.org", "", "10.1.2.3", true),
            ("*.other.org", "", "10.1.2.3", false),
            ("*", "", "10.1.2.3", true),
            ("", "93.184.0.0/16", "93.184.215.14", false),
            ("93.184.215.14", "93.184.0.0/16", "93.184.215.14", false),
            ("", "*", "93.184.215.14", false),
            ("93.184.215.14", "*", "93.184.215.14", true),
            ("*.example.org", "*", "10.1.2.3", true),
            ("*.example.org", "*, 10.0.0.0/8", "10.1.2.3", false),
        ] {
            let policy = HostPolicy { allow: list(allow), deny: list(deny), ..exposed() };
            let reason = verdict(&policy, address);
            assert_eq!(reason.is_empty(), allowed, "allow {allow:?}, deny {deny:?}, {address}: {reason}");
        }
        for (deny, host, allowed) in [
            ("db.example.org", "DB.example.org.", false),
            ("db.example.org", "xdb.example.org", true),
            ("*.example.org", "a.b.example.org", false),
            ("*.example.org", "example.org", true),
        ] {
            let policy = HostPolicy { deny: list(deny), ..HostPolicy::default() };
            assert_eq!(policy.check_name(host).is_ok(), allowed, "deny {deny:?}, {host}");
        }
    }

    #[test]
    fn lists_that_cannot_be_meant_are_refused() {
        assert_eq!(list(" ,, "), HostList::default());
        for text in ["10.0.0.0/33", "10.0.0", "http://a", "a b", "a*", "**.a", "*a.org", "a,b:1", "host/8", "*."] {
            let refused = text.parse::<HostList>().unwrap_err();
            assert!(refused.contains("is no host name"), "{text}: {refused}");
        }
    }

    #[tokio::test]
    async fn ports_of_the_system_have_to_be_listed() {
        let limit = Duration::from_secs(5);
        let policy = HostPolicy { low_ports: vec![443], ..HostPolicy::default() };
        for (port, allowed) in [(1, false), (22, false), (443, true), (1023, false), (1024, true), (5432, true)] {
            let outcome = target("127.0.0.1", port, policy.clone()).resolve(limit).await;
            assert_eq!(outcome.is_ok(), allowed, "{port}: {outcome:?}");
        }
    }

    #[tokio::test]
    async fn a_name_is_judged_by_its_addresses() {
        let limit = Duration::from_secs(5);
        // However an address is written, what it resolves to is judged.
        for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "::1"] {
            let outcome = target(host, 5432, exposed()).resolve(limit).await;
            assert!(matches!(outcome, Err(Error::HostNotAllowed { .. })), "{host}: {outcome:?}");
        }
        let here = target("localhost", 5432, HostPolicy::default()).resolve(limit).await.unwrap();
        assert!(here.iter().all(|one| matches!(one, Address::Ip(address) if address.is_loopback())), "{here:?}");
        let nowhere = target("nowhere.invalid", 5432, exposed());
        assert_eq!(nowhere.resolve(limit).await, Err(Error::Unreachable(Unreachable::Dns)));
        assert_eq!(nowhere.check_host(limit).await, Ok(()), "it may come later");
        assert!(target("127.0.0.1", 5432, exposed()).check_host(limit).await.is_err());
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn sockets_are_in_listed_folders_only() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        for folder in ["run/postgresql", "elsewhere"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        std::os::unix::fs::symlink(root.join("elsewhere"), root.join("run/link")).unwrap();
        let policy = HostPolicy { socket_folders: vec![root.join("run")], ..exposed() };
        let resolve = async |folder: &str, policy: &HostPolicy| {
            let host = root.join(folder).to_str().unwrap().to_owned();
            target(&host, 5432, policy.clone()).resolve(Duration::from_secs(5)).await
        };
        for folder in ["run", "run/postgresql"] {
            let found = resolve(folder, &policy).await.unwrap();
            assert_eq!(found, [Address::SocketFolder(root.join(folder))]);
        }
        for folder in ["", "elsewhere", "run/../elsewhere", "run/link", "runaway", "absent"] {
            let outcome = resolve(folder, &policy).await;
            assert!(matches!(outcome, Err(Error::HostNotAllowed { .. })), "{folder}: {outcome:?}");
        }
        assert_eq!(resolve("run/absent", &policy).await, Err(Error::Unreachable(Unreachable::Refused)));
        let off = resolve("run", &exposed()).await;
        assert!(matches!(off, Err(Error::HostNotAllowed { reason, .. }) if reason.contains("PULSE_SOCKET_DIRS")));
    }
}
