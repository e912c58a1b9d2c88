//! The reason codes of this crate: stable names of its errors, for people and programs outside.
//!
//! The codes of [`Requirements::check`](stapled_core::sink::Requirements::check) (`too_large`, `unfit_certid`,
//! `several_responses`, `missing_next_update`, `expires_too_soon`) come in addition.

use stapled_core::reason::ReasonCode;

// Unreachable: HAProxy does not run, or does not answer.

/// There is no socket at this path.
pub const SOCKET_MISSING: ReasonCode = ReasonCode::new("socket_missing");
/// The socket exists and no process listens on it.
pub const SOCKET_REFUSED: ReasonCode = ReasonCode::new("socket_refused");
/// The mode of the socket's file does not let this user connect.
pub const SOCKET_PERMISSION: ReasonCode = ReasonCode::new("socket_permission");
/// The path is another kind of file.
pub const NOT_A_SOCKET: ReasonCode = ReasonCode::new("not_a_socket");
/// Connecting took too long.
pub const CONNECT_TIMEOUT: ReasonCode = ReasonCode::new("connect_timeout");
/// A reply did not arrive, or did not end, in time.
pub const REPLY_TIMEOUT: ReasonCode = ReasonCode::new("reply_timeout");
/// The connection ended within a reply.
pub const CONNECTION_CLOSED: ReasonCode = ReasonCode::new("connection_closed");
/// The server sent something else than HAProxy's prompt, or more than was asked for.
pub const GARBLED_REPLY: ReasonCode = ReasonCode::new("garbled_reply");
/// A reply is larger than any valid one.
pub const REPLY_TOO_LARGE: ReasonCode = ReasonCode::new("reply_too_large");
/// The master process answered where a worker was expected, or the other way round.
pub const MASTER_SOCKET: ReasonCode = ReasonCode::new("master_socket");
/// The worker behind a master has ended, or the master has none.
pub const WORKER_GONE: ReasonCode = ReasonCode::new("worker_gone");
/// Any other failure of the socket.
pub const SOCKET_ERROR: ReasonCode = ReasonCode::new("socket_error");
/// The clock was set back while a withdrawal waited for its turn, so the withdrawal was not sent.
pub const CLOCK_SET_BACK: ReasonCode = ReasonCode::new("clock_set_back");
/// The task of the channel was aborted, as at the end of the program.
pub const WRITER_STOPPED: ReasonCode = ReasonCode::new("writer_stopped");

// Problems of a source.

/// The process has loaded another certificate than its file holds.
pub const SERVED_DIFFERS: ReasonCode = ReasonCode::new("served_differs");
/// The process has loaded a certificate that no readable file holds.
pub const UNREADABLE_CERTIFICATE: ReasonCode = ReasonCode::new("unreadable_certificate");
/// The process was started with other files than the named configuration.
pub const OTHER_CONFIGURATION: ReasonCode = ReasonCode::new("other_configuration");
/// The process has loaded a certificate that its configuration, as it is now, does not name.
pub const NOT_IN_CONFIGURATION: ReasonCode = ReasonCode::new("not_in_configuration");
/// The scan itself ended early.
pub const SCAN_FAILED: ReasonCode = ReasonCode::new("scan_failed");
/// HAProxy serves a certificate that lies in none of the watched paths.
pub const NOT_IN_PATHS: ReasonCode = ReasonCode::new("not_in_paths");

// Refused by HAProxy.

/// The socket's level does not allow the command.
pub const PERMISSION_DENIED: ReasonCode = ReasonCode::new("permission_denied");
/// HAProxy has not loaded the certificate.
pub const NOT_LOADED: ReasonCode = ReasonCode::new("not_loaded");
/// HAProxy has loaded the certificate and uses it nowhere, as between `new ssl cert` and `add ssl crt-list`.
pub const CERTIFICATE_UNUSED: ReasonCode = ReasonCode::new("certificate_unused");
/// HAProxy has loaded another certificate under this name: the file was renewed, and HAProxy was not reloaded.
pub const CERTIFICATE_DIFFERS: ReasonCode = ReasonCode::new("certificate_differs");
/// HAProxy before 3.0 has put a certificate that another client set at the moment of a first staple under the wrong name. A
/// reload loads the certificates of the files.
pub const CERTIFICATE_MIXED_UP: ReasonCode = ReasonCode::new("certificate_mixed_up");
/// The certificate's name cannot be written on HAProxy's command line.
pub const UNUSABLE_NAME: ReasonCode = ReasonCode::new("unusable_name");
/// The stapling of the certificate is turned off.
pub(crate) const OFF: ReasonCode = ReasonCode::new("off");
/// The name of the certificate's file is not UTF-8, so that it cannot be written on HAProxy's command line.
pub const NAME_NOT_UTF8: ReasonCode = ReasonCode::new("name_not_utf8");
/// Another client is changing certificates: its transaction comes first.
pub const FOREIGN_TRANSACTION: ReasonCode = ReasonCode::new("foreign_transaction");
/// A first staple needs a transaction, and transactions are not allowed there ([`Transactions`](crate::Transactions)).
pub const TRANSACTIONS_OFF: ReasonCode = ReasonCode::new("transactions_off");
/// HAProxy refused the response; the message quotes its reply.
pub const REJECTED: ReasonCode = ReasonCode::new("rejected");
/// HAProxy did not begin or commit the change; the message quotes its reply.
pub const COMMIT_FAILED: ReasonCode = ReasonCode::new("commit_failed");
/// The change was committed, but HAProxy does not find the certificate by its CertID afterwards.
pub const NOT_CONFIRMED: ReasonCode = ReasonCode::new("not_confirmed");
/// HAProxy takes another certificate for the issuer, which has the issuer's name and comes first in the chain, and computes
/// another CertID. Only another chain changes that.
pub const WRONG_ISSUER_FIRST: ReasonCode = stapled_core::io::file::codes::WRONG_ISSUER_FIRST;

// Lines of HAProxy's configuration that cannot be used, or that HAProxy may read differently.

/// A configuration, or a directory of them, cannot be read.
pub const CONFIGURATION_UNREADABLE: ReasonCode = ReasonCode::new("configuration_unreadable");
/// The configuration is being written, or was cut off: its former contents still count.
pub const CONFIGURATION_UNFINISHED: ReasonCode = ReasonCode::new("configuration_unfinished");
/// HAProxy would not start with this line.
pub const CONFIGURATION_LINE: ReasonCode = ReasonCode::new("configuration_line");
/// The configuration is larger than the limits of this program.
pub const CONFIGURATION_TOO_LARGE: ReasonCode = ReasonCode::new("configuration_too_large");
/// A condition of `.if` or `.elif` depends on the running HAProxy: both branches are read.
pub const CONDITION_UNDECIDED: ReasonCode = ReasonCode::new("condition_undecided");
/// An environment variable may have another value for HAProxy.
pub const VARIABLE_UNKNOWN: ReasonCode = ReasonCode::new("variable_unknown");
/// A relative path begins in HAProxy's directory, which is not known.
pub const RELATIVE_PATH: ReasonCode = ReasonCode::new("relative_path");
/// The certificate does not exist.
pub const CRT_MISSING: ReasonCode = ReasonCode::new("crt_missing");
/// A crt-list cannot be read.
pub const CRT_LIST_UNREADABLE: ReasonCode = ReasonCode::new("crt_list_unreadable");
/// A directory of certificates cannot be read.
pub const CRT_DIRECTORY_UNREADABLE: ReasonCode = ReasonCode::new("crt_directory_unreadable");
/// An admin socket cannot be connected to, or speaks another protocol.
pub const SOCKET_UNUSABLE: ReasonCode = ReasonCode::new("socket_unusable");
/// No admin socket has the level that a first staple needs.
pub const SOCKET_LEVEL: ReasonCode = ReasonCode::new("socket_level");
/// The configuration has no admin socket.
pub const SOCKET_MISSING_IN_CONFIGURATION: ReasonCode = ReasonCode::new("no_admin_socket");

// Names of events that sinks and sources report by themselves.

/// Another client stapled a revoked certificate again.
pub(crate) const WITHDRAWN_AGAIN: ReasonCode = ReasonCode::new("withdrawn_again");
/// A change that another client began was committed with a first staple.
pub(crate) const FOREIGN_CHANGE_COMMITTED: ReasonCode = ReasonCode::new("foreign_change_committed");
/// The configuration can be read in two ways.
pub(crate) const CONFIGURATION_ADVICE: ReasonCode = ReasonCode::new("configuration_advice");
/// A running HAProxy differs from its configuration.
pub(crate) const CONFIGURATION_DIFFERS: ReasonCode = ReasonCode::new("configuration_differs");
/// A running HAProxy no longer differs from its configuration.
pub(crate) const CONFIGURATION_AGREES: ReasonCode = ReasonCode::new("configuration_agrees");
/// A process could not be asked for its certificates.
pub(crate) const NOT_SURVEYED: ReasonCode = ReasonCode::new("not_surveyed");
/// A worker of before a reload did not take a staple.
pub(crate) const OLD_WORKER_WITHOUT: ReasonCode = ReasonCode::new("old_worker_without");
/// A configuration that a process names could not be read.
pub(crate) const CONFIGURATION_NOT_READ: ReasonCode = ReasonCode::new("configuration_not_read");

// Findings of a check about certificates and their files.

/// A file has certificates of authorities only.
pub(crate) const ONLY_CA_CERTIFICATES: ReasonCode = ReasonCode::new("only_ca_certificates");
/// The file of a staple is a symbolic link, which is not followed to remove it.
pub(crate) const SYMBOLIC_LINK: ReasonCode = ReasonCode::new("symbolic_link");
/// The file of a staple, or its directory, changed while it was judged.
pub(crate) const STAPLE_FILE_CHANGED: ReasonCode = ReasonCode::new("staple_file_changed");
/// The file of a staple cannot be removed.
pub(crate) const STAPLE_FILE_NOT_REMOVED: ReasonCode = ReasonCode::new("staple_file_not_removed");
/// The version of HAProxy lacks the lock between a new response and handshakes.
pub(crate) const RESPONSE_RACE: ReasonCode = ReasonCode::new("response_race");
/// A file has several end-entity certificates.
pub(crate) const SEVERAL_CERTIFICATES: ReasonCode = ReasonCode::new("several_certificates");
/// HAProxy does not start, and refuses a reload, after a warning.
pub(crate) const ZERO_WARNING: ReasonCode = ReasonCode::new("zero_warning");
/// The file of a staple is good, and nothing renews it.
pub(crate) const STAPLE_NOT_RENEWED: ReasonCode = ReasonCode::new("staple_not_renewed");
/// A certificate names no OCSP responder, and needs no staple.
pub(crate) const NO_OCSP_URL: ReasonCode = ReasonCode::new("no_ocsp_url");
/// A certificate names no OCSP responder, and clients refuse it without a staple.
pub(crate) const MUST_STAPLE_WITHOUT_URL: ReasonCode = ReasonCode::new("must_staple_without_url");
/// HAProxy asks for the responses of a certificate itself.
pub(crate) const TWO_WRITERS: ReasonCode = ReasonCode::new("two_writers");
/// The issuer of a certificate is not known yet, and a stapler fetches it.
pub(crate) const ISSUER_TO_BE_FETCHED: ReasonCode = ReasonCode::new("issuer_to_be_fetched");
/// A staple lies beside a certificate whose issuer HAProxy does not find: HAProxy does not start.
pub(crate) const STAPLE_WITHOUT_ISSUER: ReasonCode = ReasonCode::new("staple_without_issuer");
/// The issuer file holds another certificate than the issuer.
pub(crate) const WRONG_ISSUER_FILE: ReasonCode = ReasonCode::new("wrong_issuer_file");
/// The staple in a file cannot be used.
pub(crate) const STAPLE_FILE_UNUSABLE: ReasonCode = ReasonCode::new("staple_file_unusable");
/// A staple file that the configuration names does not exist.
pub(crate) const STAPLE_FILE_MISSING: ReasonCode = ReasonCode::new("staple_file_missing");
/// The certificate is revoked.
pub(crate) const REVOKED: ReasonCode = ReasonCode::new("revoked");
/// The staple ends before HAProxy would serve it; the code of
/// [`Requirements::check`](stapled_core::sink::Requirements::check).
pub(crate) const EXPIRES_TOO_SOON: ReasonCode = ReasonCode::new("expires_too_soon");
/// Nothing was found that could be stapled.
pub(crate) const NO_CERTIFICATES: ReasonCode = ReasonCode::new("no_certificates");
/// No staple goes to a running HAProxy: staples are written to files only.
pub(crate) const NO_SOCKET: ReasonCode = ReasonCode::new("no_socket");
