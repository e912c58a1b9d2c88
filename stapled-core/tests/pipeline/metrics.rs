//! Tests of the numbers for monitoring.

use std::collections::BTreeMap;

use stapled_core::clock::Clock;
use stapled_core::metrics::Metrics;
use stapled_core::metrics::exposition::Format;
use stapled_core::stapler::Handle;

use super::*;

/// The clock of the world, for the metrics.
#[derive(Debug)]
struct SharedClock(Arc<SimulatedClock>);

impl Clock for SharedClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

fn metrics(world: &World, certificates: usize) -> Metrics {
    Metrics::with("1.2.3", certificates, SharedClock(world.clock.clone()))
}

fn start(world: &World, metrics: &Metrics) -> Handle {
    let builder = world.builder().observer(metrics.clone()).fetcher(metrics.timed(world.ca.clone()));
    let handle = world.run_with_handle(builder);
    metrics.watch(handle.clone());
    handle
}

/// The value of each series.
async fn series(metrics: &Metrics) -> BTreeMap<String, f64> {
    let text = metrics.text(Format::Prometheus).await;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let series = lines.map(|line| line.rsplit_once(' ').unwrap());
    series.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect()
}

fn unix(at: Timestamp) -> f64 {
    at.unix() as f64
}

#[tokio::test(start_paused = true)]
async fn the_numbers_show_the_state_of_certificates_servers_responders_and_sources() {
    let world = World::new();
    let issued = world.add("a.test");
    let metrics = metrics(&world, 10);
    let handle = start(&world, &metrics);
    handle.ready().await.unwrap();
    let now = series(&metrics).await;
    let labels = format!("{{certificate=\"a.test\",serial=\"{}\"}}", issued.serial());
    let end = START + 4 * DAY;
    for (name, expected) in [
        ("stapled_build_info{version=\"1.2.3\"}".to_owned(), 1.0),
        ("stapled_start_timestamp_seconds".to_owned(), unix(START)),
        ("stapled_configured_timestamp_seconds".to_owned(), unix(START)),
        ("stapled_exposed_timestamp_seconds".to_owned(), unix(world.now())),
        ("stapled_scanned".to_owned(), 1.0),
        ("stapled_certificates{state=\"good\"}".to_owned(), 1.0),
        ("stapled_certificates{state=\"failed\"}".to_owned(), 0.0),
        ("stapled_must_staple_outages".to_owned(), 0.0),
        ("stapled_staples_ending".to_owned(), 0.0),
        ("stapled_certificates_omitted".to_owned(), 0.0),
        (format!("stapled_staple_expiry_timestamp_seconds{labels}"), unix(end)),
        (format!("stapled_certificate_expiry_timestamp_seconds{labels}"), unix(START + 800 * DAY)),
        (format!("stapled_certificate_last_success_timestamp_seconds{labels}"), unix(START)),
        ("stapled_last_success_timestamp_seconds".to_owned(), unix(START)),
        ("stapled_soonest_staple_expiry_timestamp_seconds".to_owned(), unix(end)),
        ("stapled_soonest_certificate_expiry_timestamp_seconds".to_owned(), unix(START + 800 * DAY)),
        ("stapled_staple_expiry_percentile_timestamp_seconds{percentile=\"50\"}".to_owned(), unix(end)),
        ("stapled_renewals_total{code=\"good\"}".to_owned(), 1.0),
        ("stapled_deliveries_total{server=\"sink\",outcome=\"delivered\"}".to_owned(), 1.0),
        ("stapled_deliveries_missing{server=\"sink\"}".to_owned(), 0.0),
        ("stapled_responder_request_duration_seconds_count{responder=\"ocsp.test:80\"}".to_owned(), 1.0),
        ("stapled_responder_failures_total{responder=\"ocsp.test:80\"}".to_owned(), 0.0),
        ("stapled_responder_down{responder=\"ocsp.test:80\"}".to_owned(), 0.0),
        ("stapled_responders_down".to_owned(), 0.0),
        ("stapled_source_places{source=\"source\"}".to_owned(), 1.0),
        ("stapled_source_last_scan_timestamp_seconds{source=\"source\"}".to_owned(), unix(START)),
        ("stapled_tasks{queue=\"renew\",place=\"waiting\"}".to_owned(), 1.0),
        ("stapled_tasks{queue=\"parse\",place=\"due\"}".to_owned(), 0.0),
    ] {
        assert_eq!(now.get(&name), Some(&expected), "{name}: {now:#?}");
    }
    assert!(!now.keys().any(|name| name.starts_with("stapled_certificate_outage")), "{now:#?}");
}

#[tokio::test(start_paused = true)]
async fn failures_show_as_they_add_up() {
    let world = World::new();
    let issued = world.ca.issue(Ca::profile("must.test").must_staple(true));
    world.list.put("must.test", &with_issuer(&issued, &world.ca));
    world.ca.set(Mood::Slow);
    let metrics = metrics(&world, 10);
    let handle = start(&world, &metrics);
    handle.ready().await.unwrap();
    let before = series(&metrics).await;
    let duration = "stapled_responder_request_duration_seconds_bucket{le=\"2.5\",responder=\"ocsp.test:80\"}";
    assert_eq!(before.get(duration), Some(&0.0), "it took five seconds: {before:#?}");
    assert!(before["stapled_responder_request_duration_seconds_sum{responder=\"ocsp.test:80\"}"] >= 5.0);

    world.ca.set(Mood::Down);
    world.server.broken.store(true, Ordering::SeqCst);
    world.pass(4 * DAY - 12 * HOUR).await;
    let ending = series(&metrics).await;
    assert_eq!(ending["stapled_staples_ending"], 1.0, "{ending:#?}");
    assert_eq!(ending["stapled_must_staple_outages"], 0.0);
    assert!(ending["stapled_renewals_total{code=\"connect_failed\"}"] > 5.0, "{ending:#?}");
    assert!(ending["stapled_responder_failures_total{responder=\"ocsp.test:80\"}"] >= 8.0, "{ending:#?}");
    assert_eq!(ending["stapled_responder_down{responder=\"ocsp.test:80\"}"], 1.0);
    assert_eq!(ending["stapled_responders_down"], 1.0);

    world.pass(2 * DAY).await;
    let ended = series(&metrics).await;
    assert_eq!(ended["stapled_must_staple_outages"], 1.0, "{ended:#?}");
    let labels = format!("{{certificate=\"must.test\",serial=\"{}\"}}", issued.serial());
    assert_eq!(ended[&format!("stapled_certificate_outage{labels}")], 1.0);
    assert!(ended["stapled_deliveries_total{server=\"sink\",outcome=\"not_withdrawn\"}"] >= 1.0, "{ended:#?}");
    assert_eq!(ended["stapled_deliveries_missing{server=\"sink\"}"], 1.0);
    // The end is past, and stays: rules compare it with the time.
    assert!(ended[&format!("stapled_staple_expiry_timestamp_seconds{labels}")] < unix(world.now()), "{ended:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_certificate_without_an_ocsp_url_ends_too() {
    let world = World::new();
    let (from, until) = (START.unix() - 60, (START + 90 * DAY).unix());
    let issued = world.ca.issue(Profile::server("plain.test").valid_between(from, until));
    for place in ["one", "two"] {
        world.list.put(place, &issued.certificate_pem());
    }
    let (all, none) = (metrics(&world, 1), metrics(&world, 0));
    let handle = world.run_with_handle(world.builder().observer(all.clone()).observer(none.clone()));
    all.watch(handle.clone());
    none.watch(handle.clone());
    handle.ready().await.unwrap();
    let end = START + 90 * DAY;
    let (all, none) = (series(&all).await, series(&none).await);
    let own = format!(
        "stapled_certificate_expiry_timestamp_seconds{{certificate=\"plain.test\",serial=\"{}\"}}",
        issued.serial()
    );
    assert_eq!((all[&own], all["stapled_certificates_omitted"]), (unix(end), 0.0), "{all:#?}");
    assert_eq!((none.get(&own), none["stapled_certificates_omitted"]), (None, 1.0));
    for series in [&all, &none] {
        assert_eq!(series["stapled_soonest_certificate_expiry_timestamp_seconds"], unix(end));
    }
}

#[tokio::test(start_paused = true)]
async fn beyond_the_limit_certificates_are_shown_together() {
    let world = World::new();
    for number in 0..4 {
        world.add(&format!("{number}.test"));
    }
    let (few, many) = (metrics(&world, 3), metrics(&world, 4));
    let builder = world.builder().observer(few.clone()).observer(many.clone());
    let handle = world.run_with_handle(builder);
    few.watch(handle.clone());
    many.watch(handle.clone());
    handle.ready().await.unwrap();
    let (few, many) = (series(&few).await, series(&many).await);
    let own = |series: &BTreeMap<String, f64>| series.keys().filter(|name| name.contains("certificate=")).count();
    assert_eq!((own(&few), few["stapled_certificates_omitted"]), (0, 4.0));
    assert_eq!((own(&many), many["stapled_certificates_omitted"]), (12, 0.0));
    assert_eq!(few["stapled_certificates{state=\"good\"}"], 4.0);
    assert!(few.contains_key("stapled_soonest_staple_expiry_timestamp_seconds"));
}

#[tokio::test(start_paused = true)]
async fn responders_beyond_the_limit_have_one_series_together() {
    let world = World::new();
    for number in 0..60 {
        let profile = Profile::server(&format!("{number}.test"))
            .key(stapled_ca::KeyType::EcdsaP256)
            .valid_between(START.unix() - 86_400, START.unix() + 800 * 86_400)
            .ocsp_url(format!("http://ocsp{number}.test/"));
        world.list.put(&number.to_string(), &with_issuer(&world.ca.issue(profile), &world.ca));
    }
    let metrics = metrics(&world, 10);
    start(&world, &metrics).ready().await.unwrap();
    let series = series(&metrics).await;
    let name = "stapled_responder_request_duration_seconds_count{responder=\"";
    let responders: Vec<_> = series.iter().filter(|(series, _)| series.starts_with(name)).collect();
    assert_eq!(responders.len(), 51, "{responders:#?}");
    assert_eq!(series[&format!("{name}other\"}}")], 10.0, "{responders:#?}");
    let down = series.keys().filter(|name| name.starts_with("stapled_responder_down{")).count();
    assert_eq!(down, 51);
}

#[tokio::test(start_paused = true)]
async fn names_cannot_break_the_text() {
    let world = World::new();
    let name = "a\"} 7\nstapled_up 1 # \\";
    let subject = [(stapled_ca::NameAttribute::CommonName, name.to_owned())];
    let issued = world.ca.issue(Ca::profile("x.test").subject(subject).names([]));
    world.list.put("x", &with_issuer(&issued, &world.ca));
    let metrics = metrics(&world, 10);
    start(&world, &metrics).ready().await.unwrap();
    for format in [Format::OpenMetrics, Format::Prometheus] {
        let text = metrics.text(format).await;
        assert!(text.lines().all(|line| line.starts_with("stapled_") || line.starts_with("# ")), "{text}");
        assert!(!text.contains("\nstapled_up"), "{text}");
    }
}
