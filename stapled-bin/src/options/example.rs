//! The example configuration file.

use std::fmt::Write;

use super::declarations::ALL;
use super::option::{Declaration, Example, Fallback, Section, Shape};

/// No line of a comment is longer.
const WIDTH: usize = 80;

const HEAD: &str = "\
The configuration of stapled, with every setting. The format is TOML. Settings have the names of the program's options \
without the dashes; `stapled --help` lists them. Arguments win over this file, and relative paths are resolved from its \
directory. Durations are numbers of seconds, or texts such as \"90s\", \"15m\", \"2h\", \"7d\" and \"1h30m\". A line that is commented out shows the default, unless the comment says otherwise. `stapled --check-config` \
checks the file.";

/// The example configuration file, with every setting.
pub(crate) fn example() -> String {
    let mut file = comment(HEAD);
    for (section, heading) in Section::ALL {
        let _ = writeln!(file, "\n# ---- {}", heading); // a String takes everything
        for option in ALL.iter().filter(|option| option.section == section && option.is_key()) {
            file.push_str(&entry(option));
        }
    }
    file
}

/// The documentation and the line of an option.
fn entry(option: &Declaration) -> String {
    let value = match (option.example, option.fallback) {
        (Example::OldName, _) => return String::new(),
        (Example::On(value) | Example::Off(value), _) => value.to_owned(),
        (Example::Default, Fallback::Number(number)) => match option.shape {
            Shape::Duration { .. } => format!("{:?}", option.number_in_words(number())),
            _ => number().to_string(),
        },
        (Example::Default, Fallback::Nothing | Fallback::Words(_)) => "false".to_owned(),
    };
    let mut text = format!("{}.", option.doc);
    if let Shape::Number { of, .. } = option.shape {
        let _ = write!(text, " The value is {of}.");
    }
    if let Shape::Choice(choices) = option.shape {
        for (word, explanation) in choices() {
            let _ = write!(text, " {word:?}: {explanation}.");
        }
    }
    if !option.note.is_empty() {
        let _ = write!(text, " {}", option.note);
    }
    match (option.example, option.fallback) {
        (Example::Off(_), Fallback::Nothing) => text.push_str(" Default: none."),
        (_, Fallback::Words(words)) => {
            let _ = write!(text, " Default: {words}.");
        }
        _ => {}
    }
    let line = match (option.shape, option.example) {
        (Shape::Tables { .. }, _) => format!("#[[{}]]\n#{}\n", option.name, value.replace('\n', "\n#")),
        (_, Example::On(_)) => format!("{} = {value}\n", option.name),
        _ => format!("#{} = {value}\n", option.name),
    };
    format!("\n{}{line}", comment(&without_dashes(&text)))
}

/// The names of settings, which have no dashes before them in the file.
fn without_dashes(text: &str) -> String {
    ALL.iter().fold(text.to_owned(), |text, option| text.replace(&format!("--{}", option.name), option.name))
}

/// Text as lines of comments.
fn comment(text: &str) -> String {
    let mut lines = String::new();
    let mut line = "#".to_owned();
    for word in text.split(' ') {
        if line.len() + 1 + word.len() > WIDTH {
            lines.push_str(&line);
            lines.push('\n');
            "#".clone_into(&mut line);
        }
        line.push(' ');
        line.push_str(word);
    }
    lines + &line + "\n"
}
