//! A verdict as lines of text.

use std::fmt::{self, Display};

use super::value::Verdict;
use crate::describe::visible::Visible;
use crate::ocsp::CertStatus;
use crate::time::Timestamp;

/// The verdict as lines of text: the status or the reason code with the detail, then each known fact.
impl Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = match self.status {
            Ok(CertStatus::Revoked { .. }) => "REVOKED".to_owned(),
            Ok(status) => status.name().to_owned(),
            Err(code) => format!("INVALID ({code})"),
        };
        writeln!(f, "{head}: {}", Visible::new(&self.detail))?;
        let certificate = self.certificate.as_deref().map(|name| match &self.serial {
            Some(serial) => format!("{name}, serial number {serial}"),
            None => name.to_owned(),
        });
        let responder = self.responder.as_deref().map(|name| match self.delegated {
            true => format!("{name}, a delegate of the issuer"),
            false => format!("{name}, the issuer itself"),
        });
        let stapleable = self.status.ok().map(|_| if self.stapleable { "yes" } else { "no" }.to_owned());
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
        for (name, value) in [
            ("certificate", certificate),
            ("thisUpdate", time(self.this_update)),
            ("nextUpdate", time(self.next_update)),
            ("producedAt", time(self.produced_at)),
            ("responder", responder),
            ("signature", self.signature_algorithm.clone()),
            ("stapleable", stapleable),
        ] {
            if let Some(value) = value {
                writeln!(f, "  {name:<12} {}", Visible::new(&value))?;
            }
        }
        for warning in &self.warnings {
            writeln!(f, "  {:<12} {}", "odd", Visible::new(warning))?;
        }
        Ok(())
    }
}
