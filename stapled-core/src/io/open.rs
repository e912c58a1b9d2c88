//! Opens files without waiting for anybody.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a regular file to read it. Opening a FIFO would wait for a writer, and opening a device may do anything: neither
/// happens, even if one replaces the file meanwhile. Symbolic links are followed.
///
/// # Errors
///
/// The system's error; `InvalidInput` if it is not a regular file.
pub fn regular_file(path: &Path) -> io::Result<File> {
    Ok(regular_file_with_metadata(path)?.0)
}

/// The same, with what the open file says of itself.
pub(crate) fn regular_file_with_metadata(path: &Path) -> io::Result<(File, fs::Metadata)> {
    check(&fs::metadata(path)?)?;
    let file = OpenOptions::new().read(true).custom_flags(flags(OFlags::NONBLOCK)).open(path)?;
    let metadata = file.metadata()?;
    check(&metadata)?;
    Ok((file, metadata))
}

/// Fills a buffer from a file until the buffer is full or the file ends. Returns how much was read. A regular file that says that it has
/// this size ends there, if the buffer has room for more: no further read sees nothing but the end. Other files say 0.
pub(crate) fn fill(file: &mut File, buffer: &mut [u8], size: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
        match file.read(room) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if size > 0 && u64::try_from(filled) == Ok(size) {
            break;
        }
    }
    Ok(filled)
}

/// The directories of the descriptors that this process was started with, such as those of a shell's `<(…)`.
const DESCRIPTORS: [&str; 2] = ["/dev/fd/", "/proc/self/fd/"];

/// Opens what a user names to read it: a regular file, as [`regular_file`] does, or a descriptor that this process was started with,
/// such as `/dev/fd/3`, which may be of any kind.
///
/// # Errors
///
/// The system's error; `InvalidInput` if it is neither.
pub fn named_file(path: &Path) -> io::Result<File> {
    let is_descriptor = DESCRIPTORS.iter().any(|descriptors| path.starts_with(descriptors));
    if is_descriptor { File::open(path) } else { regular_file(path) }
}

/// Opens a regular file of this program's own, such as a lock, to read and write it, or creates it with this mode. Its contents stay.
/// A symbolic link is not followed: it could name a file of somebody else.
///
/// # Errors
///
/// The system's error; `InvalidInput` if it is not a regular file.
pub fn own_file(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(mode);
    let file = match options.custom_flags(flags(OFlags::NONBLOCK | OFlags::NOFOLLOW)).open(path) {
        Err(error) if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) => {
            let what = format!("a symbolic link, which is not followed: {error}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        opened => opened?,
    };
    check(&file.metadata()?)?;
    Ok(file)
}

fn check(metadata: &fs::Metadata) -> io::Result<()> {
    if metadata.is_file() { Ok(()) } else { Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")) }
}

fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::sync::atomic::{AtomicBool, Ordering};

    fn fifo(path: &Path) {
        assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    }

    #[test]
    fn a_fifo_is_refused_even_if_it_comes_in_place_of_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fifo(&path("fifo"));
        assert_eq!(regular_file(&path("fifo")).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(own_file(&path("fifo"), 0o600).unwrap_err().kind(), io::ErrorKind::InvalidInput);

        fs::write(path("x"), "text").unwrap();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    rustix::fs::renameat_with(
                        rustix::fs::CWD,
                        path("x"),
                        rustix::fs::CWD,
                        path("fifo"),
                        rustix::fs::RenameFlags::EXCHANGE,
                    )
                    .unwrap();
                }
            });
            let opened = (0..20_000).filter(|_| regular_file(&path("x")).is_ok()).count();
            is_over.store(true, Ordering::Relaxed);
            assert!((1..20_000).contains(&opened), "{opened}");
        });
    }

    #[test]
    fn a_file_is_read_to_its_end_whatever_size_it_says() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "contents").unwrap();
        let read = |room: usize, size: u64| {
            let mut buffer = vec![0; room];
            let filled = fill(&mut File::open(&path).unwrap(), &mut buffer, size).unwrap();
            String::from_utf8(buffer.get(..filled).unwrap().to_vec()).unwrap()
        };
        // It says its size, nothing, more than it has by now, or less.
        for size in [8, 0, 11] {
            assert_eq!(read(9, size), "contents");
            assert_eq!(read(100, size), "contents");
        }
        assert_eq!(read(7, 6), "content", "the buffer is full: the file is longer than it said");
        assert_eq!((read(0, 8), read(3, 8)), (String::new(), "con".to_owned()));

        // What has no size comes in pieces.
        let (reader, mut writer) = io::pipe().unwrap();
        let writes = std::thread::spawn(move || {
            for piece in ["con", "ten", "ts"] {
                io::Write::write_all(&mut writer, piece.as_bytes()).unwrap();
            }
        });
        let mut buffer = [0; 100];
        let filled = fill(&mut File::from(std::os::fd::OwnedFd::from(reader)), &mut buffer, 0).unwrap();
        assert_eq!(buffer.get(..filled), Some(&b"contents"[..]));
        writes.join().unwrap();
        assert!(fill(&mut File::open(directory.path()).unwrap(), &mut buffer, 0).is_err(), "a directory");
    }

    #[test]
    fn an_own_file_is_made_or_opened_and_never_through_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        own_file(&path("lock"), 0o600).unwrap();
        fs::write(path("other"), "precious").unwrap();
        own_file(&path("other"), 0o600).unwrap();
        for target in ["other", "nowhere"] {
            let _ = fs::remove_file(path("link"));
            std::os::unix::fs::symlink(path(target), path("link")).unwrap();
            let error = own_file(&path("link"), 0o600).unwrap_err();
            assert!(error.to_string().contains("symbolic link"), "{error}");
        }
        assert_eq!(fs::read_to_string(path("other")).unwrap(), "precious");
        assert!(!path("nowhere").exists());
    }
}
