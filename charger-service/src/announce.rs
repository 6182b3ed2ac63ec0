//! Tells the other services what happens to charges and charge points: by the outbox, in the transaction of the fact where money is
//! concerned, and for the rest by a look at the live feed, whose rows were written with their facts.

pub mod certificate;
pub mod charge;
pub mod feed;
mod place;
