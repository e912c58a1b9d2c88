//! Describes all objects in a file.

use std::sync::Arc;

use super::object::Object;
use crate::certificate::Certificate;
use crate::chain::CertChain;
use crate::ocsp::OcspResponse;
use crate::ocsp::encoding;
use crate::ocsp::encoding::{Contents, Section};
use crate::ocsp::request::RequestContents;

/// The most PEM sections of a file that are described.
const MAX_SECTIONS: usize = 1024;
/// The most signatures that are checked to find the issuers of a file's certificates. Without it, a file could require
/// a million checks.
const MAX_SIGNATURES: usize = 256;

impl Object {
    /// Describes all objects in a file: DER, PEM or base64. Any bytes give at least one object.
    pub fn all_in(bytes: &[u8]) -> Vec<Object> {
        objects(bytes)
    }
}

fn objects(bytes: &[u8]) -> Vec<Object> {
    match Contents::of(bytes) {
        Contents::Der(der) => vec![of_unlabelled(der)],
        Contents::Base64(text) => vec![match encoding::decode(text) {
            Ok(der) => of_unlabelled(&der),
            Err(error) => Object::malformed(error.to_string()),
        }],
        Contents::Pem(sections) => of_sections(&sections),
    }
}

/// Describes bytes without a label, as the first kind of object that they can be read as.
fn of_unlabelled(der: &[u8]) -> Object {
    let response = match OcspResponse::from_der(der) {
        Ok(response) => return Object::response(&response, der.len()),
        Err(error) => error,
    };
    let request = match RequestContents::from_der(der) {
        Ok(request) => return Object::request(&request, der.len()),
        Err(error) => error,
    };
    match Certificate::from_der(der) {
        Ok(certificate) => Object::certificate(&certificate, None),
        Err(error) => Object::malformed(format!("{response}; {request}; not a certificate: {error}")),
    }
}

fn of_sections(sections: &[Section<'_>]) -> Vec<Object> {
    let read = sections.get(..MAX_SECTIONS).unwrap_or(sections);
    let malformed = |section: &Section<'_>, what| Object::malformed_section(section.label, what);
    let mut objects: Vec<Object> =
        read.iter().map(|section| of_section(section).unwrap_or_else(|what| malformed(section, what))).collect();
    for (place, chain) in chains(read) {
        if let Some(object) = objects.get_mut(place) {
            *object = Object::certificate(chain.end_entity(), Some(&chain));
        }
    }
    if sections.len() > read.len() {
        objects.push(Object::malformed(format!("more than {MAX_SECTIONS} PEM sections: the rest is left out")));
    }
    if objects.iter().all(|object| matches!(object, Object::PassedOver { .. })) {
        objects.push(Object::malformed("no response, request or certificate in the input".to_owned()));
    }
    objects
}

fn of_section(section: &Section<'_>) -> Result<Object, String> {
    let der = || section.decode().map_err(|error| error.to_string());
    if section.is_response() {
        let der = der()?;
        let response = OcspResponse::from_der(&der).map_err(|error| error.to_string())?;
        Ok(Object::response(&response, der.len()))
    } else if section.is_request() {
        let der = der()?;
        let request = RequestContents::from_der(&der).map_err(|error| error.to_string())?;
        Ok(Object::request(&request, der.len()))
    } else if section.is_certificate() {
        let certificate = Certificate::from_der(&der()?).map_err(|error| format!("not a certificate: {error}"))?;
        Ok(Object::certificate(&certificate, None))
    } else {
        Ok(Object::PassedOver { label: section.label.to_owned() })
    }
}

/// The chains of the certificates whose issuer is in the file too, each with the index of its section.
fn chains(sections: &[Section<'_>]) -> Vec<(usize, CertChain)> {
    let read = |section: &Section<'_>| Certificate::from_der(&section.decode().ok()?).ok().map(Arc::new);
    let certificates = sections.iter().enumerate().filter(|(_, section)| section.is_certificate());
    let certificates: Vec<(usize, Arc<Certificate>)> =
        certificates.filter_map(|(place, section)| Some((place, read(section)?))).collect();
    let mut signatures = 0;
    let mut chains = Vec::new();
    for (place, certificate) in &certificates {
        let is_named = |issuer: &Certificate| issuer != &**certificate && issuer.subject() == certificate.issuer();
        for (_, issuer) in certificates.iter().filter(|(_, issuer)| is_named(issuer)) {
            if signatures == MAX_SIGNATURES {
                return chains;
            }
            signatures += 1;
            if let Ok(chain) = CertChain::new(Arc::clone(certificate), Arc::clone(issuer)) {
                chains.push((*place, chain));
                break;
            }
        }
    }
    chains
}
