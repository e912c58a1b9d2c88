//! The documents that are made from the command line: completions and the manual page.

use std::io::{self, Write};

use clap::Command;
use clap_complete::Shell;

/// The completions of a shell.
pub(crate) fn completions(mut command: Command, shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "stapled", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The manual page, in roff: the daemon's options, then each command.
pub(crate) fn manual(mut command: Command) -> io::Result<String> {
    let mut page = Vec::new();
    command.build();
    let man = clap_mangen::Man::new(command.clone()).manual("stapled");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    man.render_extra_section(&mut page)?;
    command.get_subcommands().try_for_each(|command| write_command(&mut page, command, "STAPLED"))?;
    man.render_version_section(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// A section for a command, and one for each of its own commands.
fn write_command(page: &mut Vec<u8>, command: &Command, above: &str) -> io::Result<()> {
    if command.is_hide_set() || command.get_name() == "help" {
        return Ok(());
    }
    let name = format!("{above} {}", command.get_name().to_uppercase());
    writeln!(page, ".SH {name}")?;
    let man = clap_mangen::Man::new(command.clone());
    let mut sections = Vec::new();
    man.render_synopsis_section(&mut sections)?;
    man.render_description_section(&mut sections)?;
    man.render_options_section(&mut sections)?;
    man.render_extra_section(&mut sections)?;
    page.write_all(String::from_utf8_lossy(&sections).replace(".SH ", ".SS ").as_bytes())?;
    command.get_subcommands().try_for_each(|command| write_command(page, command, &name))
}
