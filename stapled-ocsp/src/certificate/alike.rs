//! One copy of what many certificates have in common: all certificates of a CA name the same URLs.

use std::cell::RefCell;
use std::sync::Arc;

/// How many lists of URLs each thread remembers, the latest last.
const RECENT: usize = 8;

thread_local! {
    static LISTS: RefCell<Vec<Arc<[String]>>> = const { RefCell::new(Vec::new()) };
}

/// A list of URLs, shared with the certificates that this thread read lately.
pub(super) fn shared(urls: Vec<String>) -> Arc<[String]> {
    LISTS.with_borrow_mut(|lists| {
        if let Some(known) = lists.iter().rfind(|known| ***known == *urls) {
            return Arc::clone(known);
        }
        let new: Arc<[String]> = urls.into();
        if lists.len() >= RECENT {
            lists.remove(0);
        }
        lists.push(Arc::clone(&new));
        new
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lists_are_one_and_few_are_remembered() {
        let list = |number: usize| vec![format!("http://{number}.example/"), "http://ca.example/".to_owned()];
        let first = shared(list(0));
        assert_eq!(*first, *list(0));
        assert!(Arc::ptr_eq(&first, &shared(list(0))));
        for number in 1..=RECENT {
            shared(list(number));
        }
        let again = shared(list(0));
        assert!(!Arc::ptr_eq(&first, &again) && first == again);
        assert_eq!(LISTS.with_borrow(Vec::len), RECENT);
    }
}
