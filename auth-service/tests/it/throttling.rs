//! Many attempts, at the service as its clients see it. How they are counted is tested beside the code
//! (`src/throttle/tests.rs`).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use futures_util::StreamExt as _;
use service_kit::access::{ServiceSecret, ServiceTokens};
use service_kit::clock::SystemClock;
use service_kit::reason::Reason;
use testbed::Database;
use tonic::Status;
use tonic::transport::Channel;
use tonic_types::StatusExt as _;
use voltgate_proto::auth::v1::auth_service_client::AuthServiceClient;
use voltgate_proto::auth::v1::{
    FinishLogInRequest, ForgotPasswordRequest, LogInRequest, ResetPasswordRequest, SignUpRequest,
};
use voltgate_proto::events::v1::PasswordResetRequested;

use crate::mailbox::Mailbox;
use crate::process::Running;
use crate::second_factor::App;
use crate::service::{PASSWORD, SECRET, Service, Setup, ada, passed_on};

const HOME: [u8; 4] = [192, 0, 2, 1];
const ELSEWHERE: [u8; 4] = [198, 51, 100, 1];

fn named(username: &str) -> SignUpRequest {
    SignUpRequest {
        username: username.to_owned(),
        ..ada()
    }
}

fn wait(refusal: &Status) -> Duration {
    assert_eq!(Reason::of(refusal), Reason::TooManyRequests, "{refusal}");
    refusal.get_details_retry_info().unwrap().retry_delay.unwrap()
}

/// The answers to wrong passwords until one is refused for being one too many.
async fn fail_until_refused(service: &Service, from: [u8; 4], username: &str) -> Status {
    loop {
        let refusal = service.log_in_from(from, username, "a wrong one").await.unwrap_err();
        if Reason::of(&refusal) != Reason::InvalidCredentials {
            return refusal;
        }
    }
}

#[tokio::test]
async fn who_fails_too_often_is_told_how_long_to_wait_and_in_which_limit_it_ran() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.sign_up_from(HOME, ada()).await.unwrap();
    let refusal = fail_until_refused(&service, ELSEWHERE, "Ada").await;
    assert_eq!(refusal.code(), tonic::Code::ResourceExhausted);
    assert!(wait(&refusal) <= Duration::from_secs(1));
    let header = |name: &str| refusal.metadata().get(name).unwrap().to_str().unwrap();
    assert_eq!(header("ratelimit-policy"), "\"login\";q=5;w=4500");
    assert_eq!(header("ratelimit"), "\"login\";r=0;t=1");
    // Not even the right password is looked at now, so that guessing on is of no use.
    let refusal = service.log_in_from(ELSEWHERE, "Ada", PASSWORD).await.unwrap_err();
    wait(&refusal);
    service.clock.advance(TimeDelta::seconds(1));
    service.log_in_from(ELSEWHERE, "Ada", PASSWORD).await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn a_refusal_does_not_tell_whether_there_is_such_an_account() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.sign_up_from(HOME, ada()).await.unwrap();
    let (known, unknown) = (
        fail_until_refused(&service, ELSEWHERE, "Ada").await,
        fail_until_refused(&service, [198, 51, 100, 2], "Grace").await,
    );
    assert_eq!(known.message(), unknown.message());
    assert_eq!(
        known.metadata().get("ratelimit-policy"),
        unknown.metadata().get("ratelimit-policy")
    );
    assert_eq!(known.metadata().get("ratelimit"), unknown.metadata().get("ratelimit"));
    service.stop().await;
}

#[tokio::test]
async fn two_replicas_count_together() {
    let database = Database::create().await;
    let replicas = [Service::start(&database).await, Service::start(&database).await];
    replicas[0].sign_up_from(HOME, ada()).await.unwrap();
    for attempt in 0..6 {
        let answer = replicas[attempt % 2].log_in_from(ELSEWHERE, "Ada", "a wrong one").await;
        assert_eq!(
            Reason::of(&answer.unwrap_err()),
            Reason::InvalidCredentials,
            "attempt {attempt}"
        );
    }
    for replica in &replicas {
        let answer = replica.log_in_from(ELSEWHERE, "Ada", PASSWORD).await;
        assert_eq!(Reason::of(&answer.unwrap_err()), Reason::TooManyRequests);
    }
    for replica in replicas {
        replica.stop().await;
    }
}

#[tokio::test]
async fn signups_from_one_address_are_bounded_and_those_from_another_are_not_concerned() {
    let database = Database::create().await;
    let mut setup = Setup::on(&database);
    setup.settings.auth_free_signups_per_address = 2;
    let service = setup.start().await;
    service.sign_up_from(ELSEWHERE, named("one")).await.unwrap();
    // That a name is taken is an answer too, so it counts.
    let taken = service.sign_up_from(ELSEWHERE, named("one")).await.unwrap_err();
    assert_eq!(Reason::of(&taken), Reason::UsernameTaken);
    service.sign_up_from(ELSEWHERE, named("two")).await.unwrap();
    wait(&service.sign_up_from(ELSEWHERE, named("three")).await.unwrap_err());
    service.sign_up_from(HOME, named("three")).await.unwrap();
    service.stop().await;
}

/// Somebody behind the owner's address guesses, or the owner does: what has been proven since in another way counts for more.
#[tokio::test]
async fn a_reset_of_the_password_and_a_second_factor_end_the_wait_of_the_account_there() {
    const NEW: &str = "rain on a tin roof";
    let database = Database::create().await;
    let setup = Setup::on(&database);
    let mut mailbox = Mailbox::on(&setup.bus);
    let service = setup.start().await;
    service.clock.stop();
    service.sign_up_from(ELSEWHERE, ada()).await.unwrap();
    let fail_long = async |username: &str| {
        for _ in 0..4 {
            let wait = wait(&fail_until_refused(&service, ELSEWHERE, username).await);
            service.clock.advance(TimeDelta::from_std(wait).unwrap());
        }
        assert!(wait(&fail_until_refused(&service, ELSEWHERE, username).await) > Duration::from_secs(8));
    };
    fail_long("Ada").await;
    let request = ForgotPasswordRequest {
        email: "ada@example.com".to_owned(),
    };
    service.passwords.clone().forgot_password(request).await.unwrap();
    let mail: PasswordResetRequested = mailbox.skip_to().await;
    let request = ResetPasswordRequest {
        code: mail.code,
        new_password: NEW.to_owned(),
    };
    let request = passed_on(&service.service_tokens(), ELSEWHERE.into(), request);
    service.passwords.clone().reset_password(request).await.unwrap();
    let token = service.log_in_from(ELSEWHERE, "Ada", NEW).await.unwrap().access_token;

    let set_up = service.begin_totp(&token, NEW).await.unwrap();
    let app = App::new(&set_up.secret);
    service.confirm_totp(&token, &app.code(&service, 0)).await.unwrap();
    service.clock.advance(TimeDelta::seconds(30));
    let log_in = || {
        let request = LogInRequest {
            username: "Ada".to_owned(),
            password: NEW.to_owned(),
        };
        passed_on(&service.service_tokens(), ELSEWHERE.into(), request)
    };
    let begun = service.client.clone().log_in(log_in()).await.unwrap().into_inner();
    fail_long("Ada").await;
    let request = FinishLogInRequest {
        token: begun.second_factor.unwrap().token,
        code: app.code(&service, 0),
    };
    let request = passed_on(&service.service_tokens(), ELSEWHERE.into(), request);
    service.second_factors.clone().finish_log_in(request).await.unwrap();
    service.client.clone().log_in(log_in()).await.unwrap();
    service.stop().await;
}

/// There is nothing to guess, so nothing is to be gained by a wait that grows.
#[tokio::test]
async fn whoever_makes_up_codes_has_nobody_at_their_address_wait_for_more_than_a_moment() {
    const NEW: &str = "rain on a tin roof";
    let database = Database::create().await;
    let setup = Setup::on(&database);
    let mut mailbox = Mailbox::on(&setup.bus);
    let service = setup.start().await;
    service.clock.stop();
    service.sign_up_from(HOME, ada()).await.unwrap();
    let request = ForgotPasswordRequest {
        email: "ada@example.com".to_owned(),
    };
    service.passwords.clone().forgot_password(request).await.unwrap();
    let mail: PasswordResetRequested = mailbox.skip_to().await;
    let reset = async |code: &str| {
        let request = ResetPasswordRequest {
            code: code.to_owned(),
            new_password: NEW.to_owned(),
        };
        let request = passed_on(&service.service_tokens(), ELSEWHERE.into(), request);
        service.passwords.clone().reset_password(request).await
    };
    let mut made_up = 0;
    for _ in 0..20 {
        let refusal = loop {
            let refusal = reset("made up").await.unwrap_err();
            if Reason::of(&refusal) != Reason::InvalidEmailedCode {
                break refusal;
            }
            made_up += 1;
        };
        let wait = wait(&refusal);
        assert_eq!(wait, Duration::from_secs(1), "after {made_up}");
        service.clock.advance(TimeDelta::seconds(1));
    }
    assert_eq!(made_up, 101 + 19, "a hundred and one at once, then one a second");
    reset(&mail.code).await.unwrap();
    service.stop().await;
}

/// A client of a process, as the gateway is one.
#[derive(Clone)]
struct Gateway {
    client: AuthServiceClient<Channel>,
    tokens: ServiceTokens,
}

impl Gateway {
    fn to(address: &str) -> Self {
        let channel = Channel::from_shared(format!("http://{address}"))
            .unwrap()
            .connect_lazy();
        Self {
            client: AuthServiceClient::new(channel),
            tokens: ServiceTokens::new("gateway", ServiceSecret::new(SECRET.as_bytes()), Arc::new(SystemClock)),
        }
    }

    async fn sign_up(&self, from: [u8; 4], username: &str) {
        let request = passed_on(&self.tokens, from.into(), named(username));
        self.client.clone().sign_up(request).await.unwrap();
    }

    async fn log_in(&self, from: impl Into<IpAddr>, username: &str, password: &str) -> Result<(), Status> {
        let request = LogInRequest {
            username: username.to_owned(),
            password: password.to_owned(),
        };
        self.client
            .clone()
            .log_in(passed_on(&self.tokens, from.into(), request))
            .await?;
        Ok(())
    }
}

/// Ten thousand wrong passwords, half of them from one address for whomever, half from everywhere for one account. What is
/// counted is what was done, not how long it took.
#[tokio::test(flavor = "multi_thread")]
async fn while_ten_thousand_guess_everybody_else_logs_in_and_the_process_stays_as_small_as_it_was() {
    const OTHERS: u8 = 20;
    let database = Database::create().await;
    let mut process = Running::start(&database).await;
    let gateway = Gateway::to(&process.address);
    gateway.sign_up(HOME, "Ada").await;
    gateway.sign_up(ELSEWHERE, "neighbour").await;
    let home = |number: u8| [192, 0, 2, 100 + number];
    for number in 0..OTHERS {
        gateway.sign_up(home(number), &format!("other{number}")).await;
    }

    // As many hashes at once as there ever are, so that what they take is part of the size before.
    let at_once = (0..OTHERS).map(|number| {
        let gateway = gateway.clone();
        async move { gateway.log_in(home(number), &format!("other{number}"), PASSWORD).await }
    });
    for answer in futures_util::future::join_all(at_once).await {
        answer.unwrap();
    }
    let id = process.id();
    let start = Instant::now();
    let before = resident_kilobytes(id);
    let storm = {
        let gateway = gateway.clone();
        tokio::spawn(async move {
            let attempts = (0..10_000_u32).map(|number| {
                let (from, username): (IpAddr, String) = if number % 2 == 0 {
                    (ELSEWHERE.into(), format!("account{}", number % 1000))
                } else {
                    (
                        Ipv4Addr::from_bits(0x0a00_0000 + number % 2000).into(),
                        "Ada".to_owned(),
                    )
                };
                let gateway = gateway.clone();
                async move { gateway.log_in(from, &username, "a wrong one").await.unwrap_err() }
            });
            let mut answers: HashMap<Reason, usize> = HashMap::new();
            let mut attempts = futures_util::stream::iter(attempts).buffer_unordered(100);
            while let Some(refusal) = attempts.next().await {
                *answers.entry(Reason::of(&refusal)).or_default() += 1;
            }
            answers
        })
    };
    let everybody_else = async {
        let mut rounds = 0;
        while !storm.is_finished() || rounds == 0 {
            for number in 0..OTHERS {
                let answer = gateway.log_in(home(number), &format!("other{number}"), PASSWORD).await;
                answer.unwrap();
            }
            // The account that is guessed at, where it is at home, and one that lives with the guesser.
            gateway.log_in(HOME, "Ada", PASSWORD).await.unwrap();
            gateway.log_in(ELSEWHERE, "neighbour", PASSWORD).await.unwrap();
            rounds += 1;
        }
        rounds
    };
    let rounds: usize = tokio::select! {
        rounds = everybody_else => rounds,
        () = process.read_log() => panic!("the process ended"),
    };
    let answers = storm.await.unwrap();
    let seconds = start.elapsed().as_secs();
    let grown = resident_kilobytes(id).saturating_sub(before);
    eprintln!("{rounds} rounds of other logins meanwhile; answers {answers:?}; {before} KiB, and {grown} KiB more");

    let looked_at = answers[&Reason::InvalidCredentials];
    assert_eq!(looked_at + answers[&Reason::TooManyRequests], 10_000, "{answers:?}");
    // Twenty-one of each half cost nothing. Then the waits begin, which double: seven more for the account until it is a minute each
    // time, ten for the address until it is a quarter of an hour. What is forgotten meanwhile is one a minute at most.
    let most = 42 + 7 + 10 + usize::try_from(2 * (seconds / 60 + 1) * 2).unwrap();
    assert!(
        (42..=most).contains(&looked_at),
        "{looked_at} passwords were looked at in {seconds} seconds"
    );
    // What is remembered as blocked, and nothing for each attempt.
    assert!(grown < 40 * 1024, "{grown} KiB");
    process.stop().await;
}

/// What the process holds of the machine's memory.
fn resident_kilobytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
