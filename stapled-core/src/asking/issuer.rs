//! The issuer of a certificate that is asked about: in contents that the caller read, or from a caIssuers URL.

use std::sync::Arc;

use crate::bundle::Bundle;
use crate::certificate::Certificate;
use crate::chain::CertChain;
use crate::fetch::OcspFetcher;
use crate::lookup::search::IssuerSearch;
use crate::reason::ReasonCode;
use crate::verdict::Verdict;

/// How many bytes are read from a caIssuers URL.
const MAX_ISSUER: usize = 64 * 1024;

/// The chain with an issuer from these contents, and the name of their place; or why there is none.
///
/// # Errors
///
/// The verdict `wrong_issuer`, `malformed`, or that of a signature algorithm that is not supported.
pub fn among(
    end_entity: &Arc<Certificate>,
    place: String,
    contents: &[u8],
) -> Result<(CertChain, String), Box<Verdict>> {
    let mut search = IssuerSearch::new(end_entity);
    match (search.among_contents(contents), Bundle::read_issuers(contents)) {
        (Some(chain), _) => Ok((chain, place)),
        (None, Ok(_)) => Err(without_issuer(&search, "wrong_issuer", || {
            format!("{} was issued by none of the certificates in {place}", end_entity.name())
        })),
        (None, Err(error)) => {
            Err(without_issuer(&search, "malformed", || format!("the issuer's certificate cannot be read: {error}")))
        }
    }
}

/// The chain with an issuer from these places in their order, each with its name and contents, or from a caIssuers URL of the
/// certificate, and the name of that place; or why there is none. A place without contents is only named.
///
/// # Errors
///
/// The verdict `issuer_missing`, or that of a signature algorithm that is not supported.
pub async fn around(
    end_entity: &Arc<Certificate>,
    places: &[(String, Option<&[u8]>)],
    fetcher: &impl OcspFetcher,
) -> Result<(CertChain, String), Box<Verdict>> {
    let mut search = IssuerSearch::new(end_entity);
    for (place, contents) in places {
        if let Some(chain) = contents.and_then(|contents| search.among_contents(contents)) {
            return Ok((chain, place.clone()));
        }
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
        let names: Vec<&str> = places.iter().map(|(place, _)| place.as_str()).collect();
        let (names, tried) = (names.join(" nor in "), tried.join("; "));
        format!(
            "the certificate of its issuer is neither in {names}, and cannot be fetched ({tried}): name it with --issuer"
        )
    }))
}

/// The verdict where no issuer was found: a candidate whose signature cannot be checked says most.
fn without_issuer(search: &IssuerSearch, code: &'static str, what: impl FnOnce() -> String) -> Box<Verdict> {
    Box::new(match search.error() {
        Some(unsupported) => Verdict::invalid(unsupported.code(), unsupported.to_string()),
        None => Verdict::invalid(ReasonCode::new(code), what()),
    })
}
