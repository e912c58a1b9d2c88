//! Every point at which a worker may be cut off: before each command that it sends, and after it.

use stapled_redis::{Recovery, RedisScheduler};
use stapled_tests::{Cut, CuttingProxy, Redis};

use crate::pipeline::{LEASE, assert_all_done_once, queue_of, work};

/// Runs a worker that is cut off at this point, and then another one. Returns how many commands the first one sent, and whether
/// it was cut off.
async fn cut_off(server: &Redis, name: &str, at: Cut) -> (usize, bool) {
    let proxy = CuttingProxy::start(server.socket(), at);
    let prefix = format!("{name}-{at:?}");
    let result = match RedisScheduler::connect(&proxy.address(), &prefix).await {
        Ok(scheduler) => work(&scheduler).await.map_err(drop),
        Err(_) => Err(()),
    };
    let (count, is_cut) = (proxy.count(), proxy.is_cut());
    assert_eq!(result.is_err(), is_cut, "{at:?}");
    drop(proxy);
    let survivor = RedisScheduler::connect(&server.address(), &prefix).await.unwrap();
    // Its lease and the pause of a lost task are over.
    server.advance(LEASE + LEASE);
    let recovered = survivor.recover(Recovery::Run, queue_of).await.unwrap();
    assert_eq!(recovered, [], "{at:?}: every step is atomic");
    work(&survivor).await.unwrap();
    assert_all_done_once(&survivor, at).await;
    (count, is_cut)
}

#[tokio::test]
async fn at_every_point_of_every_procedure_a_cut_loses_nothing_and_repeats_nothing() {
    let server = Redis::start();
    let mut points = 0;
    for (name, cut) in [("before", Cut::Before as fn(usize) -> Cut), ("after", Cut::After)] {
        for number in 0.. {
            let (count, is_cut) = cut_off(&server, name, cut(number)).await;
            if !is_cut {
                assert!(number >= count, "command {number} of {count} was not cut");
                break;
            }
            points += 1;
        }
    }
    println!("{points} points");
    assert!(points > 60, "{points}");
}
