//! Notices of changes in directories: inotify(7), on Linux. Other systems give none.
//!
//! Only changes are asked for. Notices of opened files would wake a thread for each file that this program itself reads.

use std::path::PathBuf;

#[cfg(target_os = "linux")]
pub(crate) use linux::Notifier;
#[cfg(not(target_os = "linux"))]
pub(crate) use without::Notifier;

/// One notice of the system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// Something has changed at a path, which is that of a watched directory or of an entry in one.
    Changed {
        path: PathBuf,
        /// Whether it was removed or renamed. Of a watched directory, the watch has ended or is in doubt.
        is_gone: bool,
    },
    /// Notices were lost.
    Missed,
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::HashMap;
    use std::io;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::path::{Path, PathBuf};
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
    use std::thread;

    use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask, Watches};
    use rustix::event::{PollFd, PollFlags, poll};

    use super::Notice;

    /// The changes that are asked for.
    const CHANGES: WatchMask = WatchMask::CREATE
        .union(WatchMask::MODIFY)
        .union(WatchMask::CLOSE_WRITE)
        .union(WatchMask::ATTRIB)
        .union(WatchMask::MOVE)
        .union(WatchMask::DELETE)
        .union(WatchMask::DELETE_SELF)
        .union(WatchMask::MOVE_SELF);
    /// After these, a name or a watch is gone.
    const GONE: EventMask = EventMask::DELETE
        .union(EventMask::DELETE_SELF)
        .union(EventMask::MOVED_FROM)
        .union(EventMask::MOVE_SELF)
        .union(EventMask::UNMOUNT)
        .union(EventMask::IGNORED);
    /// How many bytes of notices are read at once.
    const BUFFER: usize = 16 * 1024;

    /// Watches directories, and hands notices to a function in a thread of its own. The thread ends with this value.
    pub(crate) struct Notifier {
        watches: Watches,
        watched: Arc<Mutex<HashMap<WatchDescriptor, PathBuf>>>,
        /// The thread reads the other end, and ends when this one is closed.
        _open: UnixStream,
    }

    impl std::fmt::Debug for Notifier {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("Notifier").field("watched", &self.watched).finish_non_exhaustive()
        }
    }

    impl Notifier {
        pub(crate) fn new(take: impl Fn(Notice) + Send + 'static) -> io::Result<Self> {
            let inotify = Inotify::init()?;
            let (open, end) = UnixStream::pair()?;
            let (watches, watched) = (inotify.watches(), Arc::default());
            let known = Arc::clone(&watched);
            let read = move || read(inotify, &end, &known, &take);
            thread::Builder::new().name("stapled-notices".to_owned()).spawn(read)?;
            Ok(Notifier { watches, watched, _open: open })
        }

        /// Watches a directory, by an absolute path: that of the notices.
        pub(crate) fn watch(&mut self, directory: &Path) -> io::Result<()> {
            // The lock is held over the call: a notice that comes at once finds its path.
            let mut watched = lock(&self.watched);
            let watch = self.watches.add(directory, CHANGES)?;
            watched.insert(watch, directory.to_owned());
            Ok(())
        }

        /// Ends the watch of a directory, if there is one.
        pub(crate) fn unwatch(&mut self, directory: &Path) {
            let mut watched = lock(&self.watched);
            let ended: Vec<WatchDescriptor> =
                watched.extract_if(|_, path| path == directory).map(|(id, _)| id).collect();
            drop(watched);
            for watch in ended {
                // It fails if the watch has ended by itself.
                let _ = self.watches.remove(watch);
            }
        }
    }

    /// Reads notices until the other end of `end` is closed.
    fn read(
        mut inotify: Inotify,
        end: &UnixStream,
        watched: &Mutex<HashMap<WatchDescriptor, PathBuf>>,
        take: &impl Fn(Notice),
    ) {
        let mut buffer = vec![0; BUFFER];
        loop {
            let mut ready =
                [PollFd::new(&inotify, PollFlags::IN), PollFd::from_borrowed_fd(end.as_fd(), PollFlags::IN)];
            match poll(&mut ready, None) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => return take(Notice::Missed),
            }
            let [_, end] = ready;
            if !end.revents().is_empty() {
                return;
            }
            let events = match inotify.read_events(&mut buffer) {
                Ok(events) => events,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(_) => return take(Notice::Missed),
            };
            let mut notices = Vec::new();
            let mut watched = lock(watched);
            for event in events {
                if event.mask.contains(EventMask::Q_OVERFLOW) {
                    notices.push(Notice::Missed);
                    continue;
                }
                let is_gone = event.mask.intersects(GONE);
                let directory = match event.mask.contains(EventMask::IGNORED) {
                    // The watch has ended. If it was ended by this program, nobody waits for notices.
                    true => watched.remove(&event.wd),
                    false => watched.get(&event.wd).cloned(),
                };
                let Some(directory) = directory else { continue };
                let path = event.name.map_or_else(|| directory.clone(), |name| directory.join(name));
                notices.push(Notice::Changed { path, is_gone });
            }
            drop(watched);
            notices.into_iter().for_each(take);
        }
    }

    fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        // Every change is one step.
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    mod tests {
        use std::fs;
        use std::sync::mpsc::{self, Receiver};
        use std::time::Duration;

        use rustix::fs::{CWD, FileType, Mode, mknodat};

        use super::*;

        /// The paths of the notices until one is about `last`, and whether they are gone.
        fn until(notices: &Receiver<Notice>, last: &Path) -> Vec<(PathBuf, bool)> {
            let mut all = Vec::new();
            loop {
                match notices.recv_timeout(Duration::from_secs(30)).expect("a notice") {
                    Notice::Missed => panic!("missed"),
                    Notice::Changed { path, is_gone } => {
                        let is_last = path == last;
                        all.push((path, is_gone));
                        if is_last {
                            return all;
                        }
                    }
                }
            }
        }

        /// Creates an empty file without opening it. A process that another test starts at this moment would have the open file for a
        /// while, and the notice of its end would come late.
        fn create(path: &Path) {
            mknodat(CWD, path, FileType::RegularFile, Mode::RUSR | Mode::WUSR, 0).unwrap();
        }

        #[test]
        fn changes_are_told_and_files_that_are_read_are_not() {
            let folder = tempfile::tempdir().unwrap();
            let [watched, other] = ["watched", "other"].map(|name| folder.path().join(name));
            fs::create_dir(&watched).unwrap();
            fs::create_dir(&other).unwrap();
            let (sender, notices) = mpsc::channel();
            let mut notifier = Notifier::new(move |notice| sender.send(notice).unwrap()).unwrap();
            notifier.watch(&watched).unwrap();
            let file = watched.join("a.pem");
            create(&file);
            assert_eq!(until(&notices, &file), [(file.clone(), false)]);
            // Reads, and changes in other directories, give no notice: the next one is about the removal.
            fs::read(&file).unwrap();
            fs::read_dir(&watched).unwrap().for_each(drop);
            create(&other.join("x"));
            fs::remove_file(&file).unwrap();
            assert_eq!(until(&notices, &file), [(file.clone(), true)]);
            create(&other.join("b"));
            fs::rename(other.join("b"), &file).unwrap();
            assert_eq!(until(&notices, &file), [(file.clone(), false)]);
            // The directory goes away.
            fs::remove_file(&file).unwrap();
            fs::remove_dir(&watched).unwrap();
            assert_eq!(until(&notices, &watched), [(file, true), (watched.clone(), true)]);
            assert_eq!(notifier.watch(&watched).unwrap_err().kind(), io::ErrorKind::NotFound);
            // Of a directory that is not watched any more, nothing is told.
            notifier.watch(&other).unwrap();
            notifier.unwatch(&other);
            create(&other.join("y"));
            drop(notifier);
            let told: Vec<Notice> = notices.iter().collect();
            let of_other =
                |notice: &&Notice| matches!(notice, Notice::Changed { path, .. } if path.starts_with(&other));
            assert_eq!(told.iter().find(of_other), None, "{told:?}");
        }
    }
}

/// Where the system gives no notices.
#[cfg(not(target_os = "linux"))]
mod without {
    use std::io;
    use std::path::Path;

    use super::Notice;

    #[derive(Debug)]
    pub(crate) enum Notifier {}

    impl Notifier {
        pub(crate) fn new(_: impl Fn(Notice) + Send + 'static) -> io::Result<Self> {
            Err(io::Error::from(io::ErrorKind::Unsupported))
        }

        pub(crate) fn watch(&mut self, _: &Path) -> io::Result<()> {
            match *self {}
        }

        pub(crate) fn unwatch(&mut self, _: &Path) {
            match *self {}
        }
    }
}
