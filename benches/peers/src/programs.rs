//! The programs that are measured: where they are, and what they have used.

use std::error::Error;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// The oldest HAProxy that updates responses by itself.
const FIRST_UPDATER: (u32, u32) = (2, 8);

/// A program, or why there is none.
pub type Program = Result<Found, String>;

/// A program that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its file.
    pub path: PathBuf,
    /// The version that the program reports.
    pub version: String,
}

/// The Python program `stapled` of greenhost.
pub fn python_stapled() -> Program {
    const HOW: &str =
        "set PEER_PYTHON_STAPLED to the program of a virtual environment; docs/performance.md says how to make one";
    let path = std::env::var_os("PEER_PYTHON_STAPLED").ok_or(HOW)?;
    let version = said(Command::new(&path).arg("--version"))?;
    Ok(Found { path: path.into(), version: format!("Python {version}") })
}

/// The command line of OpenSSL.
pub fn openssl() -> Program {
    let version = said(Command::new("openssl").arg("version"))
        .map_err(|why| format!("{why}; `tests/provide/provide.sh openssl` provides it"))?;
    Ok(Found { path: "openssl".into(), version: version.split(" (").next().unwrap_or_default().to_owned() })
}

/// The newest HAProxy among those in `HAPROXY`, separated by commas, and the one of the system.
pub fn haproxy() -> Program {
    let named = std::env::var("HAPROXY").unwrap_or_default();
    let candidates = named.split(',').filter(|path| !path.is_empty()).chain(["haproxy"]);
    let found = candidates.filter_map(|path| {
        let said = said(Command::new(path).arg("-v")).ok()?;
        let version = said.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
        let mut numbers = version.split(['.', '-']).map(|number| number.parse::<u32>().unwrap_or_default());
        let order = (numbers.next()?, numbers.next()?);
        let short = version.split(['-', '+']).next().unwrap_or(version);
        Some((order, Found { path: path.into(), version: format!("HAProxy {short}") }))
    });
    match found.max_by_key(|(order, _)| *order) {
        Some((order, found)) if order >= FIRST_UPDATER => Ok(found),
        _ => Err("no HAProxy 2.8 or newer; `tests/provide/provide.sh haproxy-next` provides one, HAPROXY names it"
            .to_owned()),
    }
}

/// The first line that a command prints.
fn said(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("{program}: {}", errors.lines().last().unwrap_or("ended with a failure")));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// The processor time of a process, or of its children that have ended.
pub fn cpu(process: &str, whose: Whose) -> Result<Duration, Box<dyn Error>> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name of the program comes first, in brackets. It may contain anything.
    let rest = text.rsplit(')').next().ok_or("no stat")?;
    let ticks = rest.split_whitespace().skip(match whose {
        Whose::Own => 11,
        Whose::Children => 13,
    });
    let ticks: u64 = ticks.take(2).map(|ticks| ticks.parse::<u64>().unwrap_or_default()).sum();
    Ok(Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second())?)
}

/// Whose processor time counts.
#[derive(Clone, Copy, Debug)]
pub enum Whose {
    /// That of the process.
    Own,
    /// That of its children that have ended, with theirs.
    Children,
}
