//! Refresh tokens in whatever order: used, used again, lost, made up, shown at two replicas at once, while sessions end,
//! roles change and time passes. The real service on the real database does what a model without either says.
//!
//! `REFRESH_MODEL_CASES` sets how many cases are tried, `REFRESH_MODEL_SEED` repeats a run that failed.

mod reference;

use std::cell::RefCell;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use serde_json::{Value, json};
use service_kit::reason::Reason;
use testbed::Database;
use tokio::runtime::Runtime;
use tonic::Status;
use voltgate_proto::auth::v1::{
    ListSessionsRequest, LogOutRequest, RefreshRequest, SignUpRequest, TokenResponse, UpdateUserRequest,
};

use self::reference::{Answer, Forgery, ROLES, Reference, Token, Transition, Which};
use crate::service::{PASSWORD, Service, Setup, authorized, is_revoked_soon};

/// Two replicas that all cases are tried on, and an administrator.
struct World {
    runtime: Runtime,
    replicas: [Service; 2],
    admin: RefCell<TokenResponse>,
    accounts_so_far: RefCell<usize>,
}

thread_local! {
    /// proptest-state-machine hands nothing over to a case but the model.
    static WORLD: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

struct Account {
    id: String,
    username: String,
}

/// What the clients of one case hold.
struct Clients {
    world: Rc<World>,
    accounts: Vec<Account>,
    /// Of each session, the refresh tokens that its client saw.
    tokens: Vec<Vec<Option<String>>>,
    /// Of each session, the newest access token.
    access_tokens: Vec<String>,
    steps: usize,
}

impl World {
    async fn admin(&self) -> String {
        let held = self.admin.borrow().refresh_token.clone();
        let admin = match refresh(&self.replicas[0], held).await {
            Ok(admin) => admin,
            // Too much time has passed.
            Err(_) => self.replicas[0].log_in("admin", PASSWORD).await.unwrap(),
        };
        let token = admin.access_token.clone();
        *self.admin.borrow_mut() = admin;
        token
    }
}

async fn refresh(service: &Service, refresh_token: String) -> Result<TokenResponse, Status> {
    let answer = service.client.clone().refresh(RefreshRequest { refresh_token }).await?;
    Ok(answer.into_inner())
}

async fn log_out(service: &Service, access_token: &str, which: Which) {
    let sessions = match which {
        Which::This => "this",
        Which::Others => "others",
        Which::All => "all",
    };
    let request = LogOutRequest {
        sessions: sessions.to_owned(),
    };
    let answer = service.client.clone().log_out(authorized(request, access_token)).await;
    answer.unwrap();
}

async fn change_roles(service: &Service, admin: &str, account: &str, roles: usize) {
    let request = UpdateUserRequest {
        user_id: account.to_owned(),
        roles: ROLES[roles].iter().map(|&role| role.to_owned()).collect(),
        disabled: None,
        ..Default::default()
    };
    let answer = service.users.clone().update_user(authorized(request, admin)).await;
    answer.unwrap();
}

fn roles_of(access_token: &str) -> Value {
    let claims = access_token.split('.').nth(1).unwrap();
    let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    claims["roles"].take()
}

impl Clients {
    /// By turns one of the two replicas, and the other.
    fn replicas(&self) -> [&Service; 2] {
        let [one, two] = &self.world.replicas;
        if self.steps.is_multiple_of(2) {
            [one, two]
        } else {
            [two, one]
        }
    }

    fn text(&self, token: Token) -> String {
        self.tokens[token.session][token.number].clone().unwrap()
    }

    fn start(&mut self, answer: TokenResponse) {
        self.tokens.push(vec![Some(answer.refresh_token)]);
        self.access_tokens.push(answer.access_token);
    }

    /// The answer is the one that the model has, and the client keeps it.
    fn hear(&mut self, token: Token, answer: Result<TokenResponse, Status>, expected: Answer) -> Option<String> {
        let answer = match (answer, expected) {
            (Ok(answer), Answer::Successor(_) | Answer::Either(_)) => answer,
            (Err(refusal), Answer::Refused | Answer::Either(_)) => {
                assert_eq!(Reason::of(&refusal), Reason::InvalidRefreshToken);
                return None;
            }
            (Ok(_), Answer::Refused) => panic!("{token:?} is good for nothing"),
            (Err(refusal), Answer::Successor(_)) => panic!("{token:?} was refused: {refusal}"),
        };
        if let Answer::Successor(successor) = expected {
            let known = &mut self.tokens[token.session];
            known.resize(known.len().max(successor + 1), None);
            let known = known[successor].get_or_insert_with(|| answer.refresh_token.clone());
            assert_eq!(*known, answer.refresh_token, "there is one successor");
            self.access_tokens[token.session].clone_from(&answer.access_token);
        }
        Some(answer.access_token)
    }

    fn forge(&self, token: Token, forgery: Forgery) -> String {
        let text = self.text(token);
        let (prefix, bytes) = text.split_at(4);
        let mut bytes = URL_SAFE_NO_PAD.decode(bytes).unwrap();
        let last = bytes.len() - 1;
        match forgery {
            Forgery::Tag => bytes[last] ^= 1,
            Forgery::Secret => bytes[20] ^= 1,
            Forgery::OtherSession => {
                let other = self.text(Token {
                    session: (token.session + 1) % self.tokens.len(),
                    number: 0,
                });
                let other = URL_SAFE_NO_PAD.decode(&other[4..]).unwrap();
                bytes[..16].copy_from_slice(&other[..16]);
            }
        }
        format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    async fn step(&mut self, reference: &Reference, transition: Transition) {
        let world = Rc::clone(&self.world);
        self.steps += 1;
        let [here, there] = if self.steps.is_multiple_of(2) {
            [&world.replicas[0], &world.replicas[1]]
        } else {
            [&world.replicas[1], &world.replicas[0]]
        };
        match transition {
            Transition::LogIn { account } => {
                let answer = here.log_in(&self.accounts[account].username, PASSWORD).await.unwrap();
                self.start(answer);
            }
            Transition::Refresh { token } => {
                let answer = refresh(here, self.text(token)).await;
                if let Some(access_token) = self.hear(token, answer, reference.answers[0]) {
                    let account = reference.sessions[token.session].account;
                    assert_eq!(roles_of(&access_token), json!(ROLES[reference.accounts[account]]));
                }
            }
            Transition::RefreshUnheard { token } => {
                let answer = refresh(here, self.text(token)).await;
                assert_eq!(answer.is_ok(), reference.answers[0] != Answer::Refused);
            }
            Transition::RefreshTwice { one, other } => {
                let answers = tokio::join!(refresh(here, self.text(one)), refresh(there, self.text(other)));
                self.hear(one, answers.0, reference.answers[0]);
                self.hear(other, answers.1, reference.answers[1]);
            }
            Transition::Forge { token, forgery } => {
                let answer = refresh(here, self.forge(token, forgery)).await;
                self.hear(token, answer, Answer::Refused);
            }
            Transition::LogOut { session, which } => log_out(here, &self.access_tokens[session], which).await,
            Transition::LogOutMeanwhile { session, which, token } => {
                let access_token = self.access_tokens[session].clone();
                let ((), answer) = tokio::join!(log_out(here, &access_token, which), refresh(there, self.text(token)));
                if let Some(access_token) = self.hear(token, answer, reference.answers[0])
                    && reference.sessions[token.session].is_ended
                {
                    is_revoked_soon(here, &access_token).await;
                }
            }
            Transition::ChangeRoles { account, roles } => {
                let admin = world.admin().await;
                change_roles(here, &admin, &self.accounts[account].id, roles).await;
            }
            Transition::ChangeRolesMeanwhile { roles, token } => {
                let account = &self.accounts[reference.sessions[token.session].account];
                let admin = world.admin().await;
                let ((), answer) = tokio::join!(
                    change_roles(here, &admin, &account.id, roles),
                    refresh(there, self.text(token))
                );
                if let Some(access_token) = self.hear(token, answer, reference.answers[0]) {
                    // It says what the account is, or is void.
                    if roles_of(&access_token) == json!(ROLES[roles]) {
                        here.profile(&access_token).await.unwrap();
                    } else {
                        is_revoked_soon(here, &access_token).await;
                    }
                }
            }
            Transition::Wait { seconds } => here.clock.advance(TimeDelta::seconds(seconds)),
        }
    }

    /// Access tokens open what they should, and the sessions that are listed are those that go on.
    async fn compare(&self, reference: &Reference) {
        let [here, there] = self.replicas();
        for (number, session) in reference.sessions.iter().enumerate() {
            let access_token = &self.access_tokens[number];
            match reference.is_valid(session) {
                Some(true) => {
                    let list = authorized(ListSessionsRequest {}, access_token);
                    let listed = here.sessions.clone().list_sessions(list).await.unwrap();
                    assert_eq!(
                        listed.into_inner().sessions.len(),
                        reference.going_on(session.account),
                        "sessions of account {}",
                        session.account
                    );
                }
                Some(false) => {
                    is_revoked_soon(here, access_token).await;
                    is_revoked_soon(there, access_token).await;
                }
                None => {}
            }
        }
    }
}

struct RefreshTokens;

impl StateMachineTest for RefreshTokens {
    type SystemUnderTest = Clients;
    type Reference = Reference;

    fn init_test(reference: &Reference) -> Clients {
        let world = WORLD.with_borrow(|world| world.clone().unwrap());
        let mut clients = Clients {
            world: Rc::clone(&world),
            accounts: Vec::new(),
            tokens: Vec::new(),
            access_tokens: Vec::new(),
            steps: 0,
        };
        world.runtime.block_on(async {
            for session in &reference.sessions {
                let service = &world.replicas[0];
                let answer = match clients.accounts.get(session.account) {
                    Some(account) => service.log_in(&account.username, PASSWORD).await.unwrap(),
                    None => {
                        let number = world.accounts_so_far.replace_with(|number| *number + 1);
                        let username = format!("driver-{number}");
                        let answer = service
                            .sign_up(SignUpRequest {
                                email: Some(format!("{username}@example.com")),
                                username: username.clone(),
                                password: PASSWORD.to_owned(),
                            })
                            .await
                            .unwrap();
                        let id = answer.id.clone();
                        clients.accounts.push(Account { id, username });
                        answer
                    }
                };
                clients.start(answer);
            }
        });
        clients
    }

    fn apply(mut clients: Clients, reference: &Reference, transition: Transition) -> Clients {
        let world = Rc::clone(&clients.world);
        world.runtime.block_on(clients.step(reference, transition));
        clients
    }

    fn check_invariants(clients: &Clients, reference: &Reference) {
        clients.world.runtime.block_on(clients.compare(reference));
    }
}

/// A number that the environment may set.
fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

#[test]
fn refresh_tokens_do_what_their_model_says_in_whatever_order() {
    let runtime = Runtime::new().unwrap();
    let (_database, world) = runtime.block_on(async {
        let database = Database::create().await;
        let mut setup = Setup::on(&database);
        setup.settings.admin_password = Some(PASSWORD.to_owned());
        setup.settings.auth_free_signups_per_address = 1_000_000;
        setup.clock.stop();
        let one = setup.clone().start().await;
        let two = setup.start().await;
        let admin = RefCell::new(one.log_in("admin", PASSWORD).await.unwrap());
        (database, ([one, two], admin))
    });
    let (replicas, admin) = world;
    let world = Rc::new(World {
        runtime,
        replicas,
        admin,
        accounts_so_far: RefCell::default(),
    });
    WORLD.set(Some(Rc::clone(&world)));

    let seed = number("REFRESH_MODEL_SEED").unwrap_or_else(rand::random::<u64>);
    let config = Config {
        cases: number("REFRESH_MODEL_CASES").unwrap_or(200),
        max_shrink_iters: 500,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..Config::default()
    };
    let result = TestRunner::new(config.clone()).run(
        &Reference::sequential_strategy(1..30),
        |(reference, transitions, seen)| {
            RefreshTokens::test_sequential(config.clone(), reference, transitions, seen);
            Ok(())
        },
    );
    WORLD.set(None);
    if let Err(error) = result {
        panic!("with REFRESH_MODEL_SEED={seed}: {error}");
    }
    let world = Rc::into_inner(world).unwrap();
    let World { runtime, replicas, .. } = world;
    runtime.block_on(async {
        for service in replicas {
            service.stop().await;
        }
    });
}
