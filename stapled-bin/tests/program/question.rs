//! A certificate, its authority and responses about it, in files: the input of the commands.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use stapled_ca::ocsp::{CertId, HashAlgorithm, ResponseBuilder, Signer};
use stapled_ca::{Authority, Issued, KeyType, Profile, Validity};
use tempfile::TempDir;

use crate::world::{Ended, PATIENCE, Running, command_in};

/// The time of judgements that name no other time.
pub(crate) const NOW: i64 = 1_800_000_000;
pub(crate) const DAY: i64 = 86_400;

pub(crate) struct Question {
    pub(crate) directory: TempDir,
    pub(crate) ca: Authority,
    pub(crate) leaf: Issued,
}

impl Question {
    /// The authority's certificate is in `ca.pem`, the end-entity certificate in `leaf.pem`.
    pub(crate) fn new(key: KeyType) -> Self {
        let ca = authority("Judged CA", key);
        let leaf = ca.issue(&server("judged.test")).unwrap();
        let question = Question { directory: tempfile::tempdir().unwrap(), ca, leaf };
        question.write("ca.pem", question.ca.certificate_pem());
        question.write("leaf.pem", question.leaf.certificate_pem());
        question
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(name), contents).unwrap();
    }

    pub(crate) fn id(&self) -> CertId {
        self.ca.cert_id(self.leaf.serial(), HashAlgorithm::Sha1)
    }

    /// A good response that the issuer signs.
    pub(crate) fn good(&self) -> ResponseBuilder {
        self.good_by(self.ca.signer())
    }

    pub(crate) fn good_by(&self, signer: Signer) -> ResponseBuilder {
        times(ResponseBuilder::signed_by(signer)).good(&self.id())
    }

    pub(crate) fn delegate(&self, profile: &Profile) -> Signer {
        Signer::delegate(&self.ca.issue(profile).unwrap())
    }

    /// Runs the program in this directory.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Running::start(command_in(self.directory.path(), arguments)).end(PATIENCE)
    }

    /// Runs `stapled verify` with the three files at [`NOW`].
    pub(crate) fn verify(&self, more: &[&str]) -> Ended {
        let files = ["verify", "--response", "response", "--cert", "leaf.pem", "--issuer", "ca.pem"];
        let at = NOW.to_string();
        let at = if more.contains(&"--at") { vec![] } else { vec!["--at", &at] };
        self.run(&[&files, at.as_slice(), more].concat())
    }

    /// The exit code and the object of `stapled verify --json` for a response.
    pub(crate) fn judge(&self, response: &[u8], more: &[&str]) -> (i32, Value) {
        self.write("response", response);
        let ended = self.verify(&[&["--json"], more].concat());
        (ended.code, object(&ended))
    }

    /// `0 good`, `10 revoked`, `11 unknown`, or `20` and the reason.
    pub(crate) fn verdict(&self, response: &ResponseBuilder, more: &[&str]) -> String {
        self.verdict_of(&response.build().unwrap(), more)
    }

    pub(crate) fn verdict_of(&self, response: &[u8], more: &[&str]) -> String {
        let (code, object) = self.judge(response, more);
        let (status, reason) = (&object["status"], &object["reason"]);
        assert_eq!(object["verdict"], if code == 20 { "invalid" } else { "valid" }, "{object}");
        assert!(status.is_null() != reason.is_null(), "{object}");
        assert!(!object["detail"].as_str().unwrap().is_empty(), "{object}");
        format!("{code} {}", status.as_str().or(reason.as_str()).unwrap())
    }
}

/// The one line of JSON on standard output.
pub(crate) fn object(ended: &Ended) -> Value {
    assert_eq!(ended.out.lines().count(), 1, "{ended:?}");
    serde_json::from_str(&ended.out).unwrap()
}

pub(crate) fn authority(name: &str, key: KeyType) -> Authority {
    let validity = Validity::Between { not_before: NOW - 1000 * DAY, not_after: NOW + 1000 * DAY };
    Authority::root(name).key(key).validity(validity).create().unwrap()
}

pub(crate) fn server(name: &str) -> Profile {
    Profile::server(name).valid_between(NOW - 30 * DAY, NOW + 60 * DAY).ocsp_url("http://ocsp.test/")
}

pub(crate) fn responder() -> Profile {
    Profile::ocsp_responder("Responder").valid_between(NOW - DAY, NOW + DAY)
}

pub(crate) fn times(builder: ResponseBuilder) -> ResponseBuilder {
    builder.produced_at(NOW - 60).this_update(NOW - 60).next_update(NOW + 7 * DAY)
}
