//! The one catalogue of what can go wrong, as callers see it. A service answers with a gRPC status whose `ErrorInfo`
//! names the reason; the gateway turns that into problem+json with the HTTP status given here.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// `ErrorInfo.domain` of every reason.
pub const DOMAIN: &str = "voltgate";

/// What is wrong with one field of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FieldViolation {
    /// Name or JSON path, as the client wrote it.
    pub field: String,
    /// What is wrong, as the rest of a sentence that starts with the field.
    pub message: String,
}

impl FieldViolation {
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal, $code:ident, $http:literal, $title:literal;)+) => {
        /// Why a request failed. The text is part of the API and never changes.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)+ }

        impl Reason {
            /// Every reason, for the documentation of the API.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// As it stands in `ErrorInfo.reason` and in problem+json.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            pub fn code(self) -> Code {
                match self { $(Self::$name => Code::$code,)+ }
            }

            pub fn http_status(self) -> u16 {
                match self { $(Self::$name => $http,)+ }
            }

            /// A short sentence that is the same for every occurrence (RFC 9457, section 3.1.4).
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }
        }
    };
}

reasons! {
    /// No mail goes to the address.
    AddressSuppressed = "ADDRESS_SUPPRESSED", FailedPrecondition, 409, "The address is suppressed";
    /// The campaign was completed or canceled before.
    CampaignOver = "CAMPAIGN_OVER", FailedPrecondition, 409, "The campaign is over";
    /// The charge point has been registered before.
    ChargePointExists = "CHARGE_POINT_EXISTS", AlreadyExists, 409, "The charge point exists";
    /// A charge point that is to come back is in use.
    ChargePointNotRetired = "CHARGE_POINT_NOT_RETIRED", FailedPrecondition, 409, "The charge point is not retired";
    /// The charge point was taken out of use.
    ChargePointRetired = "CHARGE_POINT_RETIRED", FailedPrecondition, 409, "The charge point is retired";
    /// There is a charging profile template of this name.
    ChargingProfileTemplateExists = "CHARGING_PROFILE_TEMPLATE_EXISTS", AlreadyExists, 409, "The charging profile template exists";
    /// The code is another connector's.
    ConnectorCodeExists = "CONNECTOR_CODE_EXISTS", AlreadyExists, 409, "The connector's code is taken";
    /// No charge can be started at the connector now.
    ConnectorNotFree = "CONNECTOR_NOT_FREE", FailedPrecondition, 409, "The connector is not free";
    /// What was set aside still cannot be taken in.
    DeadLetterUnreadable = "DEAD_LETTER_UNREADABLE", FailedPrecondition, 409, "It still cannot be taken in";
    /// What a webhook was told already, or is being told, or cannot be told any more.
    DeliveryNotFailed = "DELIVERY_NOT_FAILED", FailedPrecondition, 409, "The delivery was not given up";
    /// The deadline passed.
    DeadlineExceeded = "DEADLINE_EXCEEDED", DeadlineExceeded, 504, "The answer took too long";
    /// The id token may not charge.
    IdTokenBlocked = "ID_TOKEN_BLOCKED", FailedPrecondition, 409, "The id token is blocked";
    /// The id token has been registered before.
    IdTokenExists = "ID_TOKEN_EXISTS", AlreadyExists, 409, "The id token exists";
    /// The id token may charge no more.
    IdTokenExpired = "ID_TOKEN_EXPIRED", FailedPrecondition, 409, "The id token has expired";
    /// As many charges run with the id token as may.
    IdTokenInUse = "ID_TOKEN_IN_USE", FailedPrecondition, 409, "The id token is in use";
    /// The id token may not charge at this place, or not by this way.
    IdTokenNotAccepted = "ID_TOKEN_NOT_ACCEPTED", FailedPrecondition, 409, "The id token is not accepted here";
    /// A firmware of this name has other content.
    FileExists = "FILE_EXISTS", AlreadyExists, 409, "The file exists with other content";
    /// The idempotency key came with another request before.
    IdempotencyKeyReused = "IDEMPOTENCY_KEY_REUSED", AlreadyExists, 422, "The idempotency key was used for another request";
    /// The API key is valid, and not meant for this.
    InsufficientScope = "INSUFFICIENT_SCOPE", PermissionDenied, 403, "The API key does not allow it";
    /// Our fault; the log has the details.
    Internal = "INTERNAL", Internal, 500, "Something went wrong on our side";
    /// A login whose second step comes too late, too often, or for nothing.
    InvalidChallenge = "INVALID_CHALLENGE", Unauthenticated, 401, "The login cannot be finished any more";
    /// The second step of a login has a code that is not right, or was used before.
    InvalidCode = "INVALID_CODE", Unauthenticated, 401, "Wrong code";
    /// Username and password do not belong together.
    InvalidCredentials = "INVALID_CREDENTIALS", Unauthenticated, 401, "Wrong username or password";
    /// A code that came by mail is expired, used up, or no one's.
    InvalidEmailedCode = "INVALID_EMAILED_CODE", FailedPrecondition, 400, "The code is not valid";
    /// A refresh token that is expired, used up, or no one's.
    InvalidRefreshToken = "INVALID_REFRESH_TOKEN", Unauthenticated, 401, "The refresh token is not valid";
    /// The request cannot be read; the violations say where.
    InvalidRequest = "INVALID_REQUEST", InvalidArgument, 400, "The request is not valid";
    /// An access token that is expired, forged or meant for somebody else.
    InvalidToken = "INVALID_TOKEN", Unauthenticated, 401, "The access token is not valid";
    /// Without this account nobody would be an administrator.
    LastAdministrator = "LAST_ADMINISTRATOR", FailedPrecondition, 409, "The last administrator";
    /// The body is not JSON; the message says where.
    MalformedJson = "MALFORMED_JSON", InvalidArgument, 400, "The body is not JSON";
    /// A mail that is under way, had a code in it, or is about an account that is deleted.
    MessageNotRepeatable = "MESSAGE_NOT_REPEATABLE", FailedPrecondition, 409, "The message cannot be sent once more";
    /// The path exists, with other methods.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", Unimplemented, 405, "The method is not allowed here";
    /// No credentials were sent.
    MissingCredentials = "MISSING_CREDENTIALS", Unauthenticated, 401, "Credentials are required";
    /// The answer has no form that the client takes.
    NotAcceptable = "NOT_ACCEPTABLE", InvalidArgument, 406, "The answer has no form that you accept";
    /// The account has no address to send mail to.
    NoEmail = "NO_EMAIL", FailedPrecondition, 409, "The account has no email address";
    /// The secret that keeps signing secrets is not set.
    NoEmailSecret = "NO_EMAIL_SECRET", FailedPrecondition, 409, "Webhooks are not set up";
    /// The account has nothing to charge with.
    NoIdToken = "NO_ID_TOKEN", FailedPrecondition, 409, "There is no id token";
    /// Charge points cannot be told where to fetch or leave files.
    NoPublicUrl = "NO_PUBLIC_URL", FailedPrecondition, 409, "The address that charge points reach is not set";
    /// No such resource.
    NotFound = "NOT_FOUND", NotFound, 404, "Not found";
    /// None of the WebSocket subprotocols offered is spoken here.
    NoCommonSubprotocol = "NO_COMMON_SUBPROTOCOL", InvalidArgument, 400, "No common subprotocol";
    /// The account has no address, or its address is verified.
    NothingToVerify = "NOTHING_TO_VERIFY", FailedPrecondition, 409, "There is nothing to verify";
    /// More work than can be done now.
    Overloaded = "OVERLOADED", Unavailable, 503, "Too busy just now";
    /// The passkey has been registered before.
    PasskeyExists = "PASSKEY_EXISTS", AlreadyExists, 409, "The passkey is registered already";
    /// A login with a passkey that is no account's, or did not sign what it was asked to.
    PasskeyRefused = "PASSKEY_REFUSED", Unauthenticated, 401, "The passkey was not accepted";
    /// The password is right, and an administrator demands another one.
    PasswordResetRequired = "PASSWORD_RESET_REQUIRED", FailedPrecondition, 403, "The password has to be reset";
    /// The body is larger than the endpoint takes.
    PayloadTooLarge = "PAYLOAD_TOO_LARGE", ResourceExhausted, 413, "The body is too large";
    /// The caller's roles do not allow it.
    PermissionDenied = "PERMISSION_DENIED", PermissionDenied, 403, "Not allowed";
    /// The resource is not in the version that `If-Match` names.
    PreconditionFailed = "PRECONDITION_FAILED", Aborted, 412, "It has been changed meanwhile";
    /// The client did not send the whole request in time.
    RequestTimeout = "REQUEST_TIMEOUT", DeadlineExceeded, 408, "The request took too long to arrive";
    /// The charge point does not have the credentials it needs.
    StationUnauthorized = "STATION_UNAUTHORIZED", Unauthenticated, 401, "The charge point's credentials are not valid";
    /// The session that was to go on is over, because its charge point has a newer one.
    SessionOver = "SESSION_OVER", FailedPrecondition, 409, "The session is over";
    /// There is a site of this name.
    SiteExists = "SITE_EXISTS", AlreadyExists, 409, "The site exists";
    /// There is a tariff of this name, or one that begins in the same place at the same moment.
    TariffExists = "TARIFF_EXISTS", AlreadyExists, 409, "The tariff exists";
    /// Charge points stand at the site, or a tariff is for it.
    SiteInUse = "SITE_IN_USE", FailedPrecondition, 409, "The site is in use";
    /// What a charge point said cannot be applied to this transaction.
    StrayMisfit = "STRAY_MISFIT", FailedPrecondition, 409, "The stray does not fit the transaction";
    /// What a charge point said was attached, merged or dismissed before, and otherwise.
    StraySettled = "STRAY_SETTLED", FailedPrecondition, 409, "The stray has been dealt with";
    /// There is no room for more files.
    StorageFull = "STORAGE_FULL", ResourceExhausted, 507, "There is no room for more files";
    /// An account has no room for another API key.
    TooManyApiKeys = "TOO_MANY_API_KEYS", FailedPrecondition, 409, "Too many API keys";
    /// There is no number left for another charging profile template.
    TooManyChargingProfileTemplates = "TOO_MANY_CHARGING_PROFILE_TEMPLATES", FailedPrecondition, 409, "Too many charging profile templates";
    /// An account has no room for another passkey.
    TooManyPasskeys = "TOO_MANY_PASSKEYS", FailedPrecondition, 409, "Too many passkeys";
    /// Too many requests from this client, or attempts for this account, of late.
    TooManyRequests = "TOO_MANY_REQUESTS", ResourceExhausted, 429, "Too many requests";
    /// An account has no room for another subscription.
    TooManySubscriptions = "TOO_MANY_SUBSCRIPTIONS", FailedPrecondition, 409, "Too many subscriptions";
    /// There is no room for another webhook.
    TooManyWebhooks = "TOO_MANY_WEBHOOKS", FailedPrecondition, 409, "Too many webhooks";
    /// The account has an authenticator app already.
    TotpExists = "TOTP_EXISTS", AlreadyExists, 409, "There is an authenticator app already";
    /// Transactions run at the charge point.
    TransactionsOpen = "TRANSACTIONS_OPEN", FailedPrecondition, 409, "Transactions are open";
    /// A transaction that is to be closed has been stopped.
    TransactionStopped = "TRANSACTION_STOPPED", FailedPrecondition, 409, "The transaction has been stopped";
    /// A service behind the gateway does not answer.
    Unavailable = "UNAVAILABLE", Unavailable, 503, "A service is not available";
    /// gRPC: no service here has such an RPC.
    UnknownRpc = "UNKNOWN_RPC", Unimplemented, 404, "There is no such RPC";
    /// The endpoint takes another media type.
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", InvalidArgument, 415, "The media type is not supported";
    /// The endpoint speaks WebSocket only.
    UpgradeRequired = "UPGRADE_REQUIRED", FailedPrecondition, 426, "This is a WebSocket endpoint";
    /// A code, asked for again, is not right, or was used before.
    WrongCode = "WRONG_CODE", PermissionDenied, 403, "Wrong code";
    /// Somebody else has the username.
    UsernameTaken = "USERNAME_TAKEN", AlreadyExists, 409, "The username is taken";
    /// The current password, asked for again, is another one.
    WrongPassword = "WRONG_PASSWORD", PermissionDenied, 403, "Wrong password";
}

impl Reason {
    /// A status with this reason and a sentence for the person who reads it.
    pub fn status(self, message: impl Into<String>) -> Status {
        Status::with_error_details(self.code(), message, self.details())
    }

    /// A status that also says what is wrong with which field.
    pub fn with_violations(self, message: impl Into<String>, violations: Vec<FieldViolation>) -> Status {
        let mut details = self.details();
        for violation in violations {
            details.add_bad_request_violation(violation.field, violation.message);
        }
        Status::with_error_details(self.code(), message, details)
    }

    /// A status that also says how long to wait before trying again.
    pub fn retry_after(self, wait: Duration, message: impl Into<String>) -> Status {
        let mut details = self.details();
        details.set_retry_info(Some(wait));
        Status::with_error_details(self.code(), message, details)
    }

    fn details(self) -> ErrorDetails {
        ErrorDetails::with_error_info(self.as_str(), DOMAIN, std::collections::HashMap::new())
    }

    /// The reason that a status carries, or the one its code stands for where it carries none of ours.
    pub fn of(status: &Status) -> Self {
        let named = status.get_details_error_info().filter(|info| info.domain == DOMAIN);
        named
            .and_then(|info| Self::ALL.iter().copied().find(|reason| reason.as_str() == info.reason))
            .unwrap_or_else(|| Self::of_code(status.code()))
    }

    fn of_code(code: Code) -> Self {
        match code {
            Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => Self::InvalidRequest,
            Code::NotFound => Self::NotFound,
            Code::Unauthenticated => Self::InvalidToken,
            Code::PermissionDenied => Self::PermissionDenied,
            Code::DeadlineExceeded | Code::Cancelled => Self::DeadlineExceeded,
            Code::Unavailable => Self::Unavailable,
            Code::ResourceExhausted => Self::Overloaded,
            Code::Ok
            | Code::Unknown
            | Code::AlreadyExists
            | Code::Aborted
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss => Self::Internal,
        }
    }
}

/// A request that cannot be read, with everything that is wrong with it.
pub fn invalid(violations: Vec<FieldViolation>) -> Status {
    let message = match violations.as_slice() {
        [one] => format!("{} {}", one.field, one.message),
        many => format!("{} things are wrong with the request", many.len()),
    };
    Reason::InvalidRequest.with_violations(message, violations)
}

/// A failure that callers can do nothing about. The log gets the cause, the caller a plain sentence.
pub fn internal(error: &(dyn std::error::Error + 'static)) -> Status {
    tracing::error!(error, "A request failed on our side");
    Reason::Internal.status("Something went wrong on our side; it has been logged")
}

/// A wait as headers tell it, in seconds. Whoever comes back after these does not come too early.
pub fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_survives_the_wire() {
        for reason in Reason::ALL {
            assert_eq!(Reason::of(&reason.status("x")), *reason);
        }
    }

    #[test]
    fn a_foreign_status_is_read_by_its_code() {
        assert_eq!(Reason::of(&Status::not_found("x")), Reason::NotFound);
    }

    #[test]
    fn violations_keep_their_fields() {
        let status = invalid(vec![FieldViolation::new("email", "is not an address")]);
        let details = status.get_details_bad_request().expect("details are there");
        assert_eq!(details.field_violations[0].field, "email");
        assert_eq!(status.message(), "email is not an address");
    }
}
