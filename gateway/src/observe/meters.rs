//! The metrics of one route.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::Method;
use metrics::{Counter, Histogram, SharedString};
use tonic::Code;

use super::codes::code_name;

/// Methods are free text; a label is not.
const METHODS: [&str; 8] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "other"];

/// Statuses that routes often answer with.
const OFTEN: [u16; 18] = [
    101, 200, 201, 202, 204, 206, 304, 400, 401, 403, 404, 409, 412, 422, 429, 499, 500, 503,
];

/// gRPC's codes are 0 to 16.
const CODES: usize = 17;

/// The method as metrics and lines have it.
pub fn method_label(method: &Method) -> &'static str {
    METHODS[method_place(method.as_str())]
}

fn method_place(method: &str) -> usize {
    let known = METHODS.iter().position(|known| *known == method);
    known.unwrap_or(METHODS.len() - 1)
}

/// What is counted and measured of a route. The registry is asked for each when it is first needed and never again: to make its labels
/// and to look it up would be more work for each request than to count.
#[derive(Debug)]
pub struct Meters {
    route: SharedString,
    methods: [OnceLock<Box<OfMethod>>; METHODS.len()],
    codes: [OnceLock<Counter>; CODES],
}

#[derive(Debug)]
struct OfMethod {
    seconds: Histogram,
    answers: [OnceLock<Counter>; OFTEN.len()],
}

impl Meters {
    /// Of a route that the protos have.
    pub fn of(route: &str) -> Self {
        Self::new(SharedString::from_shared(Arc::from(route)))
    }

    /// Of a route of the gateway's own.
    pub const fn own(route: &'static str) -> Self {
        Self::new(SharedString::const_str(route))
    }

    const fn new(route: SharedString) -> Self {
        Self {
            route,
            methods: [const { OnceLock::new() }; METHODS.len()],
            codes: [const { OnceLock::new() }; CODES],
        }
    }

    /// The template.
    pub fn route(&self) -> &str {
        &self.route
    }

    /// A request was answered, after so long.
    pub fn answered(&self, method: &'static str, status: u16, took: Duration) {
        let place = method_place(method);
        let of_method = self.methods[place].get_or_init(|| Box::new(self.of_method(method)));
        of_method.seconds.record(took);
        match OFTEN.iter().position(|often| *often == status) {
            Some(place) => of_method.answers[place]
                .get_or_init(|| self.answers(method, status))
                .increment(1),
            None => self.answers(method, status).increment(1),
        }
    }

    /// A call of gRPC ended with this code.
    pub fn called(&self, code: Code) {
        let counter = || metrics::counter!("voltgate_gateway_grpc_total", "route" => self.route.clone(), "code" => code_name(code));
        match self.codes.get(code as usize) {
            Some(known) => known.get_or_init(counter).increment(1),
            None => counter().increment(1),
        }
    }

    fn of_method(&self, method: &'static str) -> OfMethod {
        OfMethod {
            seconds: metrics::histogram!("voltgate_gateway_request_seconds", "route" => self.route.clone(), "method" => method),
            answers: [const { OnceLock::new() }; OFTEN.len()],
        }
    }

    fn answers(&self, method: &'static str, status: u16) -> Counter {
        metrics::counter!("voltgate_gateway_requests_total", "route" => self.route.clone(), "method" => method,
            "status" => status.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_that_nobody_knows_is_another() {
        for (method, label) in [("GET", "GET"), ("PURGE", "other"), ("other", "other"), ("get", "other")] {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            assert_eq!(method_label(&method), label);
        }
    }

    #[test]
    fn every_code_has_a_place() {
        for code in 0..CODES {
            let code = i32::try_from(code).expect("it is small");
            assert_eq!(Code::from_i32(code) as i32, code);
        }
        assert_eq!(Code::from_i32(17), Code::Unknown);
    }
}
