//! `stapled convert-config`: prints a configuration file of the Python program `stapled` as TOML.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::answer::{CommandError, GOOD, INVALID, answer};
use super::input::{self, MAX_FILE};
use crate::options::original::convert;
use crate::stderr::say;
use crate::text::visible;

/// Print a configuration file of the Python program `stapled` as TOML
///
/// Comments say what has no successor here, and what means something else.
#[derive(Args, Debug)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct ConvertConfig {
    /// The configuration file of the Python program; - is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

const AFTER_HELP: &str = "\
Example:
  stapled convert-config /etc/stapled/stapled.conf > stapled.conf.new
  stapled --config stapled.conf.new --check-config

Exit codes:
  0   every line is converted, or has no successor
  20  some lines are no settings of the Python program: they are on standard error, and comments of the output
  1   the answer could not be written
  2   wrong arguments, or a file that cannot be opened";

impl ConvertConfig {
    pub(crate) fn run(self, out: &mut dyn Write) -> Result<u8, CommandError> {
        let name = visible(&self.file.to_string_lossy());
        let Some(bytes) = input::read(&self.file)? else {
            say(&format!("{name}: more than the {MAX_FILE} bytes that are read"));
            return Ok(INVALID);
        };
        let converted = convert(&String::from_utf8_lossy(&bytes));
        for (line, what) in &converted.unknown {
            say(&format!("{name}:{line}: {}", visible(what)));
        }
        answer(out, &converted.toml, if converted.unknown.is_empty() { GOOD } else { INVALID })
    }
}
