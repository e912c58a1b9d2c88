//! A responder that answers from files, without a key.

use std::future::Future;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use tokio::net::TcpListener;

use crate::background::Repeating;
use crate::clock;
use crate::hash::etag;
use crate::http_server::Limits;
use crate::identity::IssuerIdentity;
use crate::ocsp::{OcspRequest, ResponseStatus};
use crate::responder::file_names::{self, FIRST, Named, file_name};
use crate::responder::http::{self, Caching, OCSP_RESPONSE, Question};
use crate::responder::policy::Clock;
use crate::responder::published_crl::LONGEST_AGE;
use crate::responder::response_file::{FileAuthority, FileCrl, FileResponse, ResponseFile, ResponseFileError};
use crate::responder::server;

/// The time between two looks at the files.
const PAUSE: Duration = Duration::from_millis(200);
/// The time after a file could not be read until the next attempt, in seconds. A file may be large.
const RETRY: i64 = 10;
/// How far the clock of the machine that signs may be ahead, in seconds.
const SKEW: i64 = 600;
/// The time between two warnings about responses that are not valid, in seconds.
const REPORT: i64 = 60;

/// An OCSP responder that answers from files that [`crate::Responder::write_responses`] made. It has no key, so it answers
/// `unauthorized` about certificates that are not in the files (RFC 6960, 2.3), and `internalError` when the response in a file
/// is not valid now: it never sends an expired response.
pub struct FileResponder {
    files: Vec<WatchedFile>,
    clock: Clock,
    /// When it was last reported that a response is not valid, in Unix seconds.
    reported_at: AtomicI64,
}

/// A file and what was read from it last.
struct WatchedFile {
    path: PathBuf,
    contents: RwLock<Arc<ResponseFile>>,
    last: Mutex<Look>,
}

/// The result of the last reading of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It is in use, or there was none.
    Settled,
    /// It was older than the one in use.
    Older,
    /// It could not be read at this time, in Unix seconds: perhaps while it was written.
    Failed(i64),
}

/// What the last look at a file found.
#[derive(Debug)]
struct Look {
    /// The state of the file; `None` when there was none.
    stamp: Option<Stamp>,
    outcome: Outcome,
    /// When the file in use was made, in Unix seconds. A file that was made before is older. If its time is in the future, the time
    /// of the first look counts; if it is far in the future, its clock was wrong, and every file counts.
    newest: i64,
}

/// Looks for replaced files until it is dropped.
#[derive(Debug)]
pub struct FileWatch {
    _repeating: Repeating,
}

impl FileResponder {
    /// Reads the files.
    ///
    /// # Errors
    /// When a file cannot be read, is damaged, or has another authority with the same file name as an authority of a file before.
    pub fn open<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> Result<Self, ResponseFileError> {
        let mut files: Vec<WatchedFile> = Vec::new();
        for path in paths {
            let file = WatchedFile::open(path.as_ref())?;
            check_names(path.as_ref(), files.iter().map(WatchedFile::contents).chain([file.contents()]))?;
            files.push(file);
        }
        Ok(Self { files, clock: Arc::new(clock::now), reported_at: AtomicI64::new(i64::MIN) })
    }

    /// Uses this clock. Default: the system's.
    #[must_use]
    pub fn clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Reads the files that were replaced since the last look. A file that cannot be read, is damaged, or is older than the one in
    /// use is reported as a warning, and the contents before stay in use. A file that could not be read is tried again every ten
    /// seconds.
    pub fn reload(&self) {
        let now = (self.clock)();
        for file in &self.files {
            file.reload(now, |contents| {
                let others = self.files.iter().filter(|other| !std::ptr::eq(*other, file)).map(WatchedFile::contents);
                check_names(&file.path, others.chain([Arc::clone(contents)]))
            });
        }
    }

    /// Starts a thread that calls [`FileResponder::reload`] five times a second.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn watch(self: &Arc<Self>) -> io::Result<FileWatch> {
        let responder = Arc::clone(self);
        let look = move || {
            responder.reload();
            Some(PAUSE)
        };
        Ok(FileWatch { _repeating: Repeating::start("response files", look)? })
    }

    /// Answers on a listener until `shutdown` ends. Then open connections have a second to finish.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, limits: Limits, shutdown: impl Future<Output = ()>) {
        server::serve(self, listener, limits, shutdown).await;
    }

    /// Warns that a response is not valid, at most once a minute.
    fn report_not_valid(&self, now: i64) {
        let last = self.reported_at.load(Ordering::Relaxed);
        // A clock that was set back does not prolong the pause.
        if !(last..last.saturating_add(REPORT)).contains(&now) {
            self.reported_at.store(now, Ordering::Relaxed);
            tracing::warn!(
                "responses in the files are not valid now and are not sent; run `stapled-ca presign` and check the clock"
            );
        }
    }

    /// The HTTP response to a request. The response to HEAD is the one to GET without its body.
    #[must_use]
    pub fn answer(&self, question: Question<'_>) -> Response<Full<Bytes>> {
        question.finish(self.answer_whole(question))
    }

    /// The response with its body, also to HEAD.
    fn answer_whole(&self, question: Question<'_>) -> Response<Full<Bytes>> {
        let now = (self.clock)();
        let contents = self.files.iter().map(WatchedFile::contents).collect::<Vec<_>>();
        if question.is_read()
            && let Some(response) = issuer_file(&contents, &question, now)
        {
            return response;
        }
        http::to_ocsp_request(&question, |request| match find(&contents, request, now) {
            Ok(response) => respond(&response, &question, now),
            Err(status) => {
                if status == ResponseStatus::InternalError {
                    self.report_not_valid(now);
                }
                http::refusal(status)
            }
        })
    }
}

impl server::Answers for FileResponder {
    fn answer(&self, question: Question<'_>) -> Response<Full<Bytes>> {
        FileResponder::answer(self, question)
    }
}

/// The newest response to a request that is valid at `now`.
fn find(files: &[Arc<ResponseFile>], request: &[u8], now: i64) -> Result<FileResponse, ResponseStatus> {
    let request = OcspRequest::from_der(request).map_err(|_| ResponseStatus::MalformedRequest)?;
    // A response about several certificates would have to be signed.
    let [cert_id] = request.cert_ids.as_slice() else { return Err(ResponseStatus::Unauthorized) };
    let all = || files.iter().filter_map(|file| file.find(cert_id));
    let valid = all().filter(|response| (response.this_update..response.next_update).contains(&now));
    match valid.max_by_key(|response| response.this_update) {
        Some(response) => Ok(response.clone()),
        None if all().next().is_some() => Err(ResponseStatus::InternalError),
        None => Err(ResponseStatus::Unauthorized),
    }
}

/// Refuses files in which different authorities have the same file name. The error names the last file.
fn check_names(last: &Path, files: impl IntoIterator<Item = Arc<ResponseFile>>) -> Result<(), ResponseFileError> {
    let mut named = Vec::new();
    for file in files {
        named.extend(file.authorities.iter().map(|authority| Named {
            name: authority.name.clone(),
            shown: authority.name.clone(),
            identity: IssuerIdentity::from_certificate(&authority.certificate),
        }));
    }
    file_names::check(&named).map_err(|source| ResponseFileError::Names { path: last.to_owned(), source })
}

fn respond(response: &FileResponse, question: &Question<'_>, now: i64) -> Response<Full<Bytes>> {
    let etag = etag(&response.body);
    let caching = Caching {
        etag: &etag,
        // The next file comes before the end of the responses.
        max_age: (response.next_update - now) / 2,
        last_modified: response.this_update,
        expires: response.next_update,
    };
    http::cached(OCSP_RESPONSE, &response.body, &caching, question.knows(&etag))
}

/// The certificate or revocation list of an authority at this path; `None` for other paths.
fn issuer_file(files: &[Arc<ResponseFile>], question: &Question<'_>, now: i64) -> Option<Response<Full<Bytes>>> {
    let (name, suffix) = question.path.strip_prefix('/')?.rsplit_once('.')?;
    let authorities = || files.iter().flat_map(|file| &file.authorities);
    let is_named = |authority: &&FileAuthority| name == FIRST || file_name(&authority.name) == name;
    // "ca" is the first authority.
    let first = authorities().find(is_named)?;
    match suffix {
        "crt" => Some(http::certificate(first.certificate.clone())),
        "crl" => {
            let same = |authority: &&FileAuthority| authority.certificate == first.certificate;
            let lists = authorities().filter(same).filter_map(|authority| authority.crl.as_ref());
            let is_valid = |list: &&FileCrl| (list.this_update..list.next_update).contains(&now);
            let newest = lists.filter(is_valid).max_by_key(|list| list.this_update);
            let Some(list) = newest else { return Some(http::unavailable()) };
            let caching = Caching {
                etag: &list.etag,
                max_age: ((list.next_update - now) / 2).min(LONGEST_AGE),
                last_modified: list.this_update,
                expires: list.next_update,
            };
            Some(http::cached(http::CRL, &list.body, &caching, question.knows(&list.etag)))
        }
        _ => None,
    }
}

impl WatchedFile {
    fn open(path: &Path) -> Result<Self, ResponseFileError> {
        // The stamp is taken first: a file that is replaced in between is read again.
        let stamp = Stamp::of(path).ok();
        let contents = ResponseFile::read(path)?;
        tracing::info!(file = %path.display(), responses = contents.len(), "read");
        let last = Mutex::new(Look { stamp, outcome: Outcome::Settled, newest: contents.made_at });
        Ok(Self { path: path.to_owned(), contents: RwLock::new(Arc::new(contents)), last })
    }

    fn contents(&self) -> Arc<ResponseFile> {
        Arc::clone(&self.contents.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the file if it was replaced. `check` refuses contents that do not fit those of the other files.
    fn reload(&self, now: i64, check: impl Fn(&Arc<ResponseFile>) -> Result<(), ResponseFileError>) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.newest = if last.newest > now + SKEW { i64::MIN } else { last.newest.min(now) };
        let stamp = Stamp::of(&self.path);
        let known = stamp.as_ref().ok().copied();
        let is_changed = last.stamp != known;
        let is_tried_again = match last.outcome {
            Outcome::Settled => false,
            Outcome::Older => last.newest == i64::MIN,
            // A clock that was set back does not prolong the pause.
            Outcome::Failed(at) => !(at..at + RETRY).contains(&now),
        };
        if !is_changed && !is_tried_again {
            return;
        }
        last.stamp = known;
        let file = self.path.display();
        let read = match stamp {
            Ok(_) => ResponseFile::read(&self.path).and_then(|contents| {
                let contents = Arc::new(contents);
                check(&contents).map(|()| contents)
            }),
            Err(source) => Err(ResponseFileError::Read { path: self.path.clone(), source }),
        };
        last.outcome = match read {
            Ok(contents) if contents.made_at < last.newest => {
                tracing::warn!(%file, "the file is older than the one in use, which stays in use");
                Outcome::Older
            }
            Ok(contents) => {
                tracing::info!(%file, responses = contents.len(), "read again");
                last.newest = contents.made_at;
                *self.contents.write().unwrap_or_else(PoisonError::into_inner) = contents;
                Outcome::Settled
            }
            Err(error) => {
                // Each state of the file is reported once.
                if is_changed {
                    tracing::warn!(%error, "the responses that were read before stay in use");
                }
                // A file that appears is a change.
                known.map_or(Outcome::Settled, |_| Outcome::Failed(now))
            }
        };
    }
}

/// Distinguishes two states of a file: a rename gives a new inode, a write in place a new time or size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

impl std::fmt::Debug for FileResponder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.files.iter().map(|file| &file.path)).finish()
    }
}
