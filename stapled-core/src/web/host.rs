//! The `Host` of a request.
//!
//! A web page from elsewhere can give its own name the address of this machine (DNS rebinding), and its scripts can then read
//! what a server on a loopback address answers. Such requests name the page's host.

use std::net::IpAddr;

use hyper::http::request::Parts;
use hyper::{Uri, header};

/// Whether a request on a loopback address names this machine, or no host: browsers always name one.
pub(super) fn is_local(request: &Parts) -> bool {
    let hosts = request.headers.get_all(header::HOST);
    request.uri.host().is_none_or(is_this_machine)
        && hosts
            .iter()
            .all(|host| host.to_str().is_ok_and(|host| host_of(host).is_some_and(|host| is_this_machine(&host))))
}

/// The host in the value of the header.
fn host_of(value: &str) -> Option<String> {
    Some(value.parse::<Uri>().ok()?.host()?.to_owned())
}

fn is_this_machine(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    #[test]
    fn only_requests_that_name_this_machine_are_answered() {
        let request = |hosts: &[&str], uri: &str| {
            let builder = hosts.iter().fold(Request::builder().uri(uri), |builder, host| builder.header("host", *host));
            is_local(&builder.body(()).unwrap().into_parts().0)
        };
        for host in ["127.0.0.1", "127.0.0.1:9464", "localhost:9464", "LocalHost", "[::1]:9464", "127.9.9.9"] {
            assert!(request(&[host], "/"), "{host}");
        }
        for host in
            ["evil.example", "evil.example:9464", "127.0.0.1.evil.example", "localhost.evil.example", "192.0.2.1", ""]
        {
            assert!(!request(&[host], "/"), "{host}");
        }
        assert!(request(&[], "/"), "a client without a header is no browser");
        assert!(!request(&["127.0.0.1", "evil.example"], "/"));
        assert!(!request(&["127.0.0.1"], "http://evil.example/"));
    }
}
