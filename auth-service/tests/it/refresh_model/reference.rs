//! What refresh tokens are meant to do, without a database, a clock or a key: the answers that the service has to give.

use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

/// Seconds that pass now and then: around the grace of a used token, the life of an access token, and the two ends of a
/// session.
const PAUSES: [i64; 11] = [
    1,
    9,
    10,
    11,
    299,
    300,
    DAY,
    30 * DAY - 1,
    30 * DAY,
    30 * DAY + 1,
    61 * DAY,
];
const DAY: i64 = 86_400;
const IDLE: i64 = 30 * DAY;
const ABSOLUTE: i64 = 90 * DAY;
const GRACE: i64 = 10;
const ACCESS_TOKEN: i64 = 300;

/// Sessions that a case has at most, over all of its accounts.
const MOST_SESSIONS: usize = 5;

pub const ROLES: [&[&str]; 3] = [&["driver"], &["operator"], &["driver", "operator"]];

/// A refresh token: which session it is of, and the how manieth of that session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    pub session: usize,
    pub number: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    This,
    Others,
    All,
}

/// What cannot be a token of ours.
#[derive(Debug, Clone, Copy)]
pub enum Forgery {
    /// A token with another last letter of its tag.
    Tag,
    /// A token under the name of another session.
    OtherSession,
    /// A token with another secret.
    Secret,
}

#[derive(Debug, Clone, Copy)]
pub enum Transition {
    LogIn {
        account: usize,
    },
    Refresh {
        token: Token,
    },
    /// The answer never reaches the client, which keeps what it had.
    RefreshUnheard {
        token: Token,
    },
    /// At two replicas at the same time.
    RefreshTwice {
        one: Token,
        other: Token,
    },
    Forge {
        token: Token,
        forgery: Forgery,
    },
    LogOut {
        session: usize,
        which: Which,
    },
    /// A logout at one replica, a refresh at the other.
    LogOutMeanwhile {
        session: usize,
        which: Which,
        token: Token,
    },
    ChangeRoles {
        account: usize,
        roles: usize,
    },
    /// An administrator at one replica, a refresh at the other.
    ChangeRolesMeanwhile {
        roles: usize,
        token: Token,
    },
    Wait {
        seconds: i64,
    },
}

/// What a refresh gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// This successor.
    Successor(usize),
    Refused,
    /// One or the other, as the requests happen to meet.
    Either(usize),
}

#[derive(Debug, Clone, Copy)]
pub struct AccessToken {
    pub issued_at: i64,
}

#[derive(Debug, Clone)]
pub struct Session {
    pub account: usize,
    started_at: i64,
    expires_at: i64,
    pub is_ended: bool,
    /// Access tokens from before are void.
    tokens_from: i64,
    /// When each token was used; the last one has not been.
    used_at: Vec<i64>,
    /// Whether the client ever saw a token. The first is the answer to the login.
    pub seen: Vec<bool>,
    /// The newest access token that the client saw.
    pub access_token: Option<AccessToken>,
}

#[derive(Debug, Clone, Default)]
pub struct Reference {
    now: i64,
    /// The roles of each.
    pub accounts: Vec<usize>,
    pub sessions: Vec<Session>,
    /// The answers to the last transition.
    pub answers: Vec<Answer>,
}

impl Reference {
    fn log_in(&mut self, account: usize) {
        self.sessions.push(Session {
            account,
            started_at: self.now,
            expires_at: self.now + IDLE,
            is_ended: false,
            tokens_from: self.now,
            used_at: Vec::new(),
            seen: vec![true],
            access_token: Some(AccessToken { issued_at: self.now }),
        });
    }

    fn is_over(&self, session: &Session) -> bool {
        session.is_ended || session.expires_at <= self.now
    }

    /// Whether the newest access token opens anything. Nothing is said of one that outlives its session by minutes.
    pub fn is_valid(&self, session: &Session) -> Option<bool> {
        let token = session.access_token?;
        let holds = token.issued_at + ACCESS_TOKEN > self.now && token.issued_at >= session.tokens_from;
        if session.is_ended {
            Some(false)
        } else {
            (session.expires_at > self.now || !holds).then_some(holds)
        }
    }

    pub fn may_act(&self, session: usize) -> bool {
        self.sessions
            .get(session)
            .is_some_and(|session| self.is_valid(session) == Some(true))
    }

    /// Sessions that an account has.
    pub fn going_on(&self, account: usize) -> usize {
        self.sessions
            .iter()
            .filter(|session| session.account == account && !self.is_over(session))
            .count()
    }

    fn refresh(&mut self, token: Token) -> Answer {
        let now = self.now;
        let is_over = self.is_over(&self.sessions[token.session]);
        let session = &mut self.sessions[token.session];
        if is_over {
            return Answer::Refused;
        }
        let successor = token.number + 1;
        match session.used_at.get(token.number) {
            None => {
                session.used_at.push(now);
                session.expires_at = (now + IDLE).min(session.started_at + ABSOLUTE);
                session.seen.push(false);
                Answer::Successor(successor)
            }
            Some(used_at) if now <= used_at + GRACE => Answer::Successor(successor),
            Some(_) => {
                session.is_ended = true;
                Answer::Refused
            }
        }
    }

    /// The client sees the answer.
    fn hear(&mut self, token: Token, answer: Answer) {
        let session = &mut self.sessions[token.session];
        if let Answer::Successor(successor) = answer {
            session.seen[successor] = true;
            let issued_at = self.now.max(session.tokens_from);
            session.access_token = Some(AccessToken { issued_at });
        }
    }

    fn log_out(&mut self, session: usize, which: Which) {
        let account = self.sessions[session].account;
        for (index, other) in self.sessions.iter_mut().enumerate() {
            let is_meant = match which {
                Which::This => index == session,
                Which::Others => index != session,
                Which::All => true,
            };
            if other.account == account && is_meant {
                other.is_ended = true;
            }
        }
    }

    fn change_roles(&mut self, account: usize, roles: usize) {
        if self.accounts[account] == roles {
            return;
        }
        self.accounts[account] = roles;
        let of_account = self
            .sessions
            .iter_mut()
            .filter(|session| session.account == account && !session.is_ended);
        let of_account: Vec<_> = of_account.collect();
        let latest = of_account.iter().map(|session| session.tokens_from).max();
        let from = self.now.max(latest.unwrap_or_default()) + 1;
        for session in of_account {
            session.tokens_from = from;
        }
    }

    /// Does two things in both orders, which may change what they answer, but not what is so afterwards.
    fn both<A, B>(&mut self, one: impl Fn(&mut Self) -> A, other: impl Fn(&mut Self) -> B) -> ((A, B), (A, B)) {
        let mut reversed = self.clone();
        let b = other(&mut reversed);
        let a = one(&mut reversed);
        let first = one(self);
        let second = other(self);
        ((first, second), (a, b))
    }
}

/// What may come of it, where it depends on the order.
fn either(one: Answer, other: Answer) -> Answer {
    match (one, other) {
        (Answer::Successor(successor), Answer::Refused) | (Answer::Refused, Answer::Successor(successor)) => {
            Answer::Either(successor)
        }
        (one, _) => one,
    }
}

impl ReferenceStateMachine for Reference {
    type State = Self;
    type Transition = Transition;

    /// Two accounts, one with two sessions.
    fn init_state() -> BoxedStrategy<Self> {
        let mut start = Self {
            accounts: vec![0, 0],
            ..Self::default()
        };
        start.log_in(0);
        start.log_in(1);
        start.log_in(0);
        Just(start).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Transition> {
        let tokens: Vec<Token> = state
            .sessions
            .iter()
            .enumerate()
            .flat_map(|(session, of)| (0..of.seen.len()).map(move |number| Token { session, number }))
            .filter(|token| state.sessions[token.session].seen[token.number])
            .collect();
        // The newest ones more often, for those are what clients show.
        let newest: Vec<Token> = (0..state.sessions.len())
            .filter_map(|session| tokens.iter().rev().find(|token| token.session == session).copied())
            .collect();
        let token = prop_oneof![3 => prop::sample::select(newest), 2 => prop::sample::select(tokens)].boxed();
        let which = prop_oneof![2 => Just(Which::This), 1 => Just(Which::Others), 1 => Just(Which::All)].boxed();
        let forgery = prop_oneof![Just(Forgery::Tag), Just(Forgery::OtherSession), Just(Forgery::Secret)];
        let session = 0..state.sessions.len();
        let roles = 0..ROLES.len();
        prop_oneof![
            10 => token.clone().prop_map(|token| Transition::Refresh { token }),
            4 => token.clone().prop_map(|token| Transition::RefreshUnheard { token }),
            4 => token.clone().prop_map(|token| Transition::RefreshTwice { one: token, other: token }),
            3 => (token.clone(), token.clone()).prop_map(|(one, other)| Transition::RefreshTwice { one, other }),
            2 => (token.clone(), forgery).prop_map(|(token, forgery)| Transition::Forge { token, forgery }),
            8 => prop::sample::select(&PAUSES[..6]).prop_map(|seconds| Transition::Wait { seconds }),
            2 => prop::sample::select(&PAUSES[6..]).prop_map(|seconds| Transition::Wait { seconds }),
            2 => (session.clone(), which.clone()).prop_map(|(session, which)| Transition::LogOut { session, which }),
            2 => (session, which, token.clone())
                .prop_map(|(session, which, token)| Transition::LogOutMeanwhile { session, which, token }),
            2 => (0..state.accounts.len(), roles.clone())
                .prop_map(|(account, roles)| Transition::ChangeRoles { account, roles }),
            3 => (roles, token).prop_map(|(roles, token)| Transition::ChangeRolesMeanwhile { roles, token }),
            1 => (0..state.accounts.len()).prop_map(|account| Transition::LogIn { account }),
        ]
        .boxed()
    }

    fn preconditions(state: &Self, transition: &Transition) -> bool {
        let is_seen = |token: &Token| {
            let session = state.sessions.get(token.session);
            session.is_some_and(|session| session.seen.get(token.number) == Some(&true))
        };
        match transition {
            Transition::LogIn { .. } => state.sessions.len() < MOST_SESSIONS,
            Transition::Refresh { token }
            | Transition::RefreshUnheard { token }
            | Transition::Forge { token, .. }
            | Transition::ChangeRolesMeanwhile { token, .. } => is_seen(token),
            Transition::RefreshTwice { one, other } => is_seen(one) && is_seen(other),
            Transition::LogOut { session, .. } => state.may_act(*session),
            Transition::LogOutMeanwhile { session, token, .. } => state.may_act(*session) && is_seen(token),
            Transition::ChangeRoles { .. } | Transition::Wait { .. } => true,
        }
    }

    fn apply(mut state: Self, transition: &Transition) -> Self {
        state.answers.clear();
        match *transition {
            Transition::LogIn { account } => state.log_in(account),
            Transition::Refresh { token } => {
                let answer = state.refresh(token);
                state.hear(token, answer);
                state.answers.push(answer);
            }
            Transition::RefreshUnheard { token } => {
                let answer = state.refresh(token);
                state.answers.push(answer);
            }
            Transition::RefreshTwice { one, other } => {
                let (answers, reversed) = state.both(|state| state.refresh(one), |state| state.refresh(other));
                for (token, answer, reversed) in [(one, answers.0, reversed.0), (other, answers.1, reversed.1)] {
                    let answer = either(answer, reversed);
                    state.hear(token, answer);
                    state.answers.push(answer);
                }
            }
            Transition::Forge { .. } => state.answers.push(Answer::Refused),
            Transition::LogOut { session, which } => state.log_out(session, which),
            Transition::LogOutMeanwhile { session, which, token } => {
                let (answer, reversed) =
                    state.both(|state| state.refresh(token), |state| state.log_out(session, which));
                let answer = either(answer.0, reversed.0);
                state.hear(token, answer);
                state.answers.push(answer);
            }
            Transition::ChangeRoles { account, roles } => state.change_roles(account, roles),
            Transition::ChangeRolesMeanwhile { roles, token } => {
                let account = state.sessions[token.session].account;
                let answer = state.refresh(token);
                state.change_roles(account, roles);
                // Whether the access token is of before or after, only it can say.
                if let Answer::Successor(successor) = answer {
                    state.sessions[token.session].seen[successor] = true;
                    state.sessions[token.session].access_token = None;
                }
                state.answers.push(answer);
            }
            Transition::Wait { seconds } => state.now += seconds,
        }
        state
    }
}
