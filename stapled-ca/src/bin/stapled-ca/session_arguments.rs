//! What is certified, and how challenges are tested.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use stapled_ca::session::{
    AddressRules, BadKeysError, CertificateSettings, Hook, Limits, NameSuffix, Network, NetworkProber, Place, Policy,
    SystemNames,
};

/// Which requests are certified
#[derive(Debug, Args)]
#[command(next_help_heading = "Policy")]
pub(crate) struct PolicyArguments {
    /// Certify these names and those below them alone (may be repeated) [default: every name]
    #[arg(long, value_name = "NAME")]
    allow_name: Vec<NameSuffix>,
    /// Certify IP addresses of these networks alone (may be repeated) [default: every address]
    #[arg(long, value_name = "CIDR")]
    allow_ip: Vec<Network>,
    /// Never certify these names and those below them (may be repeated)
    #[arg(long, value_name = "NAME")]
    block_name: Vec<NameSuffix>,
    /// The most names of one certificate
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    most_names: usize,
    /// Certify none of these keys: a file with the SHA-256 of a SubjectPublicKeyInfo in hexadecimal on each line, or with the
    /// lines of Debian's openssl-blacklist
    #[arg(long, value_name = "FILE")]
    bad_keys: Option<PathBuf>,
    /// Ask this program before each session and each signature; docs/ca.md tells what it is given and how it answers
    #[arg(long, value_name = "PROGRAM")]
    hook: Option<PathBuf>,
    /// The most sessions of one client that are in progress
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    per_client: usize,
    /// The most sessions that are in progress
    #[arg(long, value_name = "NUMBER", default_value_t = 20_000)]
    most_sessions: usize,
    /// How many rounds of tests may fail before a session is dead
    #[arg(long, value_name = "NUMBER", default_value_t = 3)]
    attempts: u32,
    /// How long a client has to answer its challenges, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    session_time: u64,
}

/// How challenges are tested
#[derive(Debug, Args)]
#[command(next_help_heading = "Tests of challenges")]
pub(crate) struct ProbeArguments {
    /// The port of http-01
    #[arg(long, value_name = "PORT", default_value_t = 80)]
    http_01_port: u16,
    /// The port of tls-alpn-01
    #[arg(long, value_name = "PORT", default_value_t = 443)]
    tls_alpn_01_port: u16,
    /// Test challenges at addresses of this network though they are loopback or link-local ones (may be repeated)
    #[arg(long, value_name = "CIDR")]
    allow_network: Vec<Network>,
    /// Test no challenge at addresses of this network (may be repeated)
    #[arg(long, value_name = "CIDR")]
    deny_network: Vec<Network>,
    /// Test each challenge through this HTTP proxy as well, as from a second place in the network: http://HOST:PORT
    #[arg(long, value_name = "URL", value_parser = proxy)]
    second_vantage_point: Option<String>,
    /// How long one test may take, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=60))]
    test_time: u64,
}

/// What certificates contain
#[derive(Debug, Args)]
#[command(next_help_heading = "Certificates")]
pub(crate) struct CertificateArguments {
    /// The validity of a certificate in days
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// Where clients of the certificates reach the OCSP responder, for example http://ocsp.example.org
    /// [default: http:// and the address of --listen]
    #[arg(long, value_name = "URL", value_parser = url)]
    pub(crate) public_url: Option<String>,
}

/// A URL without slash at its end.
pub(crate) fn url(text: &str) -> Result<String, String> {
    let bare = text.trim_end_matches('/');
    let parsed: hyper::Uri = bare.parse().map_err(|error| format!("{error}"))?;
    match (parsed.scheme_str(), parsed.host()) {
        (Some("http"), Some(_)) => Ok(bare.to_owned()),
        // RFC 5280, 8: HTTPS would need a certificate whose status is asked for over HTTPS.
        _ => Err("OCSP is asked over plain HTTP: write http://HOST[:PORT][/PATH]".to_owned()),
    }
}

/// The host and port of a proxy.
fn proxy(text: &str) -> Result<String, String> {
    match text.parse() {
        Ok(Place::Host(host)) => Ok(host),
        _ => Err("write http://HOST:PORT, without user and password".to_owned()),
    }
}

impl PolicyArguments {
    pub(crate) fn policy(&self) -> Result<Policy, BadKeysError> {
        let mut policy = Policy::default();
        (policy.suffixes, policy.blocked) = (self.allow_name.clone(), self.block_name.clone());
        (policy.networks, policy.names) = (self.allow_ip.clone(), self.most_names);
        policy.hook = self.hook.as_ref().map(Hook::new);
        if let Some(path) = &self.bad_keys {
            policy.read_bad_keys(path)?;
        }
        Ok(policy)
    }

    pub(crate) fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        (limits.per_client, limits.active) = (self.per_client, self.most_sessions);
        (limits.attempts, limits.test) = (self.attempts, Duration::from_secs(self.session_time));
        limits
    }
}

impl ProbeArguments {
    pub(crate) fn prober(&self) -> NetworkProber {
        let mut rules = AddressRules::default();
        (rules.allowed, rules.denied) = (self.allow_network.clone(), self.deny_network.clone());
        let mut prober = NetworkProber::default();
        (prober.names, prober.rules) = (Box::new(SystemNames), rules);
        (prober.http_port, prober.tls_port) = (self.http_01_port, self.tls_alpn_01_port);
        prober.proxy = self.second_vantage_point.clone();
        prober.within = Duration::from_secs(self.test_time);
        prober
    }
}

impl CertificateArguments {
    /// The settings of certificates whose responder is at this URL. `name` is the file name of the authority there.
    pub(crate) fn settings(&self, responder: &str, name: &str) -> CertificateSettings {
        let mut settings = CertificateSettings::default();
        settings.days = self.days;
        settings.ocsp_urls = vec![format!("{responder}/")];
        settings.ca_issuers_urls = vec![format!("{responder}/{name}.crt")];
        settings.crl_urls = vec![format!("{responder}/{name}.crl")];
        settings
    }
}
