//! The responses that sinks have kept since an earlier run.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::{Found, PATIENCE, Parser, Pass};
use crate::event::EventKind;
use crate::inventory::{Kept, RenewalMemory, SinkNumber};
use crate::lane;
use crate::lookup::IssuerPlace;
use crate::reason::ReasonCode;
use crate::sink::usable_by;
use crate::staple::Judge;

impl Parser {
    /// A response that a sink has kept, judged like a response from the network. The staple is in service until the
    /// renewal, and after a renewal that fails. What the sinks of the source have kept and cannot be a staple any more is removed.
    pub(super) async fn recall(&self, found: Found<'_>) -> Option<Kept> {
        let Found { source, site, chain, settled, .. } = found;
        let mut done = BTreeSet::new();
        let mut recalled = None;
        for number in settled.sinks.iter().filter(|_| self.recycle) {
            recalled = self.recall_from(number, found).await;
            // Where servers find no issuer, what a sink has kept is elsewhere than what they read.
            if recalled.is_none()
                || matches!(site.issuer, IssuerPlace::SameFile | IssuerPlace::IssuerFile(_) | IssuerPlace::Chains(_))
            {
                done.insert(number);
            }
            if recalled.is_some() {
                break;
            }
        }
        self.clear_leftover(source, site, chain, &done).await;
        recalled
    }

    /// The same for one sink.
    async fn recall_from(&self, number: SinkNumber, found: Found<'_>) -> Option<Kept> {
        let Found { source, site, chain, settled, .. } = found;
        let sink = self.sinks.get(number)?;
        let panicked = || format!("{}: looking for a kept staple panicked", sink.name());
        let kept = async || {
            // A sink that fails has kept nothing: its staples are fetched.
            let kept = tokio::time::timeout(PATIENCE, sink.recall(chain, std::slice::from_ref(site)));
            lane::survive(&self.journal, panicked, kept).await?.ok()?
        };
        let is_of_source = self.inventory.sinks_of.get(source).is_some_and(|sinks| sinks.contains(&number));
        let first = kept().await.map(|kept| self.weigh(kept, found));
        if let Some(Ok(good)) = first {
            return Some(good);
        }
        if is_of_source {
            self.clear_leftover_of(sink, site, chain).await;
        }
        // The sink did not clear a response that it still has.
        let still = if first.is_some() { kept().await } else { None };
        match self.weigh(still?, found) {
            Ok(good) => Some(good),
            Err((code, what)) => {
                self.journal.tell_of(&settled.about, EventKind::NotRecycled { code, what });
                None
            }
        }
    }

    /// Judges a kept response. The error is why it is not used.
    fn weigh(&self, kept: Bytes, found: Found<'_>) -> Result<Kept, (ReasonCode, String)> {
        let Found { chain, settled, pass, .. } = found;
        let now = self.journal.clock.now();
        let judged = Judge::new(chain).at(now).policy(&self.judging).judge(kept);
        let judgement = judged.map_err(|refusal| (refusal.code(), refusal.to_string()))?;
        let not_good = || (ReasonCode::new("not_good"), "its status is not good".to_owned());
        let staple = judgement.into_staple().ok_or_else(not_good)?;
        // The staple must satisfy every sink. If one sink cannot use it, a fresh one is fetched.
        let requirements = settled.sinks.iter().filter_map(|sink| Some(self.sinks.get(sink)?.requirements()));
        let mut unfit = requirements.filter_map(|asked| asked.check(&staple, now).err());
        if let Some(unfit) = unfit.next() {
            return Err((unfit.code(), unfit.to_string()));
        }
        let usable = usable_by(&self.sinks, settled.sinks.iter(), &staple);
        let renew_at = match pass {
            // A single pass has no later renewal, so it renews now if the renewal would be due by now.
            Pass::Single if self.refresh.due_at(usable) <= now => now,
            _ => self.refresh.renew_kept_at(usable, now, self.chance.place(chain.subject())),
        };
        // The certificate has been good since thisUpdate at least.
        let (since, staple) = (Some(staple.this_update()), Arc::new(staple));
        Ok(Kept { staple, memory: RenewalMemory::default(), renew_at, since })
    }
}
