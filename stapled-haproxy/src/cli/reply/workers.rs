//! The replies of a master about its workers: to `show proc` ("9.4. Master CLI" in HAProxy's management guide), and to a
//! worker's number.

/// A worker of a master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Worker {
    pub(crate) pid: u64,
    /// Whether a reload has replaced it: it only finishes its connections.
    pub(crate) is_old: bool,
}

/// The workers in the reply to `show proc`, in its order. From 3.2 on, after a failed reload the worker that still serves
/// is listed among the old ones: if there are no others, it is the youngest of them.
pub(crate) fn workers(reply: &str) -> Vec<Worker> {
    let mut workers = Vec::new();
    let mut reloads: Vec<u64> = Vec::new();
    let mut section = "";
    for line in reply.lines() {
        if let Some(heading) = line.strip_prefix("# ") {
            section = heading.trim();
            continue;
        }
        let mut words = line.split_whitespace();
        // Programs have a section of their own, and the master comes before all sections.
        let (Some(pid), Some("worker")) = (words.next(), words.next()) else { continue };
        let is_old = section == "old workers";
        if let Ok(pid) = pid.parse()
            && (is_old || section == "workers")
        {
            workers.push(Worker { pid, is_old });
            reloads.push(words.next().and_then(|word| word.parse().ok()).unwrap_or(u64::MAX));
        }
    }
    let youngest = workers.iter_mut().zip(reloads).min_by_key(|(worker, reloads)| (worker.is_old, *reloads));
    if let Some((worker, _)) = youngest {
        worker.is_old = false;
    }
    workers
}

/// Whether a reply says that the worker has ended.
pub(crate) fn is_gone(reply: &[u8]) -> bool {
    reply.starts_with(b"Can't find the target PID matching the prefix ")
        || reply.starts_with(b"Can't connect to the target CLI!")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn current_and_old_workers_are_distinguished() {
        let reply = "#<PID>          <type>          <reloads>       <uptime>        <version>      \n\
                     24737           master          1 [failed: 0]   0d00h07m57s     2.6.12-1+deb12u4\n\
                     # workers\n15543           worker          0               0d00h00m03s     2.6.12-1+deb12u4\n\
                     # old workers\n24745           worker          1               0d00h07m57s     2.6.12\n\
                     # programs\n99   worker  0\n";
        let expected = [Worker { pid: 15543, is_old: false }, Worker { pid: 24745, is_old: true }];
        assert_eq!(workers(reply), expected);
    }

    #[test]
    fn a_worker_whose_reload_failed_is_current() {
        let reply =
            "# workers\n# old workers\n7  worker  3  0d00h07m57s  3.2.26-1\n8  worker  1  0d00h00m04s  3.2.26-1\n";
        let expected = [Worker { pid: 7, is_old: true }, Worker { pid: 8, is_old: false }];
        assert_eq!(workers(reply), expected);
        assert_eq!(workers("# workers\n# old workers\n"), []);
    }

    proptest! {
        #[test]
        fn no_reply_panics(reply in "(?s).{0,200}") {
            let _ = (workers(&reply), is_gone(reply.as_bytes()));
        }
    }
}
