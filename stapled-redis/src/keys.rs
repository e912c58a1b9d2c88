//! The names of the scheduler's keys.

/// The names of a scheduler's keys: the prefix of all, and names of the owner's choice for some kinds of them.
///
/// Schedulers with the same keys share their tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    prefix: String,
    /// The kind of the scheduler's script, and the chosen name.
    chosen: Vec<(&'static str, &'static str)>,
}

impl Keys {
    /// The names that the scheduler chooses, after the prefix in braces and a colon. The prefix is a hash tag, so on a
    /// Cluster all keys are in one slot.
    #[must_use]
    pub fn tagged(prefix: &str) -> Self {
        Keys { prefix: format!("{{{prefix}}}:"), chosen: Vec::new() }
    }

    /// The names of a database of sessions, after exactly this prefix: subject `S` has its record at `S` and its lists and
    /// parts at `S:NAME`, the tasks that are due on queue `Q` are in the list `pending-Q`, and `active-requests` is a list of
    /// the subjects on record that are not settled. On a Cluster the prefix must have a hash tag.
    ///
    /// Subjects must have no colon, and none may be `clock`, `fences`, `groups`, `queues`, `resting` or
    /// `active-requests`.
    #[must_use]
    pub fn of_sessions(prefix: &str) -> Self {
        let chosen = vec![("active", "active-requests"), ("queue", "pending-"), ("record", "")];
        Keys { prefix: prefix.to_owned(), chosen }
    }

    /// The prefix of all keys.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The prefix as the owner wrote it: without the braces of [`Keys::tagged`].
    pub(crate) fn written_prefix(&self) -> &str {
        let tagged = self.prefix.strip_prefix('{').and_then(|rest| rest.strip_suffix("}:"));
        tagged.filter(|_| self.chosen.is_empty()).unwrap_or(&self.prefix)
    }

    /// Whether the prefix has a hash tag. Braces without contents are none.
    pub(crate) fn have_hash_tag(&self) -> bool {
        let tag = self.prefix.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
        tag.is_some_and(|(tag, _)| !tag.is_empty())
    }

    /// The key of this kind, such as `active`.
    pub(crate) fn key(&self, kind: &str) -> String {
        format!("{}{}", self.prefix, self.chosen_name(kind).unwrap_or(kind))
    }

    /// The key of this kind and name, such as `queue` and the name of the queue.
    pub(crate) fn of(&self, kind: &str, name: &str) -> String {
        match self.chosen_name(kind) {
            Some(chosen) => format!("{}{chosen}{name}", self.prefix),
            None => format!("{}{kind}:{name}", self.prefix),
        }
    }

    /// Whether the owner chose the name of this kind.
    pub(crate) fn is_chosen(&self, kind: &str) -> bool {
        self.chosen_name(kind).is_some()
    }

    /// The line before the script that defines the chosen names.
    pub(crate) fn definition(&self) -> String {
        let names: Vec<String> = self.chosen.iter().map(|(kind, name)| format!("{kind} = '{name}'")).collect();
        format!("local NAMES = {{ {} }}\n", names.join(", "))
    }

    fn chosen_name(&self, kind: &str) -> Option<&'static str> {
        self.chosen.iter().find(|(known, _)| *known == kind).map(|(_, name)| *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_tags_have_contents() {
        for (keys, has_one) in [
            (Keys::tagged("p"), true),
            (Keys::tagged(""), false),
            (Keys::tagged("}p"), false),
            (Keys::of_sessions("ca:"), false),
            (Keys::of_sessions("{ca}:"), true),
            (Keys::of_sessions("{}{ca}:"), false),
        ] {
            assert_eq!(keys.have_hash_tag(), has_one, "{keys:?}");
        }
    }

    #[test]
    fn keys_have_the_chosen_names() {
        let (plain, sessions) = (Keys::tagged("p"), Keys::of_sessions("ca:"));
        assert_eq!([plain.written_prefix(), sessions.written_prefix()], ["p", "ca:"]);
        assert_eq!([plain.key("active"), plain.of("queue", "q")], ["{p}:active", "{p}:queue:q"]);
        assert_eq!([sessions.key("active"), sessions.key("clock")], ["ca:active-requests", "ca:clock"]);
        assert_eq!([sessions.of("queue", "q"), sessions.of("record", "s")], ["ca:pending-q", "ca:s"]);
        assert_eq!(
            [plain.definition(), sessions.definition()],
            ["local NAMES = {  }\n", "local NAMES = { active = 'active-requests', queue = 'pending-', record = '' }\n"]
        );
    }
}
