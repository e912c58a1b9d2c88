//! An authority, certificates and staples for the tests of `io`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use stapled_ca::ocsp::{HashAlgorithm, ResponseBuilder};
use stapled_ca::{Authority, Profile};
use stapled_core::certificate::Certificate;
use stapled_core::chain::CertChain;
use stapled_core::clock::{Clock, SystemClock};
use stapled_core::sink::{IssuerPlace, Site};
use stapled_core::staple::{JudgePolicy, Staple, judge};

/// A certificate with its issuer, and one staple for each validity asked for, in hours.
pub struct Example {
    #[allow(dead_code)]
    pub chain: Arc<CertChain>,
    #[allow(dead_code)]
    pub staples: Vec<Staple>,
}

impl Example {
    pub fn new(validities: &[i64]) -> Self {
        let authority = Authority::root("Example CA").create().unwrap();
        let issued = authority.issue(&Profile::server("example.org")).unwrap();
        let end_entity = Arc::new(Certificate::from_der(issued.der()).unwrap());
        let issuer = Arc::new(Certificate::from_der(authority.certificate()).unwrap());
        let chain = Arc::new(CertChain::new(end_entity, issuer).unwrap());
        let now = SystemClock.now();
        let cert_id = authority.cert_id(issued.serial(), HashAlgorithm::Sha1);
        let staple = |hours: &i64| {
            let response = ResponseBuilder::new(&authority)
                .good(&cert_id)
                .this_update(now.unix() - 60)
                .next_update(now.unix() + hours * 3600)
                .build()
                .unwrap();
            let judgement = judge(&Bytes::from(response), &chain, now, &JudgePolicy::default(), None, &[]).unwrap();
            judgement.into_staple().unwrap()
        };
        let staples = validities.iter().map(staple).collect();
        Example { chain, staples }
    }
}

/// A certificate that lies in this file, with its issuer.
#[allow(dead_code)]
pub fn site(file: impl Into<PathBuf>) -> Site {
    let file = file.into();
    Site {
        served_as: file.to_string_lossy().into(),
        file: Some(file),
        staple_file: None,
        staple_file_needed: false,
        issuer: IssuerPlace::SameFile,
    }
}

/// The names in a directory, in order.
#[allow(dead_code)]
pub fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
