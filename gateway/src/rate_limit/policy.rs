//! How much there is for whom: what an operator writes, and what is made of it.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use http::HeaderValue;
use metrics::Counter;
use service_kit::start::StartError;

use super::class::Class;

/// The longest window: a day.
const LONGEST_WINDOW: u64 = 24 * 60 * 60;

/// The largest quota.
const MOST: u32 = 1_000_000;

/// An IPv6 site may ask as often as this many addresses.
const NETWORKS_OF_A_SITE: NonZeroU32 = NonZeroU32::MIN.saturating_add(7);

/// So many requests at once; after a whole window without one, they are all there again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Quota {
    pub requests: NonZeroU32,
    /// In seconds.
    pub window: u64,
}

impl Quota {
    /// For all networks of one IPv6 site together, where this is for each. Most sites use a few of their networks; whoever wants to be
    /// many has sixty-five thousand.
    pub fn of_site(self) -> Self {
        Self {
            requests: self.requests.saturating_mul(NETWORKS_OF_A_SITE),
            ..self
        }
    }

    /// After how long there is one more, in microseconds. Redis counts in these.
    pub fn interval(&self) -> u64 {
        (self.window * 1_000_000).div_ceil(u64::from(self.requests.get()))
    }
}

/// What is written in place of limits, in words that follow on the setting's name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadLimits {
    #[error("has `{0}`, which is not of the form account=600/10s")]
    Form(String),
    #[error("has `{0}`, and counts for `stranger`, `account`, `key`, `account-keys`, `station` and `address` only")]
    Kind(String),
    #[error("has `{0}` twice")]
    Twice(String),
}

impl FromStr for Quota {
    type Err = BadLimits;

    fn from_str(text: &str) -> Result<Self, BadLimits> {
        let read = || {
            let (requests, window) = text.split_once('/')?;
            let unit = window.chars().last()?;
            let seconds = match unit {
                's' => 1,
                'm' => 60,
                'h' => 3600,
                _ => return None,
            };
            let number: u64 = window.strip_suffix(unit)?.parse().ok()?;
            let window = number.checked_mul(seconds)?;
            let requests: NonZeroU32 = requests.parse().ok()?;
            let fits = requests.get() <= MOST && (1..=LONGEST_WINDOW).contains(&window);
            fits.then_some(Self { requests, window })
        };
        read().ok_or_else(|| BadLimits::Form(text.to_owned()))
    }
}

/// The limits of a class; none for whom there is none.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ClassLimits {
    /// For each address, of what comes from those who have not proven who they are.
    pub stranger: Option<Quota>,
    pub account: Option<Quota>,
    pub key: Option<Quota>,
    /// For each account, of what all of its keys do.
    pub account_keys: Option<Quota>,
    /// For each charge point at each address.
    pub station: Option<Quota>,
    /// For each address, of all that comes from there.
    pub address: Option<Quota>,
}

impl FromStr for ClassLimits {
    type Err = BadLimits;

    fn from_str(text: &str) -> Result<Self, BadLimits> {
        let mut limits = Self::default();
        let text = text.trim();
        if text == "off" {
            return Ok(limits);
        }
        let mut seen = BTreeSet::new();
        for entry in text.split(',').map(str::trim) {
            let (kind, quota) = entry.split_once('=').ok_or_else(|| BadLimits::Form(entry.to_owned()))?;
            let place = match kind {
                "stranger" => &mut limits.stranger,
                "account" => &mut limits.account,
                "key" => &mut limits.key,
                "account-keys" => &mut limits.account_keys,
                "station" => &mut limits.station,
                "address" => &mut limits.address,
                _ => return Err(BadLimits::Kind(kind.to_owned())),
            };
            if !seen.insert(kind) {
                return Err(BadLimits::Twice(kind.to_owned()));
            }
            *place = Some(quota.parse().map_err(|_| BadLimits::Form(entry.to_owned()))?);
        }
        Ok(limits)
    }
}

/// One limit, as it is applied.
#[derive(Clone)]
pub struct Policy {
    /// Its place among all, by which keys of several are told apart.
    pub index: u8,
    /// As clients see it, such as `read-account`.
    pub name: String,
    pub quota: Quota,
    /// Its `RateLimit-Policy`.
    pub header: HeaderValue,
    /// What its keys at Redis begin with. It has the quota in it, so that gateways with other limits, and this one after a change, do
    /// not go by what was counted under these.
    pub redis_prefix: String,
    /// Requests that were refused for it.
    pub refused: Counter,
}

impl fmt::Debug for Policy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

impl Policy {
    fn new(index: u8, name: String, quota: Quota) -> Result<Self, StartError> {
        let Quota { requests, window } = quota;
        let header = HeaderValue::try_from(format!("\"{name}\";q={requests};w={window}"));
        Ok(Self {
            index,
            header: header.map_err(|error| StartError::other("a rate limit cannot be told", error))?,
            redis_prefix: format!("voltgate:rate:{name}:{requests}/{window}:"),
            refused: metrics::counter!("voltgate_gateway_rate_limited_total", "policy" => name.clone()),
            name,
            quota,
        })
    }

    pub fn interval(&self) -> Duration {
        Duration::from_micros(self.quota.interval())
    }

    /// How full it may be and take one more, in microseconds.
    pub fn tolerance(&self) -> u64 {
        self.quota.interval() * u64::from(self.quota.requests.get() - 1)
    }

    /// When all of it is there again, if nobody asks.
    pub fn until_all_there(&self, remaining: u32) -> Duration {
        self.interval() * self.quota.requests.get().saturating_sub(remaining)
    }
}

/// The policies of a class.
#[derive(Clone, Debug, Default)]
pub struct ClassPolicies {
    pub stranger: Option<Policy>,
    /// For each site of IPv6.
    pub stranger_site: Option<Policy>,
    pub account: Option<Policy>,
    pub key: Option<Policy>,
    pub account_keys: Option<Policy>,
    pub station: Option<Policy>,
    pub address: Option<Policy>,
    /// For each site of IPv6.
    pub site: Option<Policy>,
}

impl ClassPolicies {
    fn all(&self) -> [&Option<Policy>; 8] {
        let Self {
            stranger,
            stranger_site,
            account,
            key,
            account_keys,
            station,
            address,
            site,
        } = self;
        [
            stranger,
            stranger_site,
            account,
            key,
            account_keys,
            station,
            address,
            site,
        ]
    }
}

/// Those of all classes.
#[derive(Debug, Default)]
pub struct Policies([ClassPolicies; Class::ALL.len()]);

impl Policies {
    /// # Errors
    /// A limit cannot be told to clients.
    pub fn new<'l>(limits: impl Fn(Class) -> &'l ClassLimits) -> Result<Self, StartError> {
        let mut indices = 0..=u8::MAX;
        let mut policies = Self::default();
        for class in Class::ALL {
            // In the order in which `ClassPolicies::all` has them.
            let mut policy = |kind: &str, quota: Option<Quota>| {
                let Some(quota) = quota else { return Ok(None) };
                let index = indices.next();
                let index = index.ok_or_else(|| StartError::other("there are too many rate limits", kind))?;
                Policy::new(index, format!("{}-{kind}", class.name()), quota).map(Some)
            };
            let limits = limits(class);
            policies.0[class as usize] = ClassPolicies {
                stranger: policy("stranger", limits.stranger)?,
                stranger_site: policy("stranger-site", limits.stranger.map(Quota::of_site))?,
                account: policy("account", limits.account)?,
                key: policy("key", limits.key)?,
                account_keys: policy("account-keys", limits.account_keys)?,
                station: policy("station", limits.station)?,
                address: policy("address", limits.address)?,
                site: policy("site", limits.address.map(Quota::of_site))?,
            };
        }
        Ok(policies)
    }

    pub fn of(&self, class: Class) -> &ClassPolicies {
        &self.0[class as usize]
    }

    /// In the order of their indices.
    pub fn iter(&self) -> impl Iterator<Item = &Policy> {
        self.0.iter().flat_map(ClassPolicies::all).flatten()
    }

    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn limits_are_read_as_they_are_written() {
        let limits: ClassLimits = "stranger=300/10s, account=600/1m,address=9/2h".parse().unwrap();
        let quota = |requests, window| {
            Some(Quota {
                requests: NonZeroU32::new(requests).unwrap(),
                window,
            })
        };
        let expected = ClassLimits {
            stranger: quota(300, 10),
            account: quota(600, 60),
            address: quota(9, 7200),
            ..ClassLimits::default()
        };
        assert_eq!(limits, expected);
        assert_eq!("off".parse(), Ok(ClassLimits::default()));
    }

    #[test]
    fn what_is_no_limit_is_told() {
        for (text, expected) in [
            ("", "not of the form"),
            ("account", "not of the form"),
            ("account=0/1s", "account=0/1s"),
            ("account=5/0s", "account=5/0s"),
            ("account=5/1", "account=5/1"),
            ("account=5/2d", "not of the form"),
            ("account=5/25h", "not of the form"),
            ("account=5/99999999999999999999h", "not of the form"),
            ("account=1000001/1s", "not of the form"),
            ("account=5/é", "not of the form"),
            ("everybody=5/1s", "has `everybody`"),
            ("key=5/1s,key=6/1s", "has `key` twice"),
        ] {
            let told = text.parse::<ClassLimits>().unwrap_err().to_string();
            assert!(told.contains(expected), "{text}: {told}");
        }
    }

    #[test]
    fn policies_have_places_of_their_own_and_names_for_clients() {
        let limits: ClassLimits =
            "stranger=3/10s,account=4/10s,key=5/10s,account-keys=9/10s,station=6/10s,address=7/10s"
                .parse()
                .unwrap();
        let policies = Policies::new(|_| &limits).unwrap();
        let indices: Vec<_> = policies.iter().map(|policy| usize::from(policy.index)).collect();
        // Those of addresses are for sites besides.
        assert_eq!(indices, (0..8 * Class::ALL.len()).collect::<Vec<_>>());
        let names: BTreeSet<_> = policies.iter().map(|policy| &policy.name).collect();
        assert_eq!(names.len(), indices.len());
        let header = |policy: &Option<Policy>| policy.as_ref().unwrap().header.clone();
        assert_eq!(
            header(&policies.of(Class::SignIn).address),
            "\"sign-in-address\";q=7;w=10"
        );
        assert_eq!(
            header(&policies.of(Class::Read).stranger_site),
            "\"read-stranger-site\";q=24;w=10"
        );
        assert!(Policies::new(|_| const { &NONE }).unwrap().is_empty());
    }

    const NONE: ClassLimits = ClassLimits {
        stranger: None,
        account: None,
        key: None,
        account_keys: None,
        station: None,
        address: None,
    };
}
