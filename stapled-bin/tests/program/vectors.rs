//! The program with responses whose verdicts are known: always the project's own, and a larger collection if it is beside
//! the project or at `STAPLED_VECTORS`. The README of the collection has the contract: exit codes 0, 10, 11 and 20, one
//! line of JSON, and no other end.

#[path = "../../../stapled-ocsp/tests/vectors/lenient.rs"]
mod lenient;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use lenient::LENIENT;

use crate::world::{Ended, PATIENCE, Running, command_in};

const LENIENT_OPTIONS: [&str; 3] = ["--allow-sha1", "--allow-missing-next-update", "--allow-weak-keys"];
/// How many runs there are at once.
const AT_ONCE: usize = 2;

/// How many runs had which result.
type Counts = BTreeMap<&'static str, usize>;

struct Collection<'a> {
    root: &'a Path,
    wrong: Mutex<Vec<String>>,
    counts: Mutex<Counts>,
}

impl Collection<'_> {
    fn run_all(self) -> (usize, Vec<String>, Counts) {
        let index = std::fs::read_to_string(self.root.join("index.jsonl")).unwrap();
        let cases: Vec<Value> = index.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                        self.run(case);
                    }
                });
            }
        });
        (cases.len(), self.wrong.into_inner().unwrap(), self.counts.into_inner().unwrap())
    }

    fn run(&self, case: &Value) {
        let expect = &case["expect"];
        if case["mode"] != "verify" {
            let inspected = self.program(&["inspect", case["response"].as_str().unwrap()]);
            return self.check(case, "inspect", [0, 20].contains(&inspected.code), &inspected);
        }
        let (outcome, object, ended) = self.verify(case, &[]);
        let accept = words(&expect["accept"]);
        self.check(case, "verify", accept.contains(&outcome), &ended);
        if let Some(reason) = object["reason"].as_str() {
            let fitting = words(&expect["reasons_ok"]);
            self.check(case, "reason", fitting.is_empty() || fitting.contains(&reason.to_owned()), &ended);
        }
        if let Some(staple) = expect["staple"].as_bool() {
            self.check(case, "staple", object["stapleable"] == staple, &ended);
        }
        let excuses = words(&case["strict_ok"]);
        let accept = match expect["verdict"].as_str() {
            Some("invalid") => accept,
            Some("valid") if !excuses.is_empty() && excuses.iter().all(|excuse| LENIENT.contains(&excuse.as_str())) => {
                vec![format!("valid:{}", expect["status"].as_str().unwrap())]
            }
            _ => return,
        };
        let (outcome, _, ended) = self.verify(case, &LENIENT_OPTIONS);
        self.check(case, "verify, lenient", accept.contains(&outcome), &ended);
    }

    /// The outcome as the collection writes it (`valid:good`, `invalid`, …), and the object.
    fn verify(&self, case: &Value, options: &[&str]) -> (String, Value, Ended) {
        let at = case["at"].as_i64().unwrap_or(0).to_string();
        let mut arguments = vec!["verify", "--json", "--at", &at];
        for (option, file) in [("--response", "response"), ("--cert", "cert"), ("--issuer", "issuer")] {
            arguments.extend([option, case[file].as_str().unwrap_or("-")]);
        }
        if let Some(nonce) = case["request_nonce"].as_str() {
            arguments.extend(["--nonce", nonce]);
        }
        if words(&case["expect"]["policy"]).contains(&"extra_certs".to_owned()) {
            let extra = case["extra"].as_array().into_iter().flatten();
            extra.for_each(|file| arguments.extend(["--extra-cert", file.as_str().unwrap()]));
        }
        arguments.extend(options);
        let ended = self.program(&arguments);
        let outcome = match ended.code {
            0 => "valid:good".to_owned(),
            10 => "valid:revoked".to_owned(),
            11 => "valid:unknown".to_owned(),
            20 => "invalid".to_owned(),
            code => format!("ended with {code}"),
        };
        let object: Value = serde_json::from_str(&ended.out).unwrap_or_default();
        let said = match object["verdict"].as_str() {
            Some("valid") => format!("valid:{}", object["status"].as_str().unwrap_or_default()),
            other => other.unwrap_or_default().to_owned(),
        };
        self.check(case, "JSON", said == outcome && ended.out.lines().count() == 1, &ended);
        (outcome, object, ended)
    }

    fn program(&self, arguments: &[&str]) -> Ended {
        Running::start(command_in(self.root, arguments)).end(PATIENCE)
    }

    fn check(&self, case: &Value, what: &'static str, holds: bool, ended: &Ended) {
        *self.counts.lock().unwrap().entry(what).or_default() += 1;
        if !holds {
            let expect = &case["expect"];
            let line = format!("{}, {what}: {ended:?}, expected {expect}: {}", case["id"], case["why"]);
            self.wrong.lock().unwrap().push(line);
        }
    }
}

fn words(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn run_all(root: &Path) -> usize {
    let collection = Collection { root, wrong: Mutex::default(), counts: Mutex::default() };
    let (cases, wrong, counts) = collection.run_all();
    println!("{cases} cases at {}: {counts:?}", root.display());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    cases
}

fn beside(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn own() {
    assert!(run_all(&beside("../stapled-ocsp/tests/vectors")) >= 40);
}

#[test]
fn collected() {
    let root = std::env::var_os("STAPLED_VECTORS").map_or_else(|| beside("../../shared/vectors"), PathBuf::from);
    if !root.join("index.jsonl").exists() {
        let missing = format!("there are no further vectors at {} (STAPLED_VECTORS names them)", root.display());
        return stapled_tests::skip(&missing);
    }
    assert!(run_all(&root) >= 300);
}
