//! Compares our judgement with real implementations on the same responses: OpenSSL, GnuTLS, and Python's cryptography.
//!
//! Chains and responses are generated, right ones and wrong ones. Then they are changed: bytes, single elements, and
//! signed parts with the signature made again. We and all three implementations judge every response. If one differs,
//! the blamed part is corrected until both agree: see `kinds`. `docs/differences.md` has a row for each kind. The test
//! fails for a difference without an explanation, and for a response that we accept as good and that all of them refuse
//! for one reason.
//!
//! `STAPLED_PROVE=full` judges 100,000 responses; otherwise 1,000 are judged. `OTHERS_COUNT` sets another number.
//! `OTHERS_SEED` sets the first seed. A failed case is in `target/tmp/implementations`, with its certificates.

// A test fails by panicking, and prints its progress.
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
use kinds::forms::LONG_LENGTH;
use kinds::{Difference, Implementation, OTHERS, kinds};
use ours::Ours;
use recipe::Draft;
use report::Report;
use state::State;
use world::World;

/// One response in this many is also submitted to the implementations' own programs.
const SAMPLE: u64 = 20;
/// This many responses of each kind of difference are submitted to the programs too.
const OF_EACH_KIND: usize = 20;
/// The most corrections in the search for an explanation.
const MOST_STEPS: usize = 40;
/// The most corrections of one kind in an explanation.
const MOST_OF_A_KIND: usize = 3;

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

/// The table in the documentation and the code have the same kinds, with the same implementations.
#[test]
fn the_table_and_the_code_have_the_same_kinds() {
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

/// A search for the explanation of a difference.
struct Search {
    implementation: Implementation,
    /// The kinds that were corrected so far.
    names: Vec<&'static str>,
    /// The attempts, for the report.
    trace: Vec<String>,
    steps: usize,
}

/// The judges of one thread.
struct Court<'a> {
    judges: Judges,
    programs: Programs<'a>,
    /// The file from which the programs read the response.
    response: PathBuf,
    report: &'a Mutex<Report>,
}

impl Court<'_> {
    /// Lets all implementations judge the case of this seed. The first cases are every signer of every world,
    /// unchanged.
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
                Ok(mut names) => {
                    names.sort_unstable();
                    names.dedup();
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

    /// Corrects one kind after another until both sides agree. Returns the names of the corrected kinds, or the
    /// progress of a failed search.
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

    /// Whether both sides agree about this state, or about one with more corrections.
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
        // If both sides refuse, too much was corrected. The exception: OpenSSL verifies the shortest lengths, so a correction
        // that signs long ones again makes a signature that it refuses.
        let both_refuse = ours.status.is_none() && theirs.status.is_none();
        let difference = Difference { implementation, ours: &ours, theirs, now };
        for kind in kinds().into_iter().filter(|kind| kind.implementations.contains(&implementation)) {
            if both_refuse && kind.name != LONG_LENGTH {
                continue;
            }
            // A response may have the same fault in several places.
            let corrected = search.names.iter().filter(|name| **name == kind.name).count();
            if search.steps == MOST_STEPS || corrected == MOST_OF_A_KIND || !(kind.applies)(&difference) {
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

    /// Checks that the programs agree with their libraries.
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
        // The library answers many questions in one process, so after an extendedKeyUsage that it cannot read, it may
        // keep an earlier value. The program answers one question. We refuse the response.
        let is_refused = || Ours::judge(world, at, &Default::default(), &draft.response).status.is_none();
        let stale_usage = !verified && said.contains("keyusage error") && is_refused();
        if verified != verdicts.gnutls.verified && !stale_usage {
            let what = format!("ocsptool says {verified}, its library {}:\n{said}", verdicts.gnutls.words());
            self.fail(world, seed, at, draft, &what);
        }
        self.report.lock().unwrap().shown += 1;
    }

    /// Records a failed case, with everything that is needed to repeat it.
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
