//! Cleans URLs on input, and hides their credentials on output.
//!
//! URLs come from certificates, redirections, arguments and the environment, and any of them can carry a user name and
//! a password. Only this module removes them.

/// The replacement for a user name and password.
const HIDDEN: &str = "***";

/// The URL without credentials and without surrounding white space, which some CAs leave in certificates.
pub(crate) fn tidied(url: &str) -> String {
    without_credentials(url.trim())
}

/// Hides credentials in a URL, or in a text that may have URLs in it: `***` replaces each part that could be a user
/// name or password. A URL without credentials stays unchanged. A text that is not a URL loses everything before its
/// last `@`.
///
/// ```
/// use stapled_ocsp::describe::visible::without_credentials;
///
/// assert_eq!(without_credentials("http://user:secret@ocsp.example/ca"), "http://***@ocsp.example/ca");
/// assert_eq!(without_credentials("http://ocsp.example/a@b"), "http://ocsp.example/a@b");
/// ```
pub fn without_credentials(text: &str) -> String {
    // Credentials end with an `@`, in every form below.
    if !text.contains('@') {
        return text.to_owned();
    }
    let mut shown = scrubbed(text);
    if let Some(replaced) = with_few_slashes(&shown) {
        return replaced;
    }
    if has_plain_authority(&shown) {
        return shown;
    }
    let is_open = |at: &usize| shown.get(..*at).is_some_and(|before| !before.ends_with(HIDDEN));
    if let Some(at) = shown.rmatch_indices('@').map(|(at, _)| at).find(is_open) {
        let is_scheme = |text: &str| text.trim_end_matches(':').bytes().all(|byte| byte.is_ascii_alphanumeric());
        let start = match shown.split_once("//") {
            Some((scheme, _)) if is_scheme(scheme) => scheme.len() + 2,
            _ => 0,
        };
        shown.replace_range(start.min(at)..at, HIDDEN);
    }
    shown
}

/// The schemes whose URLs have an authority after any number of slashes (WHATWG URL Standard).
const SPECIAL_SCHEMES: [&str; 5] = ["http", "https", "ftp", "ws", "wss"];

/// Rewrites a URL such as `http:user:secret@host`, which parsers accept, with two slashes and without credentials.
/// `None` for any other text.
fn with_few_slashes(text: &str) -> Option<String> {
    let (scheme, rest) = special_scheme(text)?;
    let authority = rest.trim_start_matches(['/', '\\']);
    if rest.len() - authority.len() > 1 {
        return None;
    }
    let (authority, others) = authority.split_at(authority.find(['/', '\\', '?', '#']).unwrap_or(authority.len()));
    let (_, host) = authority.rsplit_once('@')?;
    Some(format!("{scheme}://{HIDDEN}@{host}{others}"))
}

fn special_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    SPECIAL_SCHEMES.iter().any(|special| special.eq_ignore_ascii_case(scheme)).then_some((scheme, rest))
}

/// Whether the text is a URL with a host and at most a port, so that a later `@` belongs to the path. The check is
/// stricter than URL parsers: in other texts, everything before the last `@` is hidden.
fn has_plain_authority(text: &str) -> bool {
    let authority = match special_scheme(text) {
        Some((_, rest)) => rest.trim_start_matches(['/', '\\']),
        None => match text.split_once("://") {
            Some((scheme, rest)) if is_scheme(scheme) => rest,
            _ => return false,
        },
    };
    let authority = authority.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    let authority = authority.strip_prefix(HIDDEN).and_then(|rest| rest.strip_prefix('@')).unwrap_or(authority);
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':').or(rest.is_empty().then_some(""))),
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, Some("")),
        },
    };
    let is_of_hosts = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    !host.is_empty()
        && host.bytes().all(is_of_hosts)
        && port.is_some_and(|port| port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// The text with everything between `//` and `@` replaced.
fn scrubbed(text: &str) -> String {
    let is_slash = |character: char| matches!(character, '/' | '\\');
    let ends = |character: char| {
        is_slash(character) || character.is_whitespace() || matches!(character, '?' | '#' | '"' | '\'' | '<' | '>')
    };
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((slashes, slash)) = rest.char_indices().find(|(_, character)| is_slash(*character)) {
        let (before, after) = rest.split_at(slashes + slash.len_utf8());
        shown.push_str(before);
        rest = after;
        if !rest.starts_with(is_slash) {
            continue;
        }
        let authority = rest.trim_start_matches(is_slash);
        let (slashes, _) = rest.split_at(rest.len() - authority.len());
        shown.push_str(slashes);
        let (authority, others) = authority.split_at(authority.find(ends).unwrap_or(authority.len()));
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                shown.push_str(HIDDEN);
                shown.push('@');
                shown.push_str(host);
            }
            None => shown.push_str(authority),
        }
        rest = others;
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn credentials_are_not_shown() {
        for (url, expected) in [
            ("http://user:secret@a.example/x", "http://***@a.example/x"),
            ("http://secret@a.example", "http://***@a.example"),
            ("https://user:secret@[::1]:80/?x=y#z", "https://***@[::1]:80/?x=y#z"),
            ("http://user:se@cret@a.example/", "http://***@a.example/"),
            ("http://user:se/cret@a.example/", "http://***@a.example/"),
            ("//user:secret@a.example/x", "//***@a.example/x"),
            ("user:secret@a.example", "***@a.example"),
            ("ldap://user:secret@a.example/", "ldap://***@a.example/"),
            ("http:\\\\user:secret@a.example\\x", "http:\\\\***@a.example\\x"),
            ("http:user:secret@a.example/x", "http://***@a.example/x"),
            ("http:/user:secret@a.example/x", "http://***@a.example/x"),
            ("http:////user:secret@a.example/x", "http:////***@a.example/x"),
            ("http://a.example/?to=http://user:secret@b.example/", "http://a.example/?to=http://***@b.example/"),
            ("error at http://u:secret@a/ (and http://u:secret@b/)", "error at http://***@a/ (and http://***@b/)"),
        ] {
            assert_eq!(without_credentials(url), expected, "{url}");
        }
    }

    #[test]
    fn urls_without_credentials_stay_unchanged() {
        for url in ["http://a.example", "http://a.example/a@b", "HTTP://A.example:80//x?y=@#z@", "", "/a/b", "nonsense"]
        {
            assert_eq!(without_credentials(url), url);
        }
        assert_eq!(tidied(" \thttp://a.example/ca\r\n"), "http://a.example/ca");
    }

    proptest! {
        #[test]
        fn no_part_of_a_password_is_left(scheme in "(http|https|ldap|ftp)?:?[/\\\\]{0,3}", host in "[a-z.:0-9]{0,12}", path in "[/a-z@?#]{0,12}", odd in "[/\\\\?#:@ %]{0,3}") {
            let text = format!("{scheme}user:SE{odd}CRET@{host}{path}");
            let shown = without_credentials(&text);
            // Parsers agree that the text after a question mark or a number sign is not part of an authority.
            if !odd.contains(['?', '#', '/', '\\']) {
                prop_assert!(!shown.contains("CRET"), "{text:?} shows {shown:?}");
            }
        }

        #[test]
        fn any_text_is_taken(text in "\\PC*") {
            let _ = without_credentials(&text);
        }
    }
}
