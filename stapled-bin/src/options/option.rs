//! What the declaration of an option consists of.

use stapled_core::time::span::Span;

use super::value::Given;

/// An option whose value the program reads as a `T`.
pub(crate) struct Opt<T> {
    pub(crate) declaration: Declaration,
    /// Reads the value.
    pub(crate) read: fn(&Given) -> T,
}

/// An option, whatever the type of its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Declaration {
    /// The name: after `--` on the command line, and as the key in the configuration file.
    pub(crate) name: &'static str,
    pub(crate) short: Option<char>,
    /// A second name, on the command line and in the configuration file.
    pub(crate) alias: Option<&'static str>,
    /// What stands for the value in the help; empty for switches.
    pub(crate) value_name: &'static str,
    /// Which values it takes.
    pub(crate) shape: Shape,
    /// Where in the help and in the example it stands.
    pub(crate) section: Section,
    /// Where it may be given.
    pub(crate) place: Place,
    /// The question that it answers together with other options.
    pub(crate) topic: Option<Topic>,
    /// The option that it cannot be combined with.
    pub(crate) conflict: Option<&'static str>,
    /// The commands that have it as well.
    pub(crate) used_by: &'static [User],
    /// What it does. Without the default.
    pub(crate) doc: &'static str,
    /// More for the example file.
    pub(crate) note: &'static str,
    /// What holds where it is not given.
    pub(crate) fallback: Fallback,
    /// Its line in the example file.
    pub(crate) example: Example,
    /// Its counterpart in the Python program.
    pub(crate) original: Original,
}

/// Which values an option takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// None: the option is given or not; `true` or `false` in the file.
    Switch,
    /// None: it counts how often the short name is given.
    Count,
    /// A whole number from `least` to `most`.
    Number { of: &'static str, least: u64, most: u64 },
    /// A duration, from this many seconds.
    Duration { least: u64 },
    /// One of some words, each with its explanation.
    Choice(fn() -> Vec<(&'static str, &'static str)>),
    /// One text.
    Text,
    /// Texts.
    Texts,
    /// One path.
    Path,
    /// One path, or this path where the option has no value.
    PathOr(&'static str),
    /// Paths.
    Paths,
    /// Items of paths; commas join the paths of an item.
    JoinedPaths,
    /// Addresses of sockets; commas join the addresses of an item.
    Sockets,
    /// Tables of the file, with these keys; one of them is needed.
    Tables { keys: &'static [(&'static str, Shape)], needed: &'static str },
}

/// A heading of the help, and a part of the example file. The help has them in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Certificates,
    Haproxy,
    Files,
    Serving,
    Asking,
    Believing,
    Running,
    Telling,
    Logging,
    Groups,
    Servers,
}

impl Section {
    /// Every section with its heading.
    pub(crate) const ALL: [(Section, &'static str); 11] = [
        (Section::Certificates, "Certificates"),
        (Section::Haproxy, "HAProxy"),
        (Section::Files, "Files"),
        (Section::Serving, "Answering servers that ask by themselves"),
        (Section::Asking, "Asking the CA"),
        (Section::Believing, "Believing its answers"),
        (Section::Running, "Running"),
        (Section::Telling, "Telling"),
        (Section::Logging, "Logging"),
        (Section::Groups, "Paths with sockets of their own, besides those above"),
        (Section::Servers, "Servers that read staples from files, each with names and a command of its own"),
    ];

    pub(crate) fn heading(self) -> &'static str {
        Section::ALL.iter().find(|(section, _)| *section == self).map_or("", |(_, heading)| *heading)
    }
}

/// Where an option may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the command line and in the configuration file.
    Anywhere,
    /// On the command line.
    CommandLine,
    /// In the configuration file.
    File,
}

/// A question that several options answer together: what the command line says replaces all that the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    Paths,
    Sockets,
    Background,
    Proxy,
}

/// A command that has options of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    /// `stapled check`. It takes all options that the file may have, and shows these.
    Check,
    /// `stapled fetch`.
    Fetch,
    /// `stapled status` and `stapled renew`.
    Client,
}

/// What holds where an option is not given.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fallback {
    /// Nothing: no value, an empty list, or a switch that is off.
    Nothing,
    Number(fn() -> u64),
    /// What these words say.
    Words(&'static str),
}

/// The line of an option in the example file.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Example {
    /// A comment with the default.
    Default,
    /// A comment with this value.
    Off(&'static str),
    /// This value, in effect.
    On(&'static str),
    /// No line: the option is the old name of another.
    OldName,
}

/// The counterpart of an option in the Python program `stapled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Original {
    /// There was no such option.
    None,
    /// The same.
    Same,
    /// Not quite the same; what is different here.
    Differs(&'static str),
    /// It has no successor; what else there is to say.
    Gone(&'static str),
}

impl Declaration {
    /// An option of this shape, without anything else.
    pub(crate) const fn of(shape: Shape) -> Self {
        Declaration {
            name: "",
            short: None,
            alias: None,
            value_name: "",
            shape,
            section: Section::Running,
            place: Place::Anywhere,
            topic: None,
            conflict: None,
            used_by: &[],
            doc: "",
            note: "",
            fallback: Fallback::Nothing,
            example: Example::Default,
            original: Original::None,
        }
    }

    /// The default in words; none where it is nothing.
    pub(crate) fn default_in_words(&self) -> Option<String> {
        match self.fallback {
            Fallback::Nothing => None,
            Fallback::Number(number) => Some(self.number_in_words(number())),
            Fallback::Words(words) => Some(words.to_owned()),
        }
    }

    /// A number as a value of this option: of a duration, the seconds with units.
    pub(crate) fn number_in_words(&self, number: u64) -> String {
        match self.shape {
            Shape::Duration { .. } => Span::from_secs(number).to_string(),
            _ => number.to_string(),
        }
    }

    /// The name on the command line; none where the option has a short name alone.
    pub(crate) fn long(&self) -> Option<&'static str> {
        match self.shape {
            Shape::Count => None,
            _ => Some(self.name),
        }
    }

    /// Whether the configuration file may have it.
    pub(crate) fn is_key(&self) -> bool {
        matches!(self.place, Place::Anywhere | Place::File)
    }

    /// Whether this is its name or its second name.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.name == name || self.alias == Some(name)
    }
}
