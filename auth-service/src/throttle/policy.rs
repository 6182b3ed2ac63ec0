//! How often is too often: every number of the throttle.
//!
//! Attempts are counted in leaking buckets. The first few failures cost nothing; each one after that makes the next attempt
//! wait, 1 second at first and then twice as long each time, up to a longest wait. A failure is forgotten after a while,
//! one at a time.

/// What somebody attempts. Each purpose is counted by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A password, to log in or asked for again. Only failures count.
    LogIn,
    /// An answer to the challenge of a login with a passkey. Only failures count.
    Passkey,
    /// Such a challenge. Everyone counts, for each is kept until it is answered or too old.
    PasskeyChallenge,
    /// A code that came by mail. Only failures count.
    EmailedCode,
    /// A new account. Everyone counts, for it also tells whether a name is taken.
    SignUp,
    /// A mail, such as for a forgotten password, that anybody may have sent to somebody. Everyone counts.
    SendMail,
}

/// What an attempt is counted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// For an account, from an address.
    Pair,
    /// From an address, for whatever account.
    Address,
    /// For an account, from whatever address.
    Account,
}

/// How one kind of key is counted. Times are in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Failures that cost nothing.
    pub free: u32,
    /// The first wait.
    pub first: u32,
    /// The longest wait.
    pub longest: u32,
    /// After how long one failure is forgotten.
    pub leak: u32,
}

/// The numbers that an operator may turn.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Failures of one client for one account that cost nothing.
    pub failures: u32,
    /// Failures from one address, for whatever accounts, that cost nothing.
    pub failures_per_address: u32,
    /// Signups from one address that cost nothing.
    pub signups_per_address: u32,
    /// The longest that anybody has to wait, in seconds.
    pub longest_wait: u32,
}

/// What strangers can make somebody wait for: an account at an address that it is new at, and whoever shares an address with them and
/// says no name. Short, for it is they who choose when.
const LONGEST_FOR_STRANGERS: u32 = 60;

/// Failures for one account, from wherever, that cost nothing.
const FREE_FOR_ACCOUNT: u32 = 20;

/// After how long a failure of an address is forgotten. Many people may share one.
const LEAK_OF_ADDRESS: u32 = 3 * 60;

/// Signups that an address shared by many people may go on with for ever: one a minute.
const LEAK_OF_SIGNUPS: u32 = 60;

/// What is asked for without a name and cannot be guessed at, 256 random bits each time: so many of an address at once, and after how
/// many seconds there is one more. Many people may share the address, and none of them is known, so whoever floods it has all of
/// them wait; it is for a moment, and the bound is there for the work that is done for each. Of challenges for passkeys, which a
/// page may ask for each time that it is opened and which live for five minutes, there are never more than four hundred of one
/// address.
const NAMELESS: u32 = 100;
const LEAK_OF_NAMELESS: u32 = 1;

/// Mails to one account: three, then after waits that double. Whoever goes on and on comes to one each longest wait, which ends before
/// a mail is forgotten where nothing else is set.
const MAILS: u32 = 3;
const LEAK_OF_MAILS: u32 = 20 * 60;
const FIRST_WAIT_FOR_MAIL: u32 = 60;

/// Mails asked for from one address, to whatever accounts.
const MAILS_PER_ADDRESS: u32 = 20;

impl Limits {
    /// How `kind` is counted for `purpose`; not at all where there is none.
    pub fn policy(&self, purpose: Purpose, kind: Kind) -> Option<Policy> {
        let longest = self.longest_wait;
        let growing = |free, leak| {
            Some(Policy {
                free,
                first: 1,
                longest,
                leak,
            })
        };
        match (purpose, kind) {
            (Purpose::LogIn, Kind::Pair) => growing(self.failures, longest),
            (Purpose::LogIn, Kind::Address) => growing(self.failures_per_address, LEAK_OF_ADDRESS),
            (Purpose::LogIn, Kind::Account) => Some(Policy {
                free: FREE_FOR_ACCOUNT,
                first: 1,
                longest: longest.min(LONGEST_FOR_STRANGERS),
                leak: LONGEST_FOR_STRANGERS,
            }),
            (Purpose::Passkey | Purpose::PasskeyChallenge | Purpose::EmailedCode, Kind::Address) => Some(Policy {
                free: NAMELESS,
                first: 1,
                longest: longest.min(LONGEST_FOR_STRANGERS),
                leak: LEAK_OF_NAMELESS,
            }),
            (Purpose::SignUp, Kind::Address) => growing(self.signups_per_address, LEAK_OF_SIGNUPS),
            // These come without a name.
            (
                Purpose::Passkey | Purpose::PasskeyChallenge | Purpose::EmailedCode | Purpose::SignUp,
                Kind::Pair | Kind::Account,
            ) => None,
            (Purpose::SendMail, Kind::Address) => growing(MAILS_PER_ADDRESS, LEAK_OF_ADDRESS),
            (Purpose::SendMail, Kind::Pair) => None,
            (Purpose::SendMail, Kind::Account) => Some(Policy {
                free: MAILS,
                first: FIRST_WAIT_FOR_MAIL.min(longest),
                longest,
                leak: LEAK_OF_MAILS,
            }),
        }
    }
}

impl Purpose {
    #[cfg(test)]
    pub const ALL: [Self; 6] = [
        Self::LogIn,
        Self::Passkey,
        Self::PasskeyChallenge,
        Self::EmailedCode,
        Self::SignUp,
        Self::SendMail,
    ];

    /// As clients see it in `RateLimit-Policy`.
    pub fn name(self) -> &'static str {
        match self {
            Self::LogIn => "login",
            Self::Passkey => "passkey",
            Self::PasskeyChallenge => "passkey-challenge",
            Self::EmailedCode => "code",
            Self::SignUp => "signup",
            Self::SendMail => "mail",
        }
    }

    /// Whether what is counted for `kind` does not concern an account where it is familiar. Mail it does: that somebody
    /// was here before is no reason to send them more.
    pub fn spares(self, kind: Kind) -> bool {
        match self {
            Self::LogIn => kind != Kind::Pair,
            // Without a name nobody can be at home anywhere.
            Self::Passkey | Self::PasskeyChallenge | Self::EmailedCode | Self::SignUp | Self::SendMail => false,
        }
    }
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Pair, Self::Address, Self::Account];

    pub fn name(self) -> &'static str {
        match self {
            Self::Pair => "pair",
            Self::Address => "address",
            Self::Account => "account",
        }
    }
}

impl Policy {
    /// Failures that are counted at most: those after which the wait is the longest. What comes on top would only make
    /// forgetting take longer.
    pub fn fullest(&self) -> u32 {
        let doublings = (0..31).find(|doublings| self.after_doublings(*doublings) >= self.longest);
        self.free + 1 + doublings.unwrap_or(31)
    }

    fn after_doublings(&self, doublings: u32) -> u32 {
        self.first.saturating_mul(1 << doublings)
    }
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    const LIMITS: Limits = Limits {
        failures: 5,
        failures_per_address: 20,
        signups_per_address: 50,
        longest_wait: 900,
    };

    #[test]
    fn a_bucket_is_full_where_the_wait_is_the_longest() {
        let policy = |first, longest| Policy {
            free: 5,
            first,
            longest,
            leak: 1,
        };
        // 1, 2, 4, …, 512, 900 seconds after the sixth, seventh, …, sixteenth failure.
        assert_eq!(policy(1, 900).fullest(), 16);
        assert_eq!(policy(1, 1).fullest(), 6);
        assert_eq!(policy(60, 60).fullest(), 6);
        assert_eq!(policy(1, u32::MAX).fullest(), 5 + 1 + 31);
    }

    #[test]
    fn strangers_never_make_an_account_wait_for_more_than_a_minute_to_log_in() {
        let policy = LIMITS.policy(Purpose::LogIn, Kind::Account);
        assert!(policy.is_some_and(|policy| policy.longest <= 60));
    }

    #[test]
    fn where_no_name_is_said_nobody_waits_for_more_than_a_minute_for_what_others_did() {
        for purpose in [Purpose::Passkey, Purpose::PasskeyChallenge, Purpose::EmailedCode] {
            let policy = LIMITS.policy(purpose, Kind::Address);
            assert!(policy.is_some_and(|policy| policy.longest <= 60), "{purpose:?}");
        }
    }

    #[test]
    fn every_policy_lets_somebody_in_and_forgets() {
        for purpose in Purpose::ALL {
            for policy in Kind::ALL.into_iter().filter_map(|kind| LIMITS.policy(purpose, kind)) {
                assert!(policy.free > 0 && policy.leak > 0 && policy.first > 0 && policy.longest >= policy.first);
            }
        }
    }
}
