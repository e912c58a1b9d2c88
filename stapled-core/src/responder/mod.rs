//! A local OCSP responder (feature `responder`): a cache for servers that ask by themselves.
//!
//! A [`Responder`] answers with the bytes of verified staples and with nothing else: those of the stapler's certificates, which it
//! gets as a sink, and those of other certificates of the same issuers, about which it asks the CA when a server asks. What
//! cannot be stapled gets an unsigned error (RFC 6960 §2.3), which servers do not staple.
//!
//! `key` has the parts of a CertID, `prepared` an answer that is ready to be sent, and `table` all of them, which questions
//! read without a lock. `sink` fills the table. `index` has the issuers that may be asked, and the stapler's certificates.
//! `limits` and `asked` bound the questions to the CA and the memory of their results, `decide` chooses the answer, `http` reads
//! questions, and `tally` counts them.

pub mod allowed;
mod asked;
mod decide;
mod http;
mod index;
mod key;
mod limits;
mod parts;
mod prepared;
mod reply;
mod served;
mod sink;
mod table;
mod tally;

pub use served::Responder;
