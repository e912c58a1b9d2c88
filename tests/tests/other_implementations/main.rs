//! Real implementations judge the same responses as we do: OpenSSL, GnuTLS, and Python's cryptography.
//!
//! Chains and responses are generated, right ones and wrong ones, and changed: bytes, single elements, and what is
//! signed with the signature made again. Every response is judged by us and by all three. Where one differs, what is to
//! blame is mended until both agree: see `kinds`. `docs/differences.md` has a row for each kind. A difference that
//! none explains fails the test, and so does a response that we hold for good and all of them refuse for one reason.
//!
//! `STAPLED_PROVE=full` judges 100,000 responses, anything else 1,000; `OTHERS_COUNT` so many. `OTHERS_SEED` sets the
//! first seed. A case that failed lies in `target/tmp/implementations`, with its certificates.

// A test fails by panicking, and tells how far it is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

mod judges;
mod kinds;
mod mutate;
mod ours;
mod recipe;
mod report;
mod state;
mod tlv;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use judges::{Judges, Programs, Verdict, Verdicts};
use kinds::{Difference, Implementation, OTHERS, kinds};
use ours::Ours;
use recipe::Draft;
use report::Report;
use state::State;
use world::World;

/// One in so many responses is shown to the implementations' own programs as well.
const SAMPLE: u64 = 20;
/// And so many of each kind of difference.
const OF_EACH_KIND: usize = 20;
/// So often something is mended to explain a difference, at most.
const MOST_STEPS: usize = 40;

fn is_full() -> bool {
    stapled_tests::is_full_proof()
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

#[test]
fn every_difference_is_explained() {
    let count = number("OTHERS_COUNT").unwrap_or(if is_full() { 100_000 } else { 1_000 });
    let first = number("OTHERS_SEED").unwrap_or(0);
    let start = Instant::now();
    let worlds = world::worlds(now());
    let report = Mutex::new(Report::default());
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(2, |cores| cores.get().min(8));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let folder = tempfile::tempdir().unwrap();
                let mut court = Court {
                    judges: Judges::start(&worlds),
                    programs: Programs::new(folder.path(), &worlds),
                    response: folder.path().join("response.der"),
                    report: &report,
                };
                report.lock().unwrap().versions = court.judges.versions.clone();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        break;
                    }
                    court.hear(&worlds, seed);
                }
            });
        }
    });
    let report = report.into_inner().unwrap();
    println!("{report}in {} s", start.elapsed().as_secs());
    assert_eq!(report.judged, count);
    assert!(report.failures.is_empty(), "{} failures:\n{}", report.failures.len(), report.failures.join("\n\n"));
    if is_full() && count >= 100_000 {
        let unseen: Vec<_> = kinds().into_iter().filter(|kind| !report.has_seen(kind)).map(|kind| kind.name).collect();
        assert!(unseen.is_empty(), "kinds that never occur any more: {unseen:?}");
    }
}

/// The table in the documentation and the code name the same kinds, with the same implementations.
#[test]
fn every_kind_has_its_row_and_every_row_its_kind() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/differences.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut rows = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("| `")) {
        let (name, rest) = line.split_once("` |").unwrap_or_else(|| panic!("a row without a name: {line}"));
        let whom = rest.split('|').next().unwrap().trim().to_owned();
        assert!(rows.insert(name.to_owned(), whom).is_none(), "{name} has two rows");
    }
    let mut expected = BTreeMap::new();
    for kind in kinds() {
        let whom =
            kind.implementations.iter().map(|implementation| implementation.name()).collect::<Vec<_>>().join(", ");
        assert!(expected.insert(kind.name.to_owned(), whom).is_none(), "{} is there twice", kind.name);
    }
    assert_eq!(rows, expected);
}

/// A search for what explains a difference.
struct Search {
    implementation: Implementation,
    /// What is mended.
    names: Vec<&'static str>,
    /// What was tried, for people.
    trace: Vec<String>,
    steps: usize,
}

/// One thread's judges.
struct Court<'a> {
    judges: Judges,
    programs: Programs<'a>,
    /// Where the programs find the response.
    response: PathBuf,
    report: &'a Mutex<Report>,
}

impl Court<'_> {
    /// Has the case of this seed judged by all. The first ones are every signer of every world, just as they are.
    fn hear(&mut self, worlds: &[World], seed: u64) {
        let (round, place) = (seed / worlds.len() as u64, seed % worlds.len() as u64);
        let (world, round) = (&worlds[place as usize], round as usize);
        let at = now();
        let draft = if round < world.signers.len() {
            recipe::plain(world, round, at)
        } else {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut draft = recipe::draw(&mut rng, world, at);
            mutate::mutate(&mut rng, &mut draft, world);
            draft
        };
        self.judges.ask(world, at, &draft.response);
        let ours = Ours::judge(world, at, &Default::default(), &draft.response);
        let verdicts = self.judges.answered();

        let mut causes: Vec<BTreeSet<&'static str>> = Vec::new();
        let mut is_rare = false;
        for implementation in OTHERS {
            let theirs = verdicts.of(implementation);
            if theirs.status == ours.status {
                self.report.lock().unwrap().agreed(implementation, ours.status.as_deref());
                continue;
            }
            match self.explain(implementation, world, &draft) {
                Ok(names) => {
                    let mut report = self.report.lock().unwrap();
                    report.differed(implementation, &ours, theirs, &names);
                    is_rare |= names.iter().any(|name| report.count(implementation, name) <= OF_EACH_KIND);
                    causes.push(names.into_iter().collect());
                }
                Err(trace) => {
                    let what = format!("{}: unexplained:\n  {}", implementation.name(), trace.join("\n  "));
                    self.fail(world, seed, at, &draft, &what);
                }
            }
        }
        let believed = ours.status.as_deref() == Some("good");
        if believed && OTHERS.iter().all(|implementation| verdicts.of(*implementation).status.is_none()) {
            let common = causes.iter().skip(1).fold(causes.first().cloned().unwrap_or_default(), |common, names| {
                common.intersection(names).copied().collect()
            });
            if causes.len() < OTHERS.len() || !common.is_empty() {
                self.fail(world, seed, at, &draft, &format!("held for good, and refused by all for {common:?}"));
            } else {
                self.report.lock().unwrap().alone += 1;
            }
        }
        if is_rare || seed.is_multiple_of(SAMPLE) {
            self.ask_programs(world, seed, at, &draft, &verdicts);
        }
        let mut report = self.report.lock().unwrap();
        report.judged += 1;
        if report.judged.is_multiple_of(10_000) {
            println!("{report}so far\n");
        }
    }

    /// Mends one thing after the other until both agree: the names of what was mended, or how far it went.
    fn explain(
        &mut self,
        implementation: Implementation,
        world: &World,
        draft: &Draft,
    ) -> Result<Vec<&'static str>, Vec<String>> {
        let Some(state) = State::new(world, draft.candidate, draft.scheme, &draft.response) else {
            return Err(vec!["the response cannot be taken apart".to_owned()]);
        };
        let mut search = Search { implementation, names: Vec::new(), trace: Vec::new(), steps: 0 };
        if self.mend(&mut search, &state) { Ok(search.names) } else { Err(search.trace) }
    }

    /// Whether both agree about this state, or about one in which more is mended.
    fn mend(&mut self, search: &mut Search, state: &State<'_>) -> bool {
        let (implementation, now, bytes) = (search.implementation, now(), state.bytes());
        self.judges.ask(state.world, now, &bytes);
        let ours = Ours::judge(state.world, now, &state.policy, &bytes);
        let verdicts = self.judges.answered();
        let theirs = verdicts.of(implementation);
        search.trace.push(format!("ours: {}; theirs: {}", ours.words(), theirs.words()));
        if ours.status.is_some() && ours.status == theirs.status {
            return true;
        }
        // Where both refuse, too much was mended.
        if ours.status.is_none() && theirs.status.is_none() {
            return false;
        }
        let difference = Difference { implementation, ours: &ours, theirs, now };
        for kind in kinds().into_iter().filter(|kind| kind.implementations.contains(&implementation)) {
            if search.steps == MOST_STEPS || search.names.contains(&kind.name) || !(kind.applies)(&difference) {
                continue;
            }
            let Some(next) = state.mended(|state| (kind.mend)(state, &difference)) else { continue };
            search.steps += 1;
            search.names.push(kind.name);
            search.trace.push(format!("mended: {}", search.names.join(", ")));
            if self.mend(search, &next) {
                return true;
            }
            search.names.pop();
        }
        false
    }

    /// The programs say what their libraries said.
    fn ask_programs(&self, world: &World, seed: u64, at: i64, draft: &Draft, verdicts: &Verdicts) {
        std::fs::write(&self.response, &draft.response).unwrap();
        let openssl = &verdicts.openssl;
        let hash = if openssl.hash.is_empty() { "sha1" } else { &openssl.hash };
        let (status, said) = self.programs.openssl(world, at, hash, &self.response);
        if status != openssl.status {
            let what = format!("openssl ocsp says {status:?}, its library {}:\n{said}", openssl.words());
            self.fail(world, seed, at, draft, &what);
        }
        let (verified, said) = self.programs.ocsptool(world, &self.response);
        // Of an extendedKeyUsage that it cannot read, the library, asked many questions in one process, may hold what it
        // read before; the program asks one. We refuse it.
        let is_refused = || Ours::judge(world, at, &Default::default(), &draft.response).status.is_none();
        let stale_usage = !verified && said.contains("keyusage error") && is_refused();
        if verified != verdicts.gnutls.verified && !stale_usage {
            let what = format!("ocsptool says {verified}, its library {}:\n{said}", verdicts.gnutls.words());
            self.fail(world, seed, at, draft, &what);
        }
        self.report.lock().unwrap().shown += 1;
    }

    /// Writes down a case that must not be, with all that it takes to look at it again.
    fn fail(&self, world: &World, seed: u64, at: i64, draft: &Draft, what: &str) {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("implementations").join(seed.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        let story = format!("seed {seed}, {}, judged at {at}: {}\n{what}", world.name, draft.story.join("; "));
        for (name, bytes) in [
            ("response.der", &draft.response[..]),
            ("issuer.pem", world.issuer.certificate_pem().as_bytes()),
            ("leaf.pem", world.leaf.certificate_pem().as_bytes()),
            ("root.pem", world.root.certificate_pem().as_bytes()),
            ("story.txt", story.as_bytes()),
        ] {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
        self.report.lock().unwrap().failures.push(format!("{story}\n({})", folder.display()));
    }
}

impl Verdicts {
    fn of(&self, implementation: Implementation) -> &Verdict {
        match implementation {
            Implementation::OpenSsl => &self.openssl,
            Implementation::GnuTls => &self.gnutls,
            Implementation::Cryptography => &self.cryptography,
        }
    }
}
