//! The reason codes of this crate: stable words for what its errors are about.
//!
//! The codes of [`Requirements::check`](stapled_core::sink::Requirements::check) (`too_large`, `unfit_certid`,
//! `several_responses`, `missing_next_update`, `expires_too_soon`) come on top.

use stapled_core::reason::ReasonCode;

// Unreachable: HAProxy is not there, or does not speak.

/// There is no socket at this path.
pub const SOCKET_MISSING: ReasonCode = ReasonCode::new("socket_missing");
/// The socket is there, nobody listens.
pub const SOCKET_REFUSED: ReasonCode = ReasonCode::new("socket_refused");
/// The socket's file mode keeps us out.
pub const SOCKET_PERMISSION: ReasonCode = ReasonCode::new("socket_permission");
/// The path is some other kind of file.
pub const NOT_A_SOCKET: ReasonCode = ReasonCode::new("not_a_socket");
/// Connecting took too long.
pub const CONNECT_TIMEOUT: ReasonCode = ReasonCode::new("connect_timeout");
/// A reply did not come, or did not end, in time.
pub const REPLY_TIMEOUT: ReasonCode = ReasonCode::new("reply_timeout");
/// The connection ended within a reply.
pub const CONNECTION_CLOSED: ReasonCode = ReasonCode::new("connection_closed");
/// What came is not HAProxy's prompt, or more came than was asked for.
pub const GARBLED_REPLY: ReasonCode = ReasonCode::new("garbled_reply");
/// A reply that does not end.
pub const REPLY_TOO_LARGE: ReasonCode = ReasonCode::new("reply_too_large");
/// The master process answered where a worker was expected, or the other way round.
pub const MASTER_SOCKET: ReasonCode = ReasonCode::new("master_socket");
/// The worker behind a master has ended, or the master has none.
pub const WORKER_GONE: ReasonCode = ReasonCode::new("worker_gone");
/// Any other failure of the socket.
pub const SOCKET_ERROR: ReasonCode = ReasonCode::new("socket_error");
/// The clock was set back while a withdrawal waited for its turn, so that it was not sent.
pub const CLOCK_SET_BACK: ReasonCode = ReasonCode::new("clock_set_back");
/// The writer ended while it was at it, as at the end of the program.
pub const WRITER_STOPPED: ReasonCode = ReasonCode::new("writer_stopped");

// Problems of a source.

/// The process has another certificate loaded than its file holds.
pub const SERVED_DIFFERS: ReasonCode = ReasonCode::new("served_differs");
/// The process has a certificate loaded that no readable file holds.
pub const UNREADABLE_CERTIFICATE: ReasonCode = ReasonCode::new("unreadable_certificate");
/// The process was started with other files than the configuration that was named.
pub const OTHER_CONFIGURATION: ReasonCode = ReasonCode::new("other_configuration");
/// The process has a certificate loaded that its configuration, as it is now, does not name.
pub const NOT_IN_CONFIGURATION: ReasonCode = ReasonCode::new("not_in_configuration");
/// The scan itself broke off.
pub const SCAN_FAILED: ReasonCode = ReasonCode::new("scan_failed");

// Refused: HAProxy said no.

/// The socket's level does not allow the command.
pub const PERMISSION_DENIED: ReasonCode = ReasonCode::new("permission_denied");
/// HAProxy has not loaded the certificate.
pub const NOT_LOADED: ReasonCode = ReasonCode::new("not_loaded");
/// HAProxy has loaded the certificate and uses it nowhere, as between `new ssl cert` and `add ssl crt-list`.
pub const CERTIFICATE_UNUSED: ReasonCode = ReasonCode::new("certificate_unused");
/// HAProxy has loaded another certificate from this place: the file was renewed, HAProxy was not told.
pub const CERTIFICATE_DIFFERS: ReasonCode = ReasonCode::new("certificate_differs");
/// HAProxy before 3.0 has put a certificate that somebody else set at the moment of a first staple under another one's
/// name. A reload brings back what the files say.
pub const CERTIFICATE_MIXED_UP: ReasonCode = ReasonCode::new("certificate_mixed_up");
/// The certificate's name cannot be said on the command line.
pub const UNUSABLE_NAME: ReasonCode = ReasonCode::new("unusable_name");
/// Somebody else is changing certificates: their transaction comes first.
pub const FOREIGN_TRANSACTION: ReasonCode = ReasonCode::new("foreign_transaction");
/// A first staple would take a transaction, which is not to be used there ([`Transactions`](crate::Transactions)).
pub const TRANSACTIONS_OFF: ReasonCode = ReasonCode::new("transactions_off");
/// HAProxy did not take the response; its words are in the message.
pub const REJECTED: ReasonCode = ReasonCode::new("rejected");
/// HAProxy would not begin or commit the change; its words are in the message.
pub const COMMIT_FAILED: ReasonCode = ReasonCode::new("commit_failed");
/// The change was committed, but HAProxy does not find the certificate by its CertID afterwards.
pub const NOT_CONFIRMED: ReasonCode = ReasonCode::new("not_confirmed");
/// HAProxy takes another certificate for the issuer, which has the issuer's name and comes first in its chain: it looks for
/// staples by another CertID. So it stays until HAProxy loads another chain.
pub const WRONG_ISSUER_FIRST: ReasonCode = stapled_core::io::file::codes::WRONG_ISSUER_FIRST;

// What a configuration of HAProxy says that cannot be used, or may mean something else to HAProxy.

/// A configuration, or a directory of them, cannot be read.
pub const CONFIGURATION_UNREADABLE: ReasonCode = ReasonCode::new("configuration_unreadable");
/// It is just being written, or was cut off: what it said before is still taken for true.
pub const CONFIGURATION_UNFINISHED: ReasonCode = ReasonCode::new("configuration_unfinished");
/// A line that HAProxy would not start with.
pub const CONFIGURATION_LINE: ReasonCode = ReasonCode::new("configuration_line");
/// There is more of something than is read.
pub const CONFIGURATION_TOO_LARGE: ReasonCode = ReasonCode::new("configuration_too_large");
/// A condition of `.if` or `.elif` depends on the running HAProxy: read both ways.
pub const CONDITION_UNDECIDED: ReasonCode = ReasonCode::new("condition_undecided");
/// An environment variable has another value here than for HAProxy, perhaps.
pub const VARIABLE_UNKNOWN: ReasonCode = ReasonCode::new("variable_unknown");
/// A relative path begins in HAProxy's directory, which is not known.
pub const RELATIVE_PATH: ReasonCode = ReasonCode::new("relative_path");
/// There is no such certificate.
pub const CRT_MISSING: ReasonCode = ReasonCode::new("crt_missing");
/// A crt-list cannot be read.
pub const CRT_LIST_UNREADABLE: ReasonCode = ReasonCode::new("crt_list_unreadable");
/// A directory of certificates cannot be read.
pub const CRT_DIRECTORY_UNREADABLE: ReasonCode = ReasonCode::new("crt_directory_unreadable");
/// An admin socket that cannot be connected to, or not talked to.
pub const SOCKET_UNUSABLE: ReasonCode = ReasonCode::new("socket_unusable");
/// No admin socket has the level that a first staple takes.
pub const SOCKET_LEVEL: ReasonCode = ReasonCode::new("socket_level");
/// There is no admin socket in the configuration.
pub const SOCKET_MISSING_IN_CONFIGURATION: ReasonCode = ReasonCode::new("no_admin_socket");
