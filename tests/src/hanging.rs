//! A file system that hangs: reads of some files are never answered, as those of a network file system whose server is gone. It is
//! mounted over FUSE, so that the reads hang in the kernel, where no signal ends them.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::io::{FdFlags, fcntl_setfd};

/// The largest message of the kernel, with room for a write.
const MESSAGE: usize = 256 * 1024;
/// The node of the directory. Files have the next ones.
const ROOT: u64 = 1;
/// Long ago, so that nobody reads a file because its times may hide a change.
const CHANGED: u64 = 1_700_000_000;
/// Errors: no such file, no space for further entries of the directory's list, no such call.
const ENOENT: i32 = 2;
const EROFS: i32 = 30;
const ENOSYS: i32 = 38;

/// A file of the file system.
#[derive(Clone, Debug)]
pub struct HangingFile {
    /// Its name.
    pub name: String,
    /// Its contents; `None`: reading it hangs.
    pub contents: Option<Vec<u8>>,
}

/// A mounted file system. Its drop ends all reads with an error, and unmounts it.
pub struct Hanging {
    at: PathBuf,
    hanging: Arc<AtomicUsize>,
}

impl Hanging {
    /// Mounts a file system with these files at a directory. If this system does not allow it, the test is
    /// [skipped](crate::skip).
    #[track_caller]
    pub fn mount(at: &Path, files: Vec<HangingFile>) -> Option<Hanging> {
        let skipped = || crate::skip("this user cannot mount a file system of its own (/dev/fuse)");
        let Ok(device) = OpenOptions::new().read(true).write(true).open("/dev/fuse") else {
            skipped();
            return None;
        };
        // `mount` inherits the descriptor under its number.
        fcntl_setfd(device.as_fd(), FdFlags::empty()).expect("fcntl");
        let number = std::os::fd::AsRawFd::as_raw_fd(&device);
        let options = format!("fd={number},rootmode=40755,user_id=0,group_id=0,allow_other");
        let mut mount = Command::new("mount");
        mount.args(["-i", "-t", "fuse", "-o", &options, "hanging"]).arg(at).stdin(Stdio::null());
        let is_mounted = mount.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        fcntl_setfd(device.as_fd(), FdFlags::CLOEXEC).expect("fcntl");
        if !is_mounted {
            skipped();
            return None;
        }
        let hanging = Arc::new(AtomicUsize::new(0));
        let server = Server { device, files, hanging: Arc::clone(&hanging) };
        std::thread::spawn(move || server.serve());
        Some(Hanging { at: at.to_owned(), hanging })
    }

    /// How many reads hang.
    pub fn count(&self) -> usize {
        self.hanging.load(Ordering::SeqCst)
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        // Forced: this ends the requests without an answer.
        let _ = Command::new("umount").arg("-f").arg(&self.at).stderr(Stdio::null()).status();
        let _ = Command::new("umount").arg("-l").arg(&self.at).stderr(Stdio::null()).status();
    }
}

struct Server {
    device: File,
    files: Vec<HangingFile>,
    hanging: Arc<AtomicUsize>,
}

/// What a request is answered.
enum Reply {
    Data(Vec<u8>),
    Error(i32),
    Nothing,
}

impl Server {
    /// Answers the kernel until the file system is unmounted.
    fn serve(mut self) {
        let mut message = vec![0; MESSAGE];
        while let Ok(length) = self.device.read(&mut message) {
            let Some(request) = message.get(..length).filter(|request| request.len() >= 40) else { return };
            let (unique, reply) = (number(request, 8, 8), self.reply(request));
            let (error, data) = match reply {
                Reply::Data(data) => (0, data),
                Reply::Error(error) => (-error, Vec::new()),
                Reply::Nothing => continue,
            };
            let mut out = Message::default();
            out.u32(16 + data.len() as u64).u32(error as u32 as u64).u64(unique);
            out.0.extend(data);
            if self.device.write_all(&out.0).is_err() {
                return;
            }
        }
    }

    fn reply(&self, request: &[u8]) -> Reply {
        let (code, node) = (number(request, 4, 4), number(request, 16, 8));
        let body = request.get(40..).unwrap_or_default();
        let mut out = Message::default();
        match code {
            // LOOKUP
            1 => {
                let name = body.strip_suffix(&[0]).unwrap_or(body);
                let Some(place) = self.files.iter().position(|file| file.name.as_bytes() == name) else {
                    return Reply::Error(ENOENT);
                };
                let node = ROOT + 1 + place as u64;
                out.u64(node).u64(0).u64(3600).u64(3600).u32(0).u32(0);
                self.attributes(node, &mut out);
            }
            // GETATTR
            3 => {
                out.u64(3600).u32(0).u32(0);
                self.attributes(node, &mut out);
            }
            // OPEN, OPENDIR
            14 | 27 => _ = out.u64(0).u32(0).u32(0),
            // READ
            15 => {
                let (offset, size) = (number(body, 8, 8) as usize, number(body, 16, 4) as usize);
                let Some(contents) = self.file(node).and_then(|file| file.contents.as_ref()) else {
                    self.hanging.fetch_add(1, Ordering::SeqCst);
                    return Reply::Nothing;
                };
                out.0.extend(contents.iter().skip(offset).take(size));
            }
            // STATFS
            17 => out.0.resize(80, 0),
            // INIT: version 7.31, and no extras.
            26 => {
                out.u32(7).u32(31).u32(0).u32(0).u32(0).u32(64 * 1024).u32(1);
                out.0.resize(64, 0);
            }
            // READDIR
            28 => self.entries(number(body, 8, 8) as usize, number(body, 16, 4) as usize, &mut out),
            // RELEASE, FLUSH, RELEASEDIR, ACCESS
            18 | 25 | 29 | 34 => {}
            // FORGET, INTERRUPT, BATCH_FORGET have no answer.
            2 | 36 | 42 => return Reply::Nothing,
            // MKNOD, UNLINK, CREATE
            8 | 10 | 35 => return Reply::Error(EROFS),
            _ => return Reply::Error(ENOSYS),
        }
        Reply::Data(out.0)
    }

    fn file(&self, node: u64) -> Option<&HangingFile> {
        self.files.get(usize::try_from(node.checked_sub(ROOT + 1)?).ok()?)
    }

    fn attributes(&self, node: u64, out: &mut Message) {
        let size = self.file(node).map_or(0, |file| file.contents.as_ref().map_or(1000, Vec::len));
        let mode = if node == ROOT { 0o040_755 } else { 0o100_644 };
        out.u64(node).u64(size as u64).u64(1).u64(CHANGED).u64(CHANGED).u64(CHANGED).u32(0).u32(0).u32(0);
        out.u32(mode).u32(1).u32(0).u32(0).u32(0).u32(4096).u32(0);
    }

    fn entries(&self, from: usize, size: usize, out: &mut Message) {
        for (place, file) in self.files.iter().enumerate().skip(from) {
            let padded = file.name.len().div_ceil(8) * 8;
            if out.0.len() + 24 + padded > size {
                return;
            }
            let end = out.0.len() + 24 + padded;
            out.u64(ROOT + 1 + place as u64).u64(place as u64 + 1).u32(file.name.len() as u64).u32(8);
            out.0.extend(file.name.as_bytes());
            out.0.resize(end, 0);
        }
    }
}

/// A message in the machine's byte order.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn u32(&mut self, value: u64) -> &mut Self {
        self.0.extend((value as u32).to_ne_bytes());
        self
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend(value.to_ne_bytes());
        self
    }
}

/// The number of this many bytes at a place.
fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let digits = bytes.get(at..at + length).unwrap_or_default().iter().rev();
    digits.fold(0, |number, digit| number << 8 | u64::from(*digit))
}
