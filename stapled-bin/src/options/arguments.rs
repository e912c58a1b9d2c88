//! The options as arguments of the command line, made from their declarations.

use std::fmt::Debug;
use std::marker::PhantomData;

use clap::builder::{PossibleValue, PossibleValuesParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command};
use stapled_core::time::span::Span;

use super::declarations::ALL;
use super::option::{Declaration, Place, Section, Shape, User};
use super::settings::{Origin, Settings};
use super::value::Given;

/// The options that a command takes, for `#[command(flatten)]`.
#[derive(Clone, Debug)]
pub(crate) struct Options<C> {
    pub(crate) settings: Settings,
    command: PhantomData<fn() -> C>,
}

/// Which options a command takes.
pub(crate) trait Selection: Debug + Clone + 'static {
    /// How it takes this one, if it does.
    const TAKE: fn(&Declaration) -> Option<Take>;
}

/// How a command takes an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    /// It takes it, and its help does not show it.
    Hidden,
    /// Several values after one name, as in `-p a b c`.
    Lists,
    /// One value after each name: other arguments may follow.
    Single,
}

/// All options of the command line: the daemon's.
#[derive(Clone, Debug)]
pub(crate) struct Daemon;

impl Selection for Daemon {
    const TAKE: fn(&Declaration) -> Option<Take> = |option| match option.place {
        Place::Anywhere | Place::CommandLine => Some(Take::Lists),
        Place::File => None,
    };
}

/// The options of `stapled check`: all that a daemon is configured with, so that its arguments can be given unchanged.
#[derive(Clone, Debug)]
pub(crate) struct Check;

impl Selection for Check {
    const TAKE: fn(&Declaration) -> Option<Take> = |option| match option.place {
        _ if option.used_by.contains(&User::Check) => Some(Take::Lists),
        Place::Anywhere => Some(Take::Hidden),
        Place::CommandLine | Place::File => None,
    };
}

/// The options that say how responders are reached.
#[derive(Clone, Debug)]
pub(crate) struct Network;

impl Selection for Network {
    const TAKE: fn(&Declaration) -> Option<Take> = |option| single_if(option.used_by.contains(&User::Fetch));
}

/// The options that say which answers are accepted.
#[derive(Clone, Debug)]
pub(crate) struct Judging;

impl Selection for Judging {
    const TAKE: fn(&Declaration) -> Option<Take> = |option| single_if(option.section == Section::Believing);
}

/// The options that say where a running daemon answers.
#[derive(Clone, Debug)]
pub(crate) struct Client;

impl Selection for Client {
    const TAKE: fn(&Declaration) -> Option<Take> = |option| single_if(option.used_by.contains(&User::Client));
}

fn single_if(is_taken: bool) -> Option<Take> {
    is_taken.then_some(Take::Single)
}

fn taken<C: Selection>() -> impl Iterator<Item = (&'static Declaration, Take)> {
    ALL.iter().filter_map(|option| Some((option, C::TAKE(option)?)))
}

impl<C: Selection> clap::Args for Options<C> {
    fn augment_args(command: Command) -> Command {
        command.args(taken::<C>().map(|(option, take)| argument(option, take)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<C: Selection> clap::FromArgMatches for Options<C> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut settings = Settings::default();
        for (option, _) in taken::<C>() {
            settings.set(option, given(option, matches), Origin::CommandLine);
        }
        Ok(Options { settings, command: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        Self::from_arg_matches(matches).map(|new| *self = new)
    }
}

/// An option as an argument.
fn argument(option: &Declaration, take: Take) -> Arg {
    let argument = Arg::new(option.name)
        .help(help(option))
        .help_heading(option.section.heading())
        .long(option.long())
        .short(option.short)
        .visible_alias(option.alias)
        .conflicts_with_all(option.conflict)
        .value_name(Some(option.value_name).filter(|name| !name.is_empty()));
    let list = 1..=if take == Take::Single { 1 } else { usize::MAX };
    let as_path = |argument: Arg| argument.value_parser(ValueParser::path_buf());
    let argument = match option.shape {
        Shape::Switch => argument.action(ArgAction::SetTrue),
        Shape::Count => argument.action(ArgAction::Count),
        Shape::Number { of, least, most } => argument.value_parser(ValueParser::from(numbers(of, least, most))),
        Shape::Duration { least } => argument.value_parser(ValueParser::from(durations(least, Span::MAX.as_secs()))),
        Shape::Choice(choices) => {
            let values = choices().into_iter().map(|(word, explanation)| PossibleValue::new(word).help(explanation));
            argument.value_parser(PossibleValuesParser::new(values))
        }
        // The command line has no tables.
        Shape::Text | Shape::Tables { .. } => argument,
        Shape::Texts | Shape::Sockets => argument.action(ArgAction::Append).num_args(list),
        Shape::Path => as_path(argument),
        Shape::PathOr(default) => as_path(argument).num_args(0..=1).default_missing_value(default),
        Shape::Paths | Shape::JoinedPaths => as_path(argument).action(ArgAction::Append).num_args(list),
    };
    argument.hide(take == Take::Hidden)
}

/// The documentation of an option with its default.
fn help(option: &Declaration) -> String {
    match option.default_in_words() {
        Some(default) => format!("{} [default: {default}]", option.doc),
        None => option.doc.to_owned(),
    }
}

/// Which numbers an option takes, in words.
pub(super) fn needed(of: &str, least: u64, most: u64) -> String {
    match (least, most) {
        (least, ..=999_999) => format!("{of} from {least} to {most} is needed"),
        (0, _) => format!("{of} is needed"),
        (least, _) => format!("{of} is needed, at least {least}"),
    }
}

/// Reads durations from `least` to `most` seconds.
pub(crate) fn durations(least: u64, most: u64) -> impl Fn(&str) -> Result<Span, String> + Clone {
    move |text| Span::within(text, Span::from_secs(least), Span::from_secs(most))
}

/// Reads whole numbers from `least` to `most`.
pub(crate) fn numbers(of: &'static str, least: u64, most: u64) -> impl Fn(&str) -> Result<u64, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| needed(of, least, most))
    }
}

/// The value of an option on the command line.
fn given(option: &Declaration, matches: &ArgMatches) -> Given {
    let name = option.name;
    match option.shape {
        Shape::Switch => Given::words(matches.get_flag(name).then_some("true")),
        Shape::Count => {
            Given::words(Some(matches.get_count(name)).filter(|count| *count > 0).map(|count| count.to_string()))
        }
        Shape::Tables { .. } => Given::default(),
        _ => Given::words(matches.get_raw(name).into_iter().flatten()),
    }
}
