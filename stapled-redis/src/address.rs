//! Addresses of Redis: a server, a primary that sentinels watch, or a Cluster. Their user and password are never shown.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

const SERVER_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// The address of a Redis: of one server, of a primary that sentinels watch, or of a Cluster.
///
/// | Form | Redis |
/// |---|---|
/// | `redis://[USER:PASSWORD@]HOST[:PORT][/DB]` | one server |
/// | `redis+unix://[USER:PASSWORD@]/PATH[?db=DB]` | one server on a unix socket |
/// | `redis+sentinel://[USER:PASSWORD@]HOST[:PORT],…/NAME[/DB]` | the primary that these sentinels know by this name |
/// | `redis+cluster://[USER:PASSWORD@]HOST[:PORT],…` | the Cluster of which these are some nodes (feature `cluster`) |
///
/// `rediss` in place of `redis` is TLS to all hosts (feature `tls`). The parameter `ca=FILE` names the only root
/// certificates that are trusted then, in place of the system's; `cert=FILE&key=FILE` is a client certificate with its key.
///
/// User and password are for the servers. Sentinels get those of the parameters `sentinel_user` and `sentinel_password`.
/// `:PASSWORD@` is a password without a user (`requirepass`). In user, password, path and parameters, the characters
/// `% @ / ? # & :` are written as % codes, such as `%40` for `@`.
///
/// `Debug` and `Display` leave out users, passwords and parameters.
#[derive(Clone)]
pub struct RedisAddress {
    pub(crate) place: Place,
    /// For the servers; sentinels have a login of their own.
    pub(crate) login: Login,
    pub(crate) database: i64,
    /// `None`: no TLS.
    pub(crate) tls: Option<TlsFiles>,
}

/// The hosts of an address.
#[derive(Clone)]
pub(crate) enum Place {
    Server(Host),
    Unix(PathBuf),
    Sentinels(Sentinels),
    Cluster(Vec<Host>),
}

#[derive(Clone)]
pub(crate) struct Sentinels {
    pub(crate) hosts: Vec<Host>,
    /// The name of the primary.
    pub(crate) name: String,
    pub(crate) login: Login,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Host {
    /// A name or an IP address without brackets.
    pub(crate) name: String,
    pub(crate) port: u16,
}

/// A user and a password. It has no `Debug`, so nothing can print it by accident.
#[derive(Clone, Default)]
pub(crate) struct Login {
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
}

/// The PEM files of TLS.
#[derive(Clone)]
// Without the feature, no address has it.
#[cfg_attr(not(feature = "tls"), allow(dead_code))]
pub(crate) struct TlsFiles {
    /// Root certificates. `None`: the system's.
    pub(crate) ca: Option<PathBuf>,
    /// The certificate of the client, and its key.
    pub(crate) client: Option<(PathBuf, PathBuf)>,
}

/// Why a text is not the address of a Redis. No text of the address is repeated: any part of a malformed address may be a
/// part of its password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedisAddressError {
    /// The address begins with none of the known schemes.
    #[error(
        "the address of Redis must begin with redis://, redis+unix://, redis+sentinel:// or redis+cluster://, or with \
         rediss for TLS"
    )]
    Scheme,
    /// This build of the program lacks a feature of `stapled-redis`.
    #[error("the address of Redis needs a program that is built with the feature `{0}` of stapled-redis")]
    Feature(&'static str),
    /// A character that separates parts of an address is where it cannot be.
    #[error(
        "the address of Redis has a # or a misplaced @: in user, password, path and parameters, write % @ / ? # & : as \
         %25 %40 %2F %3F %23 %26 %3A"
    )]
    Misplaced,
    /// The part before the @ is not a user with a password, nor a password.
    #[error("the address of Redis has an @, but not USER:PASSWORD or :PASSWORD before it")]
    Login,
    /// `sentinel_user` without `sentinel_password`.
    #[error("the address of Redis has the parameter sentinel_user without sentinel_password")]
    SentinelLogin,
    /// A % is not followed by two hexadecimal digits, or the octets are not UTF-8.
    #[error("the address of Redis has a % code that is not one: write % as %25, and text as UTF-8")]
    Encoding,
    /// A host or its port is missing or wrong.
    #[error(
        "the address of Redis is wrong at its host {0}: write HOST, HOST:PORT or [IPv6]:PORT, with a port from 1 to 65535"
    )]
    Host(usize),
    /// The scheme allows one host only.
    #[error(
        "the address of Redis has several hosts: redis:// is for one server, redis+sentinel:// and redis+cluster:// for several"
    )]
    OneHost,
    /// The sentinels' name of the primary is missing or has other characters than sentinels allow.
    #[error(
        "the address of Redis has no name of a primary after its sentinels: write /NAME, with letters, digits, `.`, `-` and `_`"
    )]
    Name,
    /// The text after the host or the name is not the number of a database.
    #[error(
        "the address of Redis has no database at its end: write /NUMBER, such as /0, or nothing; a Cluster has none"
    )]
    Database,
    /// The path of a unix socket is not absolute.
    #[error("the address of Redis has no absolute path: write redis+unix:///PATH")]
    Path,
    /// A parameter is unknown, has no value, or occurs twice.
    #[error(
        "the address of Redis is wrong at parameter {place} after its ?: this kind of address may have {known}, each once"
    )]
    Parameter {
        /// Which one, counted from 1.
        place: usize,
        /// The parameters of this kind of address.
        known: &'static str,
    },
    /// `cert` without `key`, or `key` without `cert`.
    #[error("the address of Redis has one of the parameters cert and key: a client certificate needs both")]
    ClientCertificate,
    /// An argument has a password; where such an address belongs.
    #[error("every user of this machine can see a password in an argument; {0}")]
    Password(&'static str),
}

use RedisAddressError as Wrong;

impl RedisAddress {
    /// Reads an address from an argument of a program, which every user of the machine can see. `instead` says where an address with a
    /// password belongs.
    ///
    /// # Errors
    ///
    /// The text is no address, or has a password.
    pub fn from_argument(text: &str, instead: &'static str) -> Result<Self, RedisAddressError> {
        let address: RedisAddress = text.parse()?;
        if address.has_password() { Err(Wrong::Password(instead)) } else { Ok(address) }
    }

    /// Whether the address has a password, for the servers or for the sentinels.
    pub fn has_password(&self) -> bool {
        let of_sentinels = match &self.place {
            Place::Sentinels(sentinels) => sentinels.login.password.is_some(),
            _ => false,
        };
        of_sentinels || self.login.password.is_some()
    }
}

impl FromStr for RedisAddress {
    type Err = RedisAddressError;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let (scheme, rest) = text.split_once("://").ok_or(Wrong::Scheme)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        match scheme {
            "redis" | "rediss" => server(rest, Parameters::parse(query, scheme)?),
            "redis+unix" => unix(rest, Parameters::parse(query, scheme)?),
            "redis+sentinel" | "rediss+sentinel" => sentinels(rest, Parameters::parse(query, scheme)?),
            "redis+cluster" | "rediss+cluster" => cluster(rest, Parameters::parse(query, scheme)?),
            _ => Err(Wrong::Scheme),
        }
    }
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (redis, database) = (if self.tls.is_some() { "rediss" } else { "redis" }, self.database);
        match &self.place {
            Place::Server(host) => write!(f, "{redis}://{host}/{database}"),
            Place::Unix(path) => write!(f, "redis+unix://{}", path.display()),
            Place::Sentinels(Sentinels { hosts, name, .. }) => {
                write!(f, "{redis}+sentinel://{}/{name}/{database}", listed(hosts))
            }
            Place::Cluster(hosts) => write!(f, "{redis}+cluster://{}", listed(hosts)),
        }
    }
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisAddress({self})")
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Host { name, port } = self;
        if name.contains(':') { write!(f, "[{name}]:{port}") } else { write!(f, "{name}:{port}") }
    }
}

fn listed(hosts: &[Host]) -> String {
    hosts.iter().map(Host::to_string).collect::<Vec<_>>().join(",")
}

fn server(rest: &str, mut parameters: Parameters) -> Result<RedisAddress, Wrong> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, hosts) = login_and_hosts(authority, SERVER_PORT)?;
    let database = database(path)?;
    let [host] = <[Host; 1]>::try_from(hosts).map_err(|_| Wrong::OneHost)?;
    Ok(RedisAddress { place: Place::Server(host), login, database, tls: parameters.tls()? })
}

fn unix(rest: &str, mut parameters: Parameters) -> Result<RedisAddress, Wrong> {
    let (login, path) = match rest.split_once('@') {
        Some((login, path)) => (login_of(login)?, path),
        None => (Login::default(), rest),
    };
    let path = plain(path)?;
    if !path.starts_with('/') || path.contains('\0') {
        return Err(Wrong::Path);
    }
    let database = database(&parameters.take("db").unwrap_or_default())?;
    Ok(RedisAddress { place: Place::Unix(path.into()), login, database, tls: None })
}

fn sentinels(rest: &str, mut parameters: Parameters) -> Result<RedisAddress, Wrong> {
    let (authority, path) = rest.split_once('/').ok_or(Wrong::Name)?;
    let (login, hosts) = login_and_hosts(authority, SENTINEL_PORT)?;
    let (name, number) = path.split_once('/').unwrap_or((path, ""));
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c)) {
        return Err(Wrong::Name);
    }
    let asked = Login { user: parameters.take("sentinel_user"), password: parameters.take("sentinel_password") };
    if asked.user.is_some() && asked.password.is_none() {
        return Err(Wrong::SentinelLogin);
    }
    let place = Place::Sentinels(Sentinels { hosts, name: name.to_owned(), login: asked });
    Ok(RedisAddress { place, login, database: database(number)?, tls: parameters.tls()? })
}

fn cluster(rest: &str, mut parameters: Parameters) -> Result<RedisAddress, Wrong> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, hosts) = login_and_hosts(authority, SERVER_PORT)?;
    if database(path)? != 0 {
        return Err(Wrong::Database);
    }
    if cfg!(not(feature = "cluster")) {
        return Err(Wrong::Feature("cluster"));
    }
    Ok(RedisAddress { place: Place::Cluster(hosts), login, database: 0, tls: parameters.tls()? })
}

fn login_and_hosts(authority: &str, port: u16) -> Result<(Login, Vec<Host>), Wrong> {
    let (login, hosts) = match authority.split_once('@') {
        Some((login, hosts)) => (login_of(login)?, hosts),
        None => (Login::default(), authority),
    };
    if hosts.contains('@') {
        return Err(Wrong::Misplaced);
    }
    let hosts = hosts.split(',').zip(1..).map(|(host, place)| host_of(host, port).ok_or(Wrong::Host(place)));
    Ok((login, hosts.collect::<Result<_, _>>()?))
}

fn login_of(text: &str) -> Result<Login, Wrong> {
    let (user, password) = text.split_once(':').ok_or(Wrong::Login)?;
    if password.is_empty() || password.contains([':', '/']) || user.contains('/') {
        return Err(Wrong::Login);
    }
    let user = if user.is_empty() { None } else { Some(decoded(user)?) };
    Ok(Login { user, password: Some(decoded(password)?) })
}

fn host_of(text: &str, default: u16) -> Option<Host> {
    let (name, port) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some((name, port)) => (name, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) }),
        None => text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
    };
    let in_brackets = text.starts_with('[');
    let is_known = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c) || in_brackets && ":%".contains(c);
    let port = port.map_or(Some(default), |port| port.parse().ok().filter(|port| *port > 0))?;
    (!name.is_empty() && name.chars().all(is_known)).then(|| Host { name: name.to_owned(), port })
}

fn database(text: &str) -> Result<i64, Wrong> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse::<u32>().map(i64::from).map_err(|_| Wrong::Database)
}

/// The text that % codes stand for, where nothing else may be.
fn plain(text: &str) -> Result<String, Wrong> {
    if text.contains(['@', '#']) { Err(Wrong::Misplaced) } else { decoded(text) }
}

fn decoded(text: &str) -> Result<String, Wrong> {
    let is_code = |code: &str| code.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !text.split('%').skip(1).all(is_code) {
        return Err(Wrong::Encoding);
    }
    Ok(percent_decode_str(text).decode_utf8().map_err(|_| Wrong::Encoding)?.into_owned())
}

/// The parameters after the `?`, with their values.
struct Parameters {
    has_tls: bool,
    values: Vec<(&'static str, String)>,
}

impl Parameters {
    /// The parameters that an address with this scheme may have.
    fn parse(query: &str, scheme: &str) -> Result<Self, Wrong> {
        let (known, words): (&[&str], _) = match scheme {
            "redis+unix" => (&["db"], "db"),
            "redis+sentinel" => (&["sentinel_user", "sentinel_password"], "sentinel_user and sentinel_password"),
            "rediss+sentinel" => (
                &["ca", "cert", "key", "sentinel_user", "sentinel_password"],
                "ca, cert, key, sentinel_user and sentinel_password",
            ),
            "rediss" | "rediss+cluster" => (&["ca", "cert", "key"], "ca, cert and key"),
            _ => (&[], "no parameter"),
        };
        let mut values = Vec::<(&str, String)>::new();
        for (parameter, place) in query.split('&').zip(1..).filter(|_| !query.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let name = known.iter().find(|known| **known == name && values.iter().all(|(name, _)| name != *known));
            match (name, plain(value)?) {
                (Some(name), value) if !value.is_empty() => values.push((name, value)),
                _ => return Err(Wrong::Parameter { place, known: words }),
            }
        }
        Ok(Parameters { has_tls: scheme.starts_with("rediss"), values })
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let place = self.values.iter().position(|(known, _)| *known == name)?;
        Some(self.values.swap_remove(place).1)
    }

    fn tls(&mut self) -> Result<Option<TlsFiles>, Wrong> {
        if !self.has_tls {
            return Ok(None);
        }
        if cfg!(not(feature = "tls")) {
            return Err(Wrong::Feature("tls"));
        }
        let client = match (self.take("cert"), self.take("key")) {
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            (None, None) => None,
            _ => return Err(Wrong::ClientCertificate),
        };
        Ok(Some(TlsFiles { ca: self.take("ca").map(PathBuf::from), client }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A password that is in no address otherwise.
    const SECRET: &str = "s3cr3tMARKER";

    fn parsed(text: &str) -> RedisAddress {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn wrong(text: &str) -> RedisAddressError {
        text.parse::<RedisAddress>().err().unwrap_or_else(|| panic!("{text} is accepted"))
    }

    #[test]
    fn addresses_are_shown_without_login() {
        for (text, shown) in [
            ("redis://127.0.0.1", "redis://127.0.0.1:6379/0"),
            ("redis://127.0.0.1/", "redis://127.0.0.1:6379/0"),
            ("redis://u:s3cr3tMARKER@redis.example:1/7", "redis://redis.example:1/7"),
            ("redis://:s3cr3tMARKER@[::1]:1", "redis://[::1]:1/0"),
            ("redis+unix:///run/redis.sock", "redis+unix:///run/redis.sock"),
            ("redis+unix://u:s3cr3tMARKER@/run/a%20b?db=3", "redis+unix:///run/a b"),
            ("redis+sentinel://a,b:1/my.primary", "redis+sentinel://a:26379,b:1/my.primary/0"),
            ("redis+sentinel://u:s3cr3tMARKER@a/p/3?sentinel_password=s3cr3tMARKER", "redis+sentinel://a:26379/p/3"),
            ("redis+sentinel://a/p?sentinel_password=s3cr3tMARKER", "redis+sentinel://a:26379/p/0"),
            #[cfg(feature = "cluster")]
            ("redis+cluster://u:s3cr3tMARKER@a,[::1]:1", "redis+cluster://a:6379,[::1]:1"),
            #[cfg(feature = "tls")]
            ("rediss://u:s3cr3tMARKER@a/1?ca=/c&cert=/d&key=/e", "rediss://a:6379/1"),
            #[cfg(all(feature = "tls", feature = "cluster"))]
            ("rediss+cluster://a/", "rediss+cluster://a:6379"),
        ] {
            let address = parsed(text);
            assert_eq!(address.to_string(), shown);
            assert_eq!(format!("{address:?}"), format!("RedisAddress({shown})"));
            assert_eq!(address.has_password(), text.contains(SECRET));
            assert_eq!(RedisAddress::from_argument(text, "use a file").is_err(), text.contains(SECRET));
        }
    }

    #[test]
    fn logins_are_decoded() {
        let Login { user, password } = parsed("redis://a%3Ab:%40%2f%3F%23%25@h/0").login;
        assert_eq!((user.as_deref(), password.as_deref()), (Some("a:b"), Some("@/?#%")));
        let Login { user, password } = parsed("redis://:%E2%82%AC@h").login;
        assert_eq!((user, password.as_deref()), (None, Some("€")));
    }

    #[test]
    fn wrong_addresses_are_refused() {
        for (text, error) in [
            ("127.0.0.1:6379", Wrong::Scheme),
            ("http://127.0.0.1", Wrong::Scheme),
            ("redis://", Wrong::Host(1)),
            ("redis://h:0", Wrong::Host(1)),
            ("redis://h:65536", Wrong::Host(1)),
            ("redis://::1:6379", Wrong::Host(1)),
            ("redis://h o", Wrong::Host(1)),
            ("redis://h,i", Wrong::OneHost),
            ("redis://h,", Wrong::Host(2)),
            ("redis://h/x", Wrong::Database),
            ("redis://h/-1", Wrong::Database),
            ("redis://u@h", Wrong::Login),
            ("redis://u:@h", Wrong::Login),
            ("redis://u:a:b@h", Wrong::Login),
            ("redis://u:a@b@h", Wrong::Misplaced),
            ("redis://u:%4@h", Wrong::Encoding),
            ("redis://u:%ff@h", Wrong::Encoding),
            ("redis://u:p%zz@h", Wrong::Encoding),
            ("redis+unix://run/redis.sock", Wrong::Path),
            ("redis+unix:///run/redis.sock?db=1&db=2", Wrong::Parameter { place: 2, known: "db" }),
            ("redis+unix:///run/redis.sock?db", Wrong::Parameter { place: 1, known: "db" }),
            ("redis+unix:///run/redis.sock?db=x", Wrong::Database),
            ("redis+unix:///run/redis#sock", Wrong::Misplaced),
            ("redis://h?ca=/c", Wrong::Parameter { place: 1, known: "no parameter" }),
            ("redis+sentinel://h", Wrong::Name),
            ("redis+sentinel://h/", Wrong::Name),
            ("redis+sentinel://h/a%20b", Wrong::Name),
            ("redis+sentinel://h/a/b", Wrong::Database),
            ("redis+sentinel://,h/a", Wrong::Host(1)),
            ("redis+sentinel://h/a?sentinel_user=u", Wrong::SentinelLogin),
            ("redis+cluster://h/1", Wrong::Database),
            #[cfg(not(feature = "cluster"))]
            ("redis+cluster://h", Wrong::Feature("cluster")),
            #[cfg(not(feature = "tls"))]
            ("rediss://h", Wrong::Feature("tls")),
            #[cfg(feature = "tls")]
            ("rediss://h?cert=/c", Wrong::ClientCertificate),
        ] {
            assert_eq!(wrong(text), error, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_password_is_shown(
            scheme in "rediss?(\\+(unix|sentinel|cluster))?",
            before in "[a-z:@/?#%&=,\\[\\]]{0,4}",
            user in "[a-z%:/@?#]{0,4}",
            left in "[a-z%:/@?#&=,]{0,3}",
            right in "[a-z0-9%:/@?#&=,]{0,3}",
            rest in "[a-z0-9:/@?#%&=,.]{0,20}",
        ) {
            let encoded: String = SECRET.bytes().map(|octet| format!("%{octet:02x}")).collect();
            for secret in [SECRET, &encoded] {
                let text = format!("{scheme}://{before}{user}:{left}{secret}{right}@{rest}");
                let said = match text.parse::<RedisAddress>() {
                    Ok(address) => format!("{address} {address:?}"),
                    Err(error) => format!("{error} {error:?}"),
                };
                for part in [SECRET, encoded.as_str()] {
                    prop_assert!(!said.contains(part), "{} says {}", text, said);
                }
            }
        }
    }
}
