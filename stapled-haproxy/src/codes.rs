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
/// The master process answered where a worker was expected.
pub const MASTER_SOCKET: ReasonCode = ReasonCode::new("master_socket");
/// The worker behind a master has ended, or the master has none.
pub const WORKER_GONE: ReasonCode = ReasonCode::new("worker_gone");
/// Any other failure of the socket.
pub const SOCKET_ERROR: ReasonCode = ReasonCode::new("socket_error");
/// The writer ended while it was at it, as at the end of the program.
pub const WRITER_STOPPED: ReasonCode = ReasonCode::new("writer_stopped");

// Problems of a source.

/// The process has another certificate loaded than its file holds.
pub const SERVED_DIFFERS: ReasonCode = ReasonCode::new("served_differs");
/// The process has a certificate loaded that no readable file holds.
pub const UNREADABLE_CERTIFICATE: ReasonCode = ReasonCode::new("unreadable_certificate");
/// The scan itself broke off.
pub const SCAN_FAILED: ReasonCode = ReasonCode::new("scan_failed");

// Refused: HAProxy said no.

/// The socket's level does not allow the command.
pub const PERMISSION_DENIED: ReasonCode = ReasonCode::new("permission_denied");
/// HAProxy has not loaded the certificate.
pub const NOT_LOADED: ReasonCode = ReasonCode::new("not_loaded");
/// HAProxy has loaded another certificate from this place: the file was renewed, HAProxy was not told.
pub const CERTIFICATE_DIFFERS: ReasonCode = ReasonCode::new("certificate_differs");
/// The certificate's name cannot be said on the command line.
pub const UNUSABLE_NAME: ReasonCode = ReasonCode::new("unusable_name");
/// Somebody else is changing certificates: their transaction comes first.
pub const FOREIGN_TRANSACTION: ReasonCode = ReasonCode::new("foreign_transaction");
/// HAProxy did not take the response; its words are in the message.
pub const REJECTED: ReasonCode = ReasonCode::new("rejected");
/// HAProxy would not begin or commit the change; its words are in the message.
pub const COMMIT_FAILED: ReasonCode = ReasonCode::new("commit_failed");
/// The change was committed, but HAProxy does not find the certificate by its CertID afterwards.
pub const NOT_CONFIRMED: ReasonCode = ReasonCode::new("not_confirmed");
