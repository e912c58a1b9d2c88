//! The withdrawal of a certificate's staple from one process.

use std::sync::Arc;
use std::time::Duration;

use stapled_core::chain::CertChain;
use stapled_core::ocsp::CertIdHash;
use stapled_core::sink::Withdrawal;

use crate::cli::error::{Error, Unconfirmed};
use crate::cli::failure::Failure;
use crate::cli::payload::Payload;
use crate::cli::reply::response::PushReply;
use crate::cli::withdrawal_token::WithdrawalToken;
use crate::instance::deadline::Deadline;
use crate::instance::first_staple::push_refused;
use crate::instance::lock::lock;
use crate::sink::comparison::{Comparison, Expected};
use crate::sink::memory::Withdrawn;
use crate::sink::process_sink::ProcessSink;

/// How long a token may wait to be sent: HAProxy would refuse an expired one, and change nothing.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(50);

impl ProcessSink {
    /// Forgets a certificate that gets no staples any more.
    pub(crate) fn forget(&self, chain: &CertChain) {
        lock(&self.memory).forget(chain);
    }

    /// Ends stapling by a response that HAProxy does not serve. If the certificate is revoked, foreign staples for it are
    /// withdrawn later, too.
    pub(crate) async fn withdraw(&self, chain: &CertChain, why: Withdrawal) -> Result<(), Failure> {
        self.try_withdraw(chain, why).await.map_err(|error| self.failure(error))
    }

    async fn try_withdraw(&self, chain: &CertChain, why: Withdrawal) -> Result<(), Error> {
        let now = self.settings.clock.now();
        let token = Arc::new(WithdrawalToken::new(&chain.cert_id(CertIdHash::Sha1), now)?);
        let deadline = Deadline { made: Some(now), ..self.deadline(now + TOKEN_TIMEOUT) };
        let pushed = self.channel.push(Payload::Withdrawal(Arc::clone(&token)), deadline).await?;
        match pushed.said {
            // From 3.2 on HAProxy refuses the token, and has dropped the staple all the same. If no certificate matches,
            // there is no staple.
            PushReply::EndsTooSoon | PushReply::NoMatch => {}
            PushReply::Updated => {
                let shown = match pushed.shown {
                    Some(shown) => shown,
                    None => self.shown(token.cert_id(), &pushed.process).await?,
                };
                match Comparison::of(&Expected::from(&*token), &shown) {
                    Comparison::Same | Comparison::Unknown => {}
                    Comparison::Older | Comparison::Newer | Comparison::Missing => {
                        return Err(Unconfirmed::StillStapled.into());
                    }
                }
            }
            other => return Err(push_refused(other)),
        }
        self.forget(chain);
        if why == Withdrawal::Revoked {
            let withdrawn = Withdrawn { chain: chain.clone(), token: Arc::clone(&token) };
            lock(&self.memory).withdrawn.insert(token.cert_id().clone(), withdrawn);
        }
        Ok(())
    }
}
