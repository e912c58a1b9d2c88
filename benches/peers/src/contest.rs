//! Programs that fill a directory with staples: this project, the Python program, a shell loop over `openssl ocsp`, and HAProxy's
//! updater, which keeps its staples in memory. All staples that a program leaves are judged afterwards.

use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stapled_core::io::directory::DirectorySource;
use stapled_core::io::file::FileSink;
use stapled_core::stapler::Stapler;

use crate::programs::{self, Program, Whose, cpu};
use crate::shop::Shop;
use crate::updater;

/// The loop of many scripts: one process of OpenSSL reads the URL, another one asks.
const LOOP: &str = r#"
for file in "$1"/*.pem; do
    url=$("$3" x509 -in "$file" -noout -ocsp_uri)
    "$3" ocsp -issuer "$2" -CAfile "$2" -cert "$file" -url "$url" -no_nonce -respout "$file.ocsp" >/dev/null 2>&1
done
"#;

/// A program that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contestant {
    /// This project: a directory is read, staples are written to files.
    Stapled,
    /// The Python program `stapled` with `--one-off`.
    Python,
    /// The shell loop.
    Openssl,
    /// HAProxy's updater.
    Haproxy,
}

/// The cost of one run of a program.
pub struct Measured {
    pub wall: Duration,
    pub cpu: Duration,
    /// The certificates with a good staple afterwards.
    pub good: usize,
    /// The times from the start of a program whose figures above leave its start out.
    pub with_start: Option<[Duration; 2]>,
}

impl Contestant {
    /// The program's name and version, or why it cannot be measured.
    fn found(self) -> Program {
        match self {
            Contestant::Stapled => Ok(programs::Found {
                path: std::env::current_exe().map_err(|error| error.to_string())?,
                version: "stapled".to_owned(),
            }),
            Contestant::Python => programs::python_stapled(),
            Contestant::Openssl => programs::openssl()
                .map(|found| programs::Found { version: format!("loop over {} ocsp", found.version), ..found }),
            Contestant::Haproxy => programs::haproxy()
                .map(|found| programs::Found { version: format!("updater of {}", found.version), ..found }),
        }
    }

    fn measure(self, program: &Path, shop: &Shop) -> Result<Measured, Box<dyn Error>> {
        let mut command = Command::new(program);
        match self {
            Contestant::Haproxy => return updater::measure(program, shop),
            Contestant::Stapled => command.arg("one-off").arg(shop.certificates()),
            Contestant::Python => {
                // Its list of roots, in place of the system's.
                command.env("SSL_CERT_FILE", shop.root());
                command.args(["--one-off", "--no-haproxy-sockets", "-q", "-p"]).arg(shop.certificates())
            }
            Contestant::Openssl => {
                command = Command::new("sh");
                command.args(["-c", LOOP, "sh"]).arg(shop.certificates()).arg(shop.root()).arg(program)
            }
        };
        let (before, began) = (cpu("self", Whose::Children)?, Instant::now());
        let log = shop.beside("log");
        let output = std::fs::File::create(&log)?;
        command.current_dir("/").stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        // The Python program ends with a failure if it warns of anything.
        let ended = command.status()?;
        let (wall, cpu) = (began.elapsed(), cpu("self", Whose::Children)? - before);
        let good = shop.good()?;
        if good == 0 {
            let said = std::fs::read_to_string(&log)?;
            let last: Vec<&str> = said.lines().rev().take(3).collect();
            return Err(format!("{}: no staple, and {ended}: {last:?}", program.display()).into());
        }
        Ok(Measured { wall, cpu, good, with_start: None })
    }
}

/// Prints what each program needs for this number of certificates, whose responder takes `delay` for each answer. Returns the
/// certificates, which must stay until the last program was measured.
pub fn run(contestants: &[Contestant], count: usize, delay: Duration) -> Result<Shop, Box<dyn Error>> {
    let mut shop = Shop::new(count, delay)?;
    println!(
        "| {count} certificates, {} ms each answer | seconds | of a processor | good staples |",
        delay.as_millis()
    );
    println!("|---|---|---|---|");
    for contestant in contestants {
        match contestant.found() {
            Ok(program) => {
                shop.clear()?;
                let Measured { wall, cpu, good, with_start } = contestant.measure(&program.path, &shop)?;
                let print = |what: &str, [wall, cpu]: [Duration; 2]| {
                    let (wall, cpu) = (wall.as_secs_f64(), cpu.as_secs_f64());
                    println!("| {}{what} | {wall:.2} | {cpu:.2} | {good} |", program.version);
                };
                print("", [wall, cpu]);
                if let Some(with_start) = with_start {
                    print(", with its start", with_start);
                }
            }
            Err(why) => println!("| {contestant:?}: left out: {why} | | | |"),
        }
    }
    println!();
    Ok(shop)
}

/// This project's part: gets the staples of a directory into files, once.
pub fn one_off(directory: &Path) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let stapler = Stapler::builder().source(DirectorySource::new(directory)).sink(FileSink::new()).build()?;
        stapler.run_once(std::future::pending()).await?;
        Ok(())
    })
}
