//! Untrusted URLs: which ones may be asked.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use url::{Host, Url};

use super::address::AddressPolicy;
use crate::describe::visible::without_credentials;
use crate::fetch::FetchError;
use crate::memo::Memo;
use crate::ocsp::OcspRequest;

/// The longest URL that is asked, in bytes.
const MAX_URL: usize = 2048;

/// URLs of certificates in their parsed form: few certificates have a URL of their own, and URLs take long to parse.
#[derive(Debug, Default)]
pub(super) struct Parsed(Mutex<Memo<Box<str>, Url>>);

impl Parsed {
    /// Parses a URL as [`parse`] does.
    pub(super) fn parse(&self, text: &str) -> Result<Url, String> {
        if let Some(url) = self.known().get(text) {
            return Ok(url);
        }
        let url = parse(text)?;
        self.known().insert(text, url.clone());
        Ok(url)
    }

    fn known(&self) -> MutexGuard<'_, Memo<Box<str>, Url>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The URL of one request.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// That of the responder, for a GET with a request.
    url: Url,
    /// The whole URL of such a GET. Nobody needs its parts, so it is not parsed.
    whole: Option<Box<str>>,
}

impl Target {
    /// The URL of a GET with this request. Returns the URL if it cannot be asked by GET, or would be too long.
    pub(super) fn with_request(url: Url, request: &OcspRequest) -> Result<Self, Url> {
        match request.get_url(url.as_str()).filter(|whole| whole.len() <= MAX_URL) {
            Some(whole) => Ok(Target { url, whole: Some(whole.into()) }),
            None => Err(url),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        self.whole.as_deref().unwrap_or(self.url.as_str())
    }

    pub(super) fn host(&self) -> Option<Host<&str>> {
        self.url.host()
    }

    /// Follows a redirection from here.
    pub(super) fn join(&self, location: &str) -> Result<Self, String> {
        if location.len() > MAX_URL {
            return Err(format!("a location longer than {MAX_URL} bytes"));
        }
        let whole = self.whole.as_deref().and_then(|whole| Url::parse(whole).ok());
        let base = whole.as_ref().unwrap_or(&self.url);
        Ok(check(base.join(location).map_err(|error| error.to_string())?)?.into())
    }
}

impl From<Url> for Target {
    fn from(url: Url) -> Self {
        Target { url, whole: None }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Parses a URL that can be asked: http or https, with a host and a usable port, without user information, in at most
/// 2048 visible ASCII characters. The fragment is dropped.
pub(super) fn parse(text: &str) -> Result<Url, String> {
    if text.len() > MAX_URL {
        return Err(format!("longer than {MAX_URL} bytes"));
    }
    // The parser would silently remove tabs and line ends.
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a character that no URL may have".to_owned());
    }
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    check(url)
}

fn check(mut url: Url) -> Result<Url, String> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("{}: neither http nor https", url.scheme()));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err("no host".to_owned());
    }
    if url.port() == Some(0) {
        return Err("port 0".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a user name or password in it".to_owned());
    }
    if url.as_str().len() > MAX_URL {
        return Err(format!("longer than {MAX_URL} bytes"));
    }
    url.set_fragment(None);
    Ok(url)
}

/// Checks an address that is written in a URL. Names are checked after they are resolved.
pub(super) fn check_literal(url: &Target, policy: AddressPolicy) -> Result<(), FetchError> {
    let address = match url.host() {
        Some(Host::Ipv4(address)) => address.into(),
        Some(Host::Ipv6(address)) => address.into(),
        _ => return Ok(()),
    };
    policy.check(address).map_err(|denied| FetchError::Forbidden { url: url.to_string(), why: denied.to_string() })
}

/// An untrusted URL, made fit for a message.
pub(super) fn printable(text: &str) -> String {
    without_credentials(text).chars().take(200).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ocsp::{CertId, CertIdHash};

    #[test]
    fn the_url_of_a_get_request_keeps_the_responders_path() {
        let id = CertId::new(CertIdHash::Sha1, b"name", b"key", &[1]);
        let request = OcspRequest::new(&id, None).unwrap();
        let whole = request.get_url("http://a/").unwrap();
        let path = whole.strip_prefix("http://a/").unwrap();
        for (url, expected) in [
            ("http://ocsp.example", Some("http://ocsp.example/")),
            ("http://ocsp.example/", Some("http://ocsp.example/")),
            ("http://ocsp.example/a/b", Some("http://ocsp.example/a/b/")),
            ("http://ocsp.example/a/b/", Some("http://ocsp.example/a/b/")),
            ("HTTPS://OCSP.example:8443/a%20b#part", Some("https://ocsp.example:8443/a%20b/")),
            ("http://ocsp.example/a?b=c", None),
            ("ftp://ocsp.example/", None),
        ] {
            let asked = parse(url).ok().and_then(|url| Target::with_request(url, &request).ok());
            let asked = asked.as_ref().map(Target::as_str);
            assert_eq!(asked, expected.map(|expected| format!("{expected}{path}")).as_deref(), "{url}");
            // The same as if the whole was parsed.
            let whole = parse(url).ok().and_then(|url| parse(&request.get_url(url.as_str())?).ok());
            assert_eq!(asked, whole.as_ref().map(Url::as_str), "{url}");
        }
    }

    #[test]
    fn only_urls_that_can_be_asked_pass() {
        for url in ["http://a/", "https://a:8080/x?y", "http://[2001:db8::1]/", "http://127.1/", "http://a.:80"] {
            assert!(parse(url).is_ok(), "{url}");
        }
        let long = format!("http://a/{}", "x".repeat(2048));
        for url in [
            "",
            "/path",
            "a.example",
            "ldap://a/",
            "file:///etc/passwd",
            "http://",
            "http:///",
            "http://host:99999/",
            "http://host:0/",
            "http://host:-1/",
            "http://user@a/",
            "http://user:secret@a/",
            "http://a b/",
            "http://a/\n",
            "http://a/\u{fc}",
            "http://a\t.example/",
            "http://[::1/",
            long.as_str(),
        ] {
            assert!(parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn addresses_in_disguise_are_recognised() {
        let deny = AddressPolicy { deny_private: true };
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://0x7f000001/",
            "http://2130706433/",
            "http://0177.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:10.0.0.1]/",
        ] {
            let url = parse(url).unwrap().into();
            assert!(matches!(check_literal(&url, deny), Err(FetchError::Forbidden { .. })), "{url}");
            assert!(check_literal(&url, AddressPolicy::default()).is_ok());
        }
        assert!(check_literal(&parse("http://93.184.216.34/").unwrap().into(), deny).is_ok());
    }
}
