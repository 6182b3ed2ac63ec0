//! A Redis that is reached over TLS.

use e2e::exposition::Exposition;
use e2e::processes::Processes;
use e2e::wait::until;
use testbed::Redis;
use testbed::certificates::{Authority, Subject};

const CONNECTED: &str = "voltgate_gateway_redis_connected";
const WITHOUT: &str = "voltgate_gateway_rate_limit_without_redis_total";

#[tokio::test(flavor = "multi_thread")]
async fn gateways_count_at_a_redis_whose_certificate_an_authority_that_the_machine_trusts_vouches_for() {
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let authority = Authority::new("an authority of this test");
    let own = authority
        .issue(&Subject::named("redis").loopback())
        .write(folder.path(), "redis");
    let (redis, port) = Redis::start_with_tls(&folder.path().join("redis"), &own)
        .await
        .expect("Redis starts");

    let mut processes = Processes::prepare().await;
    let url = format!("rediss://localhost:{port}/");
    processes.set("gateway", "REDIS_URL", url);
    // On a busy machine Redis may answer late, and is there all the same.
    processes.set("gateway", "GATEWAY_RATE_LIMIT_PATIENCE", "1000".to_owned());
    processes.start_all().await;
    let admin = processes.environments["gateway"]["ADMIN_LISTEN"].clone();
    let connected = async || Exposition::total(&admin, CONNECTED).await;
    let without = async || Exposition::total(&admin, WITHOUT).await;
    assert!(connected().await < 0.5, "nobody trusts this authority yet");
    let uncounted = without().await;
    let alone = processes.api().get("/.well-known/jwks.json").await;
    assert_eq!(alone.status, 200, "it counts by itself meanwhile: {}", alone.text);
    assert!(without().await > uncounted + 0.5, "Redis had no part in it");

    let trusted = authority.write(folder.path(), "authority");
    processes.set("gateway", "SSL_CERT_FILE", trusted.display().to_string());
    processes.restart("gateway").await;
    until("the gateway counts at Redis", async || {
        (connected().await > 0.5).then_some(())
    })
    .await;
    let since_the_restart = without().await;
    let together = processes.api().get("/.well-known/jwks.json").await;
    assert_eq!(together.status, 200, "{}", together.text);
    let risen = without().await - since_the_restart;
    assert!(risen.abs() < 0.5, "it is counted at Redis");
    processes.stop().await;
    redis.stop().await.expect("Redis ends");
}
