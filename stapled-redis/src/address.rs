//! Addresses of Redis: a server, a primary that sentinels watch, or a Cluster. Their user and password are never shown.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use percent_encoding::percent_decode_str;

const SERVER_PORT: u16 = 6379;

/// The address of a Redis: of one server, of a primary that sentinels watch, or of a Cluster.
///
/// | Form | Redis |
/// |---|---|
/// | `redis://[USER:PASSWORD@]HOST[:PORT][/DB]` | one server |
/// | `redis+unix://[USER:PASSWORD@]/PATH[?db=DB]` | one server on a unix socket |
///
/// `:PASSWORD@` is a password without a user (`requirepass`). In user, password, path and parameters, the characters
/// `% @ / ? # & :` are written as % codes, such as `%40` for `@`.
///
/// `Debug` and `Display` leave out the user and the password.
#[derive(Clone)]
pub struct RedisAddress {
    pub(crate) place: Place,
    /// For the servers; sentinels have a login of their own.
    pub(crate) login: Login,
    pub(crate) database: i64,
}

/// The hosts of an address.
#[derive(Clone)]
pub(crate) enum Place {
    Server(Host),
    Unix(PathBuf),
}

#[derive(Clone)]
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

/// Why a text is not the address of a Redis. No text of the address is repeated: any part of a malformed address may be a
/// part of its password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedisAddressError {
    /// The address begins with none of the known schemes.
    #[error("the address of Redis must begin with redis:// or redis+unix://")]
    Scheme,
    /// A character that separates parts of an address is where it cannot be.
    #[error(
        "the address of Redis has a # or a misplaced @: in user, password, path and parameters, write % @ / ? # & : as \
         %25 %40 %2F %3F %23 %26 %3A"
    )]
    Misplaced,
    /// The part before the @ is not a user with a password, nor a password.
    #[error("the address of Redis has an @, but not USER:PASSWORD or :PASSWORD before it")]
    Login,
    /// A % is not followed by two hexadecimal digits, or the octets are not UTF-8.
    #[error("the address of Redis has a % code that is not one: write % as %25, and text as UTF-8")]
    Encoding,
    /// A host or its port is missing or wrong.
    #[error(
        "the address of Redis is wrong at its host {0}: write HOST, HOST:PORT or [IPv6]:PORT, with a port from 1 to 65535"
    )]
    Host(usize),
    /// The scheme allows one host only.
    #[error("the address of Redis has several hosts, but redis:// and rediss:// are for one server")]
    OneHost,
    /// What follows the host is not the number of a database.
    #[error("the address of Redis has no database after its host: write /NUMBER, such as /0, or nothing")]
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
}

use RedisAddressError as Wrong;

impl RedisAddress {
    /// Whether the address has a password for the servers.
    pub fn has_password(&self) -> bool {
        self.login.password.is_some()
    }
}

impl FromStr for RedisAddress {
    type Err = RedisAddressError;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let (scheme, rest) = text.split_once("://").ok_or(Wrong::Scheme)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        match scheme {
            "redis" => tcp(rest, query),
            "redis+unix" => unix(rest, query),
            _ => Err(Wrong::Scheme),
        }
    }
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Server(host) => write!(f, "redis://{host}/{}", self.database),
            Place::Unix(path) => write!(f, "redis+unix://{}", path.display()),
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

fn tcp(rest: &str, query: &str) -> Result<RedisAddress, Wrong> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, hosts) = login_and_hosts(authority, SERVER_PORT)?;
    Parameters::parse(query, &[], "no parameter")?;
    let database = database(path)?;
    let [host] = <[Host; 1]>::try_from(hosts).map_err(|_| Wrong::OneHost)?;
    Ok(RedisAddress { place: Place::Server(host), login, database })
}

fn unix(rest: &str, query: &str) -> Result<RedisAddress, Wrong> {
    let (login, path) = match rest.split_once('@') {
        Some((login, path)) => (login_of(login)?, path),
        None => (Login::default(), rest),
    };
    let mut parameters = Parameters::parse(query, &["db"], "db")?;
    let path = plain(path)?;
    if !path.starts_with('/') || path.contains('\0') {
        return Err(Wrong::Path);
    }
    let database = database(&parameters.take("db").unwrap_or_default())?;
    Ok(RedisAddress { place: Place::Unix(path.into()), login, database })
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
struct Parameters(Vec<(&'static str, String)>);

impl Parameters {
    fn parse(query: &str, known: &[&'static str], words: &'static str) -> Result<Self, Wrong> {
        let mut found = Vec::<(&str, String)>::new();
        for (parameter, place) in query.split('&').zip(1..).filter(|_| !query.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let name = known.iter().find(|known| **known == name && found.iter().all(|(name, _)| name != *known));
            match (name, plain(value)?) {
                (Some(name), value) if !value.is_empty() => found.push((name, value)),
                _ => return Err(Wrong::Parameter { place, known: words }),
            }
        }
        Ok(Parameters(found))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let place = self.0.iter().position(|(known, _)| *known == name)?;
        Some(self.0.swap_remove(place).1)
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
        ] {
            let address = parsed(text);
            assert_eq!(address.to_string(), shown);
            assert_eq!(format!("{address:?}"), format!("RedisAddress({shown})"));
            assert_eq!(address.has_password(), text.contains(SECRET));
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
