"""What schemathesis has to be told beyond the OpenAPI document."""

import os
import re
import uuid

import requests
import schemathesis
from hypothesis import strategies

# On its own it tries letters and digits only in a header, and none of them make an entity tag.
schemathesis.openapi.format(
    "entity-tags", strategies.from_regex(r'\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*', fullmatch=True)
)

# Rules that no JSON Schema can say, by what the service answers to a request that breaks nothing else.
BEYOND_A_SCHEMA = (
    "may hold letters, digits and the signs .!#$%&'*+/=?^_`{|}~@- only",
    "is among the most common passwords",
    "contains the username",
    "is required, as the username is not an email address",
    "must not contain a colon where Basic authentication is used",
    "needs an identity without a colon",
    "has no use with security profile 0",
    "has no use with security profile 3",
    "has a use with security profile 3 only",
    "is 0, and this installation lets nobody in without credentials",
    "is the path of something else",
    "is no name of a time zone, such as Europe/Berlin",
    "is no site's",
    "is no charge point's",
    "is no currency of ISO 4217, such as EUR",
    "must be 1 to 50",
    "must have a price",
    "must not be more than 5",
    "must not be given with another place; a tariff holds in one",
    "must be later than validFrom",
    "must be later than the moment from which it is valid",
    "is not a token that this listing gave out",
    "is not what the path says",
    "is not a credential of WebAuthn",
    "is of no registration that is under way",
    "is no answer to this registration",
    "is required, as there is no address to send a code to",
    "must be in the future, and at most 366 days from now",
    "must not be more than 20",
    "must not be more than 32",
    "is its identity already",
    "must consist of printable characters",
    "must not be in the future",
    "must not be below the transaction's meterStartWh",
    "must not be before the transaction's startedAt",
    "is a number of one charge point; name its identity, too",
    "is of no charge point in use",
    "is of no registered charge point",
    "must begin with https://",
    "must be an http or https URL of at most 2048 characters, without a user or a fragment",
    "is an internal address, which this installation does not call",
    "is required where there are several to choose from",
    "must be whsec_ and 24 to 64 bytes in base64",
    "must be at most 366 days from now",
    "is not the name of a firmware that is here",
    "has a use with a signature only",
    "is required together with a certificate",
    "is required together with a signature",
    "must not be empty",
    "or updateFirmware is required",
    "or selection is required",
    "has a use with a canary only",
    "must not be given with a number",
    "fits no charge point",
    "contradicts siteGroups",
    "must have 1500 bytes together at most",
    "is required where the kind is Recurring",
    "has a use where the kind is Recurring only",
    "must not be Relative where the purpose is ChargePointMaxProfile",
    "has no use where the kind is Relative",
    "is required unless the kind is Relative",
    "must be at most 86400, when it begins anew",
    "must be at most 604800, when it begins anew",
    "must be 0, as the first begins with the schedule",
    "must be later than that of the period before",
    "must be before the schedule is over",
    "must be between 0 and 100000000, with at most one digit after the point",
    "must be 1 to 1000",
    "must be 1 to 1024",
    "is there twice",
    "must be 0, as the template limits whole charge points",
    "must not be given together with allTokens",
    "is no registered id token",
    "is a password; it is changed by POST …/rotate-password",
    "is not a mail address",
    "is no event that a webhook can have",
    "must be one of offline, faulted, certificate-expiring, each once",
    "has more names than there are events",
    "must have at most 1000",
    "must have at most 100",
)

# Refusals of requests that are well-formed, for what the installation holds.
BY_STATE = (
    "ADDRESS_SUPPRESSED",
    "CAMPAIGN_OVER",
    "CHARGE_POINT_NOT_RETIRED",
    "CHARGE_POINT_RETIRED",
    "ID_TOKEN_BLOCKED",
    "ID_TOKEN_EXPIRED",
    "ID_TOKEN_IN_USE",
    "ID_TOKEN_NOT_ACCEPTED",
    "INVALID_EMAILED_CODE",
    "MESSAGE_NOT_REPEATABLE",
    "LAST_ADMINISTRATOR",
    "NO_EMAIL",
    "NO_ID_TOKEN",
    "NOTHING_TO_VERIFY",
    "STRAY_MISFIT",
    "STRAY_SETTLED",
    "TOO_MANY_REQUESTS",
    "TRANSACTIONS_OPEN",
    "TRANSACTION_STOPPED",
)


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """A well-formed request may be refused for such a rule, and for nothing besides; and whoever chooses members with `fields`
    gets no others."""
    if type(failure).__name__ == "JsonSchemaError" and "fields" in (case.query or {}):
        return list(failure.schema_path)[-1:] != ["required"]
    if type(failure).__name__ != "RejectedPositiveData":
        return True
    if response.status_code >= 400 and response.json().get("reason") in BY_STATE:
        return False
    if response.status_code != 400:
        return True
    errors = response.json().get("errors", [])
    # Which payload an action takes is OCPP's to say, action by action.
    if context.operation.definition.raw.get("operationId") == "RegistrationService.ReplaceRegistration":
        errors = [error for error in errors if "pendingCommands" not in error["field"]]
        if not errors:
            return False
    if context.operation.definition.raw.get("operationId") == "CommandService.SendCommand":
        errors = [error for error in errors if not error["field"].startswith("$") and error["field"] != "action"]
        return bool(errors)
    if context.operation.definition.raw.get("operationId") == "CampaignService.CreateCampaign":
        errors = [error for error in errors if not is_of_campaigns(error)]
        if not errors:
            return False
    return not errors or any(not is_beyond_a_schema(error, case.body) for error in errors)


def is_of_campaigns(error):
    """What a campaign sends is OCPP's to say, what it is for is in the database, and each is told in one of two ways."""
    field = error["field"].removeprefix("$.")
    is_elsewhere = field.startswith(("command.action", "command.payload", "chargePoints.identities"))
    return is_elsewhere or error["message"].startswith("cannot be given together with")


def is_beyond_a_schema(error, body):
    """A schema bounds numbers, but no number that comes as a text, as proto3 JSON has it."""
    is_text = isinstance(value_at(error["field"], body), str)
    is_bound = error["message"].startswith("must be between") or error["message"] == "must be 1 or more"
    return error["message"] in BEYOND_A_SCHEMA or (is_text and is_bound)


def value_at(path, body):
    """What stands in a body under a JSON path such as `$.places[0].number`."""
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path.removeprefix("$")):
        try:
            body = body[int(index)] if index else body[name]
        except (IndexError, KeyError, TypeError):
            return None
    return body


# Operations that may end the session or the account which asks for them.
END_THEIR_CALLER = (
    "AuthService.LogOut",
    "LoginSessionService.RevokeSession",
    "LoginSessionService.RevokeSessions",
)

# Operations that send a command.
ANSWERED_BY_A_STATION = (
    "CertificateService.RenewCertificate",
    "ChargePointService.RotatePassword",
    "DriverService.StartMyCharge",
    "DriverService.StopMyTransaction",
    "JobService.RequestDiagnostics",
    "JobService.RequestLog",
    "JobService.UpdateFirmware",
    "RemoteControlService.ClearChargingLimit",
    "RemoteControlService.ResetChargePoint",
    "RemoteControlService.SetAvailability",
    "RemoteControlService.SetChargingLimit",
    "RemoteControlService.StartCharging",
    "RemoteControlService.StopCharging",
    "RemoteControlService.UnlockConnector",
)


class Visitor:
    """Somebody who logs in anew for each call that may be the last one."""

    def __init__(self):
        self.credentials = None

    def token(self, url):
        url = url.rstrip("/")
        if self.credentials:
            answer = requests.post(f"{url}/auth/login", json=self.credentials, timeout=20)
            if answer.status_code == 201:
                return answer.json()["accessToken"]
        self.credentials = {"username": f"visitor-{uuid.uuid4().hex}@example.com", "password": "a sound of distant thunder"}
        answer = requests.post(f"{url}/auth/signup", json=self.credentials, timeout=20)
        answer.raise_for_status()
        return answer.json()["accessToken"]


visitor = Visitor()


@schemathesis.hook
def before_call(context, case, kwargs):
    operation = context.operation.definition.raw.get("operationId")
    if operation in END_THEIR_CALLER and (case.headers or {}).get("Authorization") == f"Bearer {os.environ['VOLTGATE_TOKEN']}":
        token = visitor.token(case.operation.base_url.rstrip("/"))
        case.headers = {**case.headers, "Authorization": f"Bearer {token}"}
    if operation == "CommandService.SendCommand":
        answer_at_once(case)
    if operation in ANSWERED_BY_A_STATION:
        body = {} if isinstance(case.body, schemathesis.core.NotSet) else case.body
        if isinstance(body, dict) and good_wait(body.get("waitSeconds")):
            case.body = {**body, "waitSeconds": 0}
    if operation == "SigningKeyService.RotateSigningKeys" and isinstance(case.body, dict):
        # Of the token that it asks with, nothing would be left.
        if case.body.get("compromised") is True:
            case.body = {**case.body, "compromised": False}


def answer_at_once(case):
    """Nobody answers commands here, so waiting for the answer would only take time."""
    if good_wait((case.query or {}).get("waitSeconds")):
        case.query = {**(case.query or {}), "waitSeconds": 0}


def good_wait(wait):
    # JSON knows 23.0 as an integer.
    if isinstance(wait, float) and wait.is_integer():
        wait = int(wait)
    return wait is None or str(wait).isdigit() and int(wait) <= 120
