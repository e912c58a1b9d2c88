//! The issuer of the certificate that `stapled fetch` asks about: in a file, beside the certificate, or from a caIssuers URL.

use std::path::Path;
use std::sync::Arc;

use stapled_core::bundle::Bundle;
use stapled_core::certificate::Certificate;
use stapled_core::chain::CertChain;
use stapled_core::fetch::OcspFetcher;
use stapled_core::io::certificate_file::issuer_file_of;
use stapled_core::lookup::search::IssuerSearch;
use stapled_core::reason::ReasonCode;
use stapled_core::verdict::Verdict;

use super::input::{self, InputError};

/// How many bytes are read from a caIssuers URL.
const MAX_ISSUER: usize = 64 * 1024;

/// The chain, and the place where its issuer was found.
pub(super) type Found = (CertChain, String);

/// The chain with an issuer from the file that `--issuer` names, or why there is none.
pub(super) fn in_file(end_entity: &Arc<Certificate>, file: &Path) -> Result<Result<Found, Verdict>, InputError> {
    let Some(bytes) = input::read(file)? else { return Ok(Err(input::too_large("--issuer"))) };
    let mut search = IssuerSearch::new(end_entity);
    let name = input::name(file);
    Ok(match (search.among_contents(&bytes), Bundle::read_issuers(&bytes)) {
        (Some(chain), _) => Ok((chain, name)),
        (None, Ok(_)) => Err(without_issuer(&search, "wrong_issuer", || {
            format!("{} was issued by none of the certificates in {name}", end_entity.name())
        })),
        (None, Err(error)) => {
            Err(without_issuer(&search, "malformed", || format!("the issuer's certificate cannot be read: {error}")))
        }
    })
}

/// The chain with an issuer from the certificate's own `contents`, from the issuer file beside `file`, or from a caIssuers
/// URL of the certificate; or why there is none.
pub(super) async fn around(
    end_entity: &Arc<Certificate>,
    file: &Path,
    contents: &[u8],
    fetcher: &impl OcspFetcher,
) -> Result<Found, Verdict> {
    let mut search = IssuerSearch::new(end_entity);
    if let Some(chain) = search.among_contents(contents) {
        return Ok((chain, input::name(file)));
    }
    let beside = issuer_file_of(file);
    if let Ok(Some(bytes)) = input::read(&beside)
        && let Some(chain) = search.among_contents(&bytes)
    {
        return Ok((chain, beside.display().to_string()));
    }
    let mut tried = Vec::new();
    for url in end_entity.ca_issuers_urls() {
        match fetcher.fetch_issuer(url, MAX_ISSUER).await {
            Ok(bytes) => match search.among_contents(&bytes) {
                Some(chain) => return Ok((chain, url.clone())),
                None => tried.push(format!("{url}: no certificate that issued it")),
            },
            Err(error) => tried.push(error.to_string()),
        }
    }
    if tried.is_empty() {
        tried.push("the certificate says nowhere to fetch it".to_owned());
    }
    Err(without_issuer(&search, "issuer_missing", || {
        format!(
            "the certificate of its issuer is neither in {} nor in {}, and cannot be fetched ({}): name it with --issuer",
            input::name(file),
            beside.display(),
            tried.join("; ")
        )
    }))
}

/// The verdict where no issuer was found: a candidate whose signature cannot be checked says most.
fn without_issuer(search: &IssuerSearch, code: &'static str, what: impl FnOnce() -> String) -> Verdict {
    match search.error() {
        Some(unsupported) => Verdict::invalid(unsupported.code(), unsupported.to_string()),
        None => Verdict::invalid(ReasonCode::new(code), what()),
    }
}
