//! The issuer of the certificate that `stapled fetch` asks about: in a file, beside the certificate, or from a caIssuers URL.

use std::path::Path;
use std::sync::Arc;

use stapled_core::bundle::{Bundle, BundleError};
use stapled_core::certificate::Certificate;
use stapled_core::chain::{CertChain, ChainError};
use stapled_core::fetch::OcspFetcher;
use stapled_core::io::certificate_file::issuer_file_of;
use stapled_core::lookup::search::IssuerSearch;
use stapled_core::reason::ReasonCode;

use super::input::{self, Input, InputError, MAX_FILE};

/// How many bytes are read from a caIssuers URL.
const MAX_ISSUER: usize = 64 * 1024;

/// Why there is no issuer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoIssuer {
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("--issuer: more than {MAX_FILE} bytes")]
    TooLarge,
    #[error("the issuer's certificate cannot be read: {0}")]
    Unreadable(BundleError),
    /// A candidate whose signature cannot be checked.
    #[error(transparent)]
    Unsupported(#[from] ChainError),
    #[error("{certificate} was issued by none of the certificates in {file}")]
    Wrong { certificate: String, file: String },
    #[error(
        "the certificate of its issuer is neither in {file} nor in {beside}, and cannot be fetched ({tried}): name it with \
         --issuer"
    )]
    Missing { file: String, beside: String, tried: String },
}

impl NoIssuer {
    /// The stable reason code.
    pub(super) fn code(&self) -> ReasonCode {
        match self {
            NoIssuer::TooLarge => ReasonCode::new("too_large"),
            NoIssuer::Input(_) | NoIssuer::Unreadable(_) => ReasonCode::new("malformed"),
            NoIssuer::Unsupported(error) => error.code(),
            NoIssuer::Wrong { .. } => ReasonCode::new("wrong_issuer"),
            NoIssuer::Missing { .. } => ReasonCode::new("issuer_missing"),
        }
    }
}

/// The chain, and the place where its issuer was found.
type Found = (Arc<CertChain>, String);

/// The chain with an issuer from the file that `--issuer` names.
pub(super) fn in_file(end_entity: &Arc<Certificate>, file: &Path) -> Result<Found, NoIssuer> {
    let Input::Bytes(bytes) = input::read(file)? else { return Err(NoIssuer::TooLarge) };
    let mut search = IssuerSearch::new(end_entity);
    let name = input::name(file);
    match (among(&mut search, &bytes), search.error(), Bundle::read_issuers(&bytes)) {
        (Some(chain), _, _) => Ok((chain, name)),
        (None, Some(unsupported), _) => Err(unsupported.into()),
        (None, None, Err(error)) => Err(NoIssuer::Unreadable(error)),
        (None, None, Ok(_)) => Err(NoIssuer::Wrong { certificate: end_entity.name().to_owned(), file: name }),
    }
}

/// The chain with an issuer from the certificate's own `contents`, from the issuer file beside `file`, or from a caIssuers
/// URL of the certificate.
pub(super) async fn around(
    end_entity: &Arc<Certificate>,
    file: &Path,
    contents: &[u8],
    fetcher: &impl OcspFetcher,
) -> Result<Found, NoIssuer> {
    let mut search = IssuerSearch::new(end_entity);
    if let Some(chain) = among(&mut search, contents) {
        return Ok((chain, input::name(file)));
    }
    let beside = issuer_file_of(file);
    if let Ok(Input::Bytes(bytes)) = input::read(&beside)
        && let Some(chain) = among(&mut search, &bytes)
    {
        return Ok((chain, beside.display().to_string()));
    }
    let mut tried = Vec::new();
    for url in end_entity.ca_issuers_urls() {
        match fetcher.fetch_issuer(url, MAX_ISSUER).await {
            Ok(bytes) => match among(&mut search, &bytes) {
                Some(chain) => return Ok((chain, url.clone())),
                None => tried.push(format!("{url}: no certificate that issued it")),
            },
            Err(error) => tried.push(error.to_string()),
        }
    }
    if let Some(unsupported) = search.error() {
        return Err(unsupported.into());
    }
    if tried.is_empty() {
        tried.push("the certificate says nowhere to fetch it".to_owned());
    }
    let (file, beside) = (input::name(file), beside.display().to_string());
    Err(NoIssuer::Missing { file, beside, tried: tried.join("; ") })
}

/// The chain with an issuer from these bytes, which may hold no certificate.
fn among(search: &mut IssuerSearch, bytes: &[u8]) -> Option<Arc<CertChain>> {
    let certificates = Bundle::read_issuers(bytes).map(|bundle| bundle.certificates).unwrap_or_default();
    let certificates: Vec<_> = certificates.into_iter().map(Arc::new).collect();
    search.among(&certificates).map(Arc::new)
}
