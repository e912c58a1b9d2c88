//! The other implementations: their libraries through one program, and their own programs.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::world::World;

/// An implementation's verdict about a certificate, after reading a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// `good`, `revoked` or `unknown`, if the implementation accepts the response.
    pub(crate) status: Option<String>,
    /// Why the implementation refuses the response.
    pub(crate) why: String,
    /// Whether the implementation accepts the signature; for OpenSSL and GnuTLS, the signer's right to sign counts too.
    pub(crate) verified: bool,
    /// The hash by which the implementation found the certificate, if it tries one hash at a time.
    pub(crate) hash: String,
}

impl Verdict {
    /// The verdict in a few words.
    pub(crate) fn words(&self) -> String {
        self.status.clone().unwrap_or_else(|| format!("refused: {}", self.why))
    }
}

/// The verdicts of all implementations on one response.
#[derive(Clone, Debug)]
pub(crate) struct Verdicts {
    pub(crate) openssl: Verdict,
    pub(crate) gnutls: Verdict,
    pub(crate) cryptography: Verdict,
}

/// The program that calls the libraries. Its drop ends it.
pub(crate) struct Judges {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// The implementations with their versions.
    pub(crate) versions: String,
}

impl Judges {
    pub(crate) fn start(worlds: &[World]) -> Self {
        let python = std::env::var("JUDGES_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/other_implementations/judges.py");
        let mut command = Command::new(&python);
        command.arg(program).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| {
            panic!(
                "{python}: {error}; eval \"$(tests/provide/provide.sh openssl gnutls python)\" brings what is needed"
            )
        });
        let questions = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut judges = Judges { child, questions, answers, versions: String::new() };
        let versions = judges.answer();
        judges.versions = ["openssl", "gnutls", "cryptography"].map(|name| text(&versions[name])).join(", ");
        for world in worlds {
            let line = format!("world {} {}\n", world.name, world.in_base64());
            judges.questions.write_all(line.as_bytes()).unwrap();
            judges.answer();
        }
        judges
    }

    /// Submits a response. [`answered`](Judges::answered) returns the verdicts.
    pub(crate) fn ask(&mut self, world: &World, at: i64, response: &[u8]) {
        let line = format!("case {} {at} {}\n", world.name, STANDARD.encode(response));
        self.questions.write_all(line.as_bytes()).unwrap();
    }

    pub(crate) fn answered(&mut self) -> Verdicts {
        let answer = self.answer();
        Verdicts {
            openssl: verdict(&answer["openssl"]),
            gnutls: verdict(&answer["gnutls"]),
            cryptography: verdict(&answer["cryptography"]),
        }
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert!(
            !line.is_empty(),
            "the judges' program ended; it needs a Python with the package cryptography, libcrypto and libgnutls: \
             eval \"$(tests/provide/provide.sh openssl gnutls python)\" brings them"
        );
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Judges {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn verdict(value: &Value) -> Verdict {
    Verdict {
        status: value["status"].as_str().map(str::to_owned),
        why: text(&value["why"]),
        verified: value["verified"].as_bool().unwrap_or(false),
        hash: text(&value["hash"]),
    }
}

/// The implementations' own programs, with the world's certificates in files.
pub(crate) struct Programs<'a> {
    folder: &'a Path,
}

impl<'a> Programs<'a> {
    /// Programs that read their files in `folder`.
    pub(crate) fn new(folder: &'a Path, worlds: &[World]) -> Self {
        for world in worlds {
            for (name, text) in [
                ("issuer", world.issuer.certificate_pem()),
                ("leaf", world.leaf.certificate_pem()),
                ("root", world.root.certificate_pem()),
            ] {
                std::fs::write(folder.join(format!("{}-{name}.pem", world.name)), text).unwrap();
            }
        }
        let programs = Programs { folder };
        // A missing program is reported at once.
        programs.run("openssl", &["version"]);
        programs.run("ocsptool", &["--version"]);
        programs
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).current_dir(self.folder).output().unwrap_or_else(|error| {
            panic!("{program}: {error}; tests/provide/provide.sh brings it");
        });
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }

    /// The verdict of `openssl ocsp`, and its output.
    pub(crate) fn openssl(&self, world: &World, at: i64, hash: &str, response: &Path) -> (Option<String>, String) {
        let [issuer, leaf, root] = ["issuer", "leaf", "root"].map(|name| format!("{}-{name}.pem", world.name));
        let (hash, at) = (format!("-{hash}"), at.to_string());
        let said = self.run(
            "openssl",
            &[
                "ocsp",
                "-no_nonce",
                "-respin",
                response.to_str().unwrap(),
                "-attime",
                &at,
                "-CAfile",
                &root,
                "-verify_other",
                &issuer,
                "-issuer",
                &issuer,
                &hash,
                "-cert",
                &leaf,
            ],
        );
        let status = said.lines().find_map(|line| line.strip_prefix(&format!("{leaf}: "))).map(str::to_owned);
        let believed = said.contains("Response verify OK") && !said.contains("WARNING: Status times invalid");
        (status.filter(|status| believed && status != "ERROR: No Status found."), said)
    }

    /// Whether `ocsptool --verify-response` accepts the signature, and its output.
    pub(crate) fn ocsptool(&self, world: &World, response: &Path) -> (bool, String) {
        let issuer = format!("{}-issuer.pem", world.name);
        let said = self.run(
            "ocsptool",
            &["--verify-response", "--load-response", response.to_str().unwrap(), "--load-signer", &issuer],
        );
        (said.contains("Verifying OCSP Response: Success"), said)
    }
}
