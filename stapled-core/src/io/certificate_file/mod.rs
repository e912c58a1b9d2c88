//! The file of a certificate, and the files around it: how they are named and read, and where a server that loads the
//! certificate looks for its issuer. Reading blocks.

mod around;
mod names;
mod read;

pub use around::{Around, ChainReader, IssuerFile};
#[cfg(feature = "files")]
pub(crate) use names::{STAPLE, TEMPORARY, with_suffix};
pub use names::{is_beside_certificate, issuer_file_of, staple_file_of};
pub use read::{ReadError, read_file, read_input, read_opened};
