//! The certificates of a server that has not all of them.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

type Rule = Arc<dyn Fn(&Path) -> bool + Send + Sync>;

/// The certificates that a sink writes staples of.
#[derive(Clone, Default)]
pub(super) struct Wanted(Option<Rule>);

impl Wanted {
    pub(super) fn by(wanted: impl Fn(&Path) -> bool + Send + Sync + 'static) -> Self {
        Wanted(Some(Arc::new(wanted)))
    }

    pub(super) fn has(&self, file: &Path) -> bool {
        self.0.as_ref().is_none_or(|wanted| wanted(file))
    }
}

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "some" } else { "all" })
    }
}
