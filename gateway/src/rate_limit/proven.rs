//! Charge points that were let in of late, and from where. Until a charge point's service was asked nobody knows whether it is that
//! charge point, and that is asked last of all; but whoever was let in a while ago is hardly somebody else now. So those are told from
//! all the others who come from their address and say some identity.

use quick_cache::sync::Cache;

use super::key::Subject;

/// Charge points that are remembered, at one address each: a few megabytes.
const REMEMBERED: usize = 100_000;

/// See the [module](self).
pub struct Proven(Cache<Subject, ()>);

impl Default for Proven {
    fn default() -> Self {
        Self(Cache::new(REMEMBERED))
    }
}

impl Proven {
    pub fn contains(&self, station: &Subject) -> bool {
        self.0.get(station).is_some()
    }

    pub fn remember(&self, station: Subject) {
        if !self.contains(&station) {
            self.0.insert(station, ());
        }
    }
}

impl std::fmt::Debug for Proven {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Proven").field(&self.0.len()).finish()
    }
}
