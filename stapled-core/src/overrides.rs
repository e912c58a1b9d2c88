//! Overrides: responders that are asked instead of those that a certificate names. They serve mirrors and proxies in
//! front of a CA, CAs that moved, and certificates that name no responder. And certificates that get no staple. Pure.

use url::{Host, ParseError, Url};

use crate::certificate::Certificate;
use crate::describe::visible::without_credentials;

/// The largest number of overrides.
const MAX_RULES: usize = 1024;

/// Responders that are asked instead of others.
///
/// An override replaces the beginning of a responder's URL. It applies to the URL itself and to every URL below it:
/// scheme, host and port are equal, and the path is equal or continues after a slash. The rest of the URL is kept. If
/// several overrides apply, the longest one counts. The result is not replaced again.
///
/// ```
/// use stapled_core::overrides::ResponderOverrides;
///
/// let overrides = ResponderOverrides::new()
///     .replace("http://ocsp.ca.example", "http://mirror.internal:8080/ca")?
///     .without_url("http://ocsp.internal/")?;
/// assert_eq!(overrides.apply("http://ocsp.ca.example/r3"), "http://mirror.internal:8080/ca/r3");
/// assert_eq!(overrides.apply("http://other.example/"), "http://other.example/");
/// # Ok::<(), stapled_core::overrides::OverrideError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponderOverrides {
    rules: Vec<Rule>,
    without_url: Option<String>,
    /// Names and serial numbers, in lower case.
    off: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    old: Url,
    new: String,
}

/// Why an override cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OverrideError {
    /// The text is not two URLs with an equals sign between them.
    #[error("{text:?} is not of the form OLD=NEW, with an http or https URL on both sides of the equals sign")]
    Form {
        /// The text as given.
        text: String,
    },
    /// One of the URLs cannot be asked.
    #[error("{url:?}: {why}")]
    Url {
        /// The URL, without credentials.
        url: String,
        /// The reason.
        why: String,
    },
    /// The same responder is replaced twice.
    #[error("{old} is replaced twice")]
    Twice {
        /// The URL that is replaced.
        old: String,
    },
    /// There are too many overrides.
    #[error("more than {MAX_RULES} overrides")]
    TooMany,
    /// A certificate is turned off by an empty text.
    #[error("an empty name is that of no certificate")]
    EmptyName,
}

impl ResponderOverrides {
    /// No overrides: the responders that each certificate names are asked.
    pub fn new() -> Self {
        ResponderOverrides::default()
    }

    /// Replaces `old` by `new`, and every URL below `old` by the corresponding URL below `new`.
    ///
    /// # Errors
    ///
    /// A URL that cannot be asked, or a second override of the same URL.
    pub fn replace(mut self, old: &str, new: &str) -> Result<Self, OverrideError> {
        let (old, new) = (responder(old)?, responder(new)?);
        if old.query().is_some() {
            return Err(unusable(old.as_str(), "a URL that is replaced is named without its query"));
        }
        if self.rules.iter().any(|rule| is_same(&rule.old, &old)) {
            return Err(OverrideError::Twice { old: old.into() });
        }
        if self.rules.len() >= MAX_RULES {
            return Err(OverrideError::TooMany);
        }
        self.rules.push(Rule { old, new: new.into() });
        Ok(self)
    }

    /// Adds an override from a text of the form `OLD=NEW`.
    ///
    /// # Errors
    ///
    /// The errors of [`replace`](ResponderOverrides::replace), or a text of another form.
    pub fn replace_by_text(self, text: &str) -> Result<Self, OverrideError> {
        // A query may contain equals signs, so the second URL is recognized by its scheme.
        let is_url = |text: &str| {
            let text = text.trim_start().to_ascii_lowercase();
            text.starts_with("http://") || text.starts_with("https://")
        };
        let parts = text.match_indices('=').filter_map(|(at, _)| Some((text.get(..at)?, text.get(at + 1..)?)));
        match parts.into_iter().find(|(_, new)| is_url(new)) {
            Some((old, new)) if !old.trim().is_empty() => self.replace(old, new),
            _ => Err(OverrideError::Form { text: shortened(text) }),
        }
    }

    /// Adds a responder that is asked about certificates that name none.
    ///
    /// # Errors
    ///
    /// A URL that cannot be asked.
    pub fn without_url(self, url: &str) -> Result<Self, OverrideError> {
        Ok(ResponderOverrides { without_url: Some(responder(url)?.into()), ..self })
    }

    /// Turns the stapling of one certificate off: it is shown, no responder is asked about it, and no server gets a staple for it. One that a server has stays until it ends.
    /// `certificate` is its name or its serial number in hexadecimal, as the overview shows them; a serial number may have colons.
    ///
    /// # Errors
    ///
    /// An empty text, or too many of them.
    pub fn off(mut self, certificate: &str) -> Result<Self, OverrideError> {
        let certificate = certificate.trim().to_ascii_lowercase();
        if certificate.is_empty() {
            return Err(OverrideError::EmptyName);
        }
        if self.off.len() >= MAX_RULES {
            return Err(OverrideError::TooMany);
        }
        self.off.push(certificate);
        Ok(self)
    }

    /// Whether this certificate is turned [`off`](ResponderOverrides::off).
    pub fn is_off(&self, certificate: &Certificate) -> bool {
        if self.off.is_empty() {
            return false;
        }
        let (name, serial) = (certificate.name().to_ascii_lowercase(), certificate.serial_hex().to_ascii_lowercase());
        self.off.iter().any(|off| *off == name || is_serial(off, &serial))
    }

    /// Whether there are no overrides.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.without_url.is_none() && self.off.is_empty()
    }

    /// The URLs to ask about a certificate, in the order of the certificate, without duplicates.
    pub fn urls_of(&self, certificate: &Certificate) -> Vec<String> {
        let mut urls: Vec<String> = Vec::new();
        for url in certificate.ocsp_urls().iter().map(|url| self.apply(url)) {
            if !urls.contains(&url) {
                urls.push(url);
            }
        }
        if urls.is_empty() {
            urls.extend(self.without_url.clone());
        }
        urls
    }

    /// The URL to ask instead of this one; the same URL if no override applies.
    pub fn apply(&self, url: &str) -> String {
        if self.rules.is_empty() {
            return url.to_owned();
        }
        let replaced = Url::parse(url).ok().and_then(|parsed| {
            let below = self.rules.iter().filter_map(|rule| Some((rule, below(&rule.old, &parsed)?)));
            let (rule, rest) = below.max_by_key(|(rule, _)| rule.old.path().trim_end_matches('/').len())?;
            Some(match rest.as_str() {
                "" | "/" => rule.new.clone(),
                rest => format!("{}{rest}", rule.new.trim_end_matches('/')),
            })
        });
        replaced.unwrap_or_else(|| url.to_owned())
    }
}

/// Whether a text is this serial number, with or without colons.
fn is_serial(text: &str, serial: &str) -> bool {
    text.bytes().filter(|byte| *byte != b':').eq(serial.bytes().filter(|byte| *byte != b':'))
}

/// The part of `url` after `old`: nothing, or a path that begins with a slash, and a query.
fn below(old: &Url, url: &Url) -> Option<String> {
    if !is_same_origin(old, url) {
        return None;
    }
    let rest = url.path().strip_prefix(old.path().trim_end_matches('/'))?;
    if !rest.is_empty() && !rest.starts_with('/') {
        return None;
    }
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    Some(format!("{rest}{query}"))
}

fn is_same(one: &Url, other: &Url) -> bool {
    is_same_origin(one, other) && one.path().trim_end_matches('/') == other.path().trim_end_matches('/')
}

fn is_same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host() == other.host()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// Parses a URL that can be asked.
fn responder(text: &str) -> Result<Url, OverrideError> {
    let text = text.trim();
    let mut url = match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => url,
        Ok(_) | Err(ParseError::RelativeUrlWithoutBase) => {
            return Err(unusable(text, "it does not begin with http:// or https://"));
        }
        Err(error) => return Err(unusable(text, &error.to_string())),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(unusable(text, "a user name or password in it"));
    }
    let is_of_names = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_');
    if let Some(Host::Domain(name)) = url.host()
        && let Some(character) = name.chars().find(|character| !is_of_names(*character))
    {
        // For example two overrides with a comma between them.
        return Err(unusable(text, &format!("{character:?} in the host's name; each override is given by itself")));
    }
    if url.port() == Some(0) {
        return Err(unusable(text, "port 0"));
    }
    url.set_fragment(None);
    Ok(url)
}

fn unusable(url: &str, why: &str) -> OverrideError {
    OverrideError::Url { url: shortened(url), why: why.to_owned() }
}

/// The text, shortened for a message.
fn shortened(text: &str) -> String {
    without_credentials(text.trim()).chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overrides(rules: &[&str]) -> ResponderOverrides {
        rules.iter().fold(ResponderOverrides::new(), |all, rule| all.replace_by_text(rule).unwrap())
    }

    #[test]
    fn a_responder_and_what_is_below_it_are_replaced() {
        let all = overrides(&[
            "http://ocsp.ca.example=http://mirror.test:8080/ca",
            " HTTP://OCSP.ca.example:80/special/ = https://special.test ".trim(),
            "http://moved.example/old=http://moved.example/new",
            "https://q.example/a=http://q.test/b",
        ]);
        for (url, expected) in [
            ("http://ocsp.ca.example", "http://mirror.test:8080/ca"),
            ("http://ocsp.ca.example/", "http://mirror.test:8080/ca"),
            ("HTTP://ocsp.CA.example:80/r3", "http://mirror.test:8080/ca/r3"),
            ("http://ocsp.ca.example/r3/?x=y", "http://mirror.test:8080/ca/r3/?x=y"),
            ("http://ocsp.ca.example?x=y", "http://mirror.test:8080/ca/?x=y"),
            ("http://ocsp.ca.example/special", "https://special.test/"),
            ("http://ocsp.ca.example/special/1", "https://special.test/1"),
            ("http://ocsp.ca.example/specials", "http://mirror.test:8080/ca/specials"),
            ("https://ocsp.ca.example/", "https://ocsp.ca.example/"),
            ("http://ocsp.ca.example:81/", "http://ocsp.ca.example:81/"),
            ("http://ocsp.ca.example.evil/", "http://ocsp.ca.example.evil/"),
            // An override applies once: the new URL may be below the old one.
            ("http://moved.example/old/x", "http://moved.example/new/x"),
            ("https://q.example/a?b=http://c/", "http://q.test/b?b=http://c/"),
            ("http://***@ocsp.ca.example/r3", "http://mirror.test:8080/ca/r3"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(all.apply(url), expected, "{url}");
        }
        assert!(!all.is_empty() && ResponderOverrides::new().is_empty());
    }

    #[test]
    fn certificates_are_turned_off_by_name_or_serial_number() {
        let authority = stapled_ca::Authority::root("Root").create().unwrap();
        let issue = |name: &str| {
            let issued = authority.issue(&stapled_ca::Profile::server(name)).unwrap();
            Certificate::from_der(issued.der()).unwrap()
        };
        let (one, other) = (issue("one.example"), issue("other.example"));
        let off = |text: &str| ResponderOverrides::new().off(text).unwrap();
        for text in
            [" One.Example ", &one.serial_hex(), &one.serial_hex().to_lowercase(), &one.serial_hex().replace("", ":")]
        {
            assert_eq!((off(text).is_off(&one), off(text).is_off(&other)), (true, false), "{text}");
            assert!(!off(text).is_empty());
        }
        assert!(!off("example").is_off(&one) && !ResponderOverrides::new().is_off(&one));
        assert_eq!(ResponderOverrides::new().off(" ").unwrap_err(), OverrideError::EmptyName);
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_its_password() {
        for (text, expected) in [
            ("http://a.example/", "not of the form OLD=NEW"),
            ("http://a.example/=", "not of the form OLD=NEW"),
            ("=http://a.example/", "not of the form OLD=NEW"),
            ("a.example=b.example", "not of the form OLD=NEW"),
            ("", "not of the form OLD=NEW"),
            ("a.example=http://b.example/", "\"a.example\": it does not begin with http:// or https://"),
            ("http://a.example/=http://", "\"http://\": empty host"),
            ("ldap://a.example/=http://b.example/", "does not begin with http:// or https://"),
            ("http://a.example/?x=y=http://b.example/", "without its query"),
            ("http://a.example/=http://b.example:0/", "port 0"),
            ("http://a.example=http://b.example,http://c.example=http://d.example", "',' in the host's name"),
            ("http://a.example/=http://u:secret@b.example/", "a user name or password"),
            ("http://u:secret@a.example/=http://b.example/", "a user name or password"),
            ("http://u:secret@a.example/", "not of the form"),
        ] {
            let error = ResponderOverrides::new().replace_by_text(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let error = overrides(&["http://a=http://b"]).replace_by_text("http://A:80/=http://c").unwrap_err();
        assert_eq!(error.to_string(), "http://a/ is replaced twice");
        assert!(ResponderOverrides::new().without_url("ocsp.example").is_err());
    }
}
