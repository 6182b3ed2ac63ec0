//! Our gateway beside Envoy's gRPC-JSON transcoder: the same requests, the same service, the same answers.
//!
//! Both read `contract.proto`. `agreed.txt` holds the hard cases in which both must do the same: take the request or
//! refuse it, with the same status, hand the service the same message, and answer with the same JSON. `differences.txt`
//! holds every case in which we differ on purpose, with the reason and what each of the two does. `generated` asks what
//! nobody thought of.

mod both;
mod case;
mod echo;
mod generated;
mod message;
mod process;

use both::{Both, Outcome};

const AGREED: &str = include_str!("agreed.txt");
const DIFFERENCES: &str = include_str!("differences.txt");

#[tokio::test]
async fn our_gateway_does_what_envoy_does() {
    let mut both = Both::start().await;
    let (mut taken, mut refused, mut apart) = (0, 0, Vec::new());
    for ask in case::asks(AGREED) {
        let (envoy, ours) = both.ask(&ask).await;
        if envoy != ours {
            apart.push(case::show(&ask, &envoy, &ours));
        } else if ours.status < 300 {
            taken += 1;
        } else {
            refused += 1;
        }
    }
    assert!(apart.is_empty(), "they do not agree:\n{}", apart.join("\n"));
    assert!(
        taken > 300 && refused > 300,
        "{taken} were taken, and {refused} refused"
    );
}

#[tokio::test]
async fn our_gateway_differs_from_envoy_only_where_it_means_to() {
    let mut both = Both::start().await;
    let mut found = Vec::new();
    for ask in case::asks(DIFFERENCES) {
        let (envoy, ours) = both.ask(&ask).await;
        assert_ne!(envoy, ours, "there is no difference any more: {ask}");
        found.push(case::show(&ask, &envoy, &ours));
    }
    let written: Vec<_> = case::without_reasons(DIFFERENCES).collect();
    let found: Vec<_> = found.iter().flat_map(|case| case.lines()).collect();
    similar(&written, &found);
}

/// Fails at the first line that is not as it is written.
fn similar(written: &[&str], found: &[&str]) {
    for (line, (written, found)) in written.iter().zip(found).enumerate() {
        assert_eq!(written, found, "line {line} of differences.txt, reasons not counted");
    }
    assert_eq!(written.len(), found.len(), "differences.txt ends early, or late");
}

/// No failure of ours is ever a success, and none of ours ever reaches the service.
fn is_sound(outcome: &Outcome) -> bool {
    outcome.status >= 500 || (outcome.status < 300) == outcome.reached.is_some()
}
