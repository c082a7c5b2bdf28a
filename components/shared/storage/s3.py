"""An object store as boto3 reaches it: one client, calls that are tried again, errors told in our words.

Credentials, endpoint and certificates come from the environment (`AWS_*`, `AWS_ENDPOINT_URL_S3`, `AWS_CA_BUNDLE`), a
profile or a service account, as boto3 reads them. With an endpoint of its own, buckets are part of the path.
"""

import contextlib
import functools
import os
import random
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from components.shared.errors import GraftError, InputError, ServiceError
from components.shared.redaction import in_short
from components.shared.storage import network
from components.shared.storage.patience import Result, patiently

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

THREADS = 16
"""Connections at a time: one alone does not fill a network."""

_CREDENTIALS = {
    "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
    "ExpiredTokenException", "AllAccessDisabled", "AccountProblem", "RequestTimeTooSkewed",
}  # fmt: skip
_PASSING = {
    "SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling", "ThrottlingException",
    "RequestLimitExceeded", "BadDigest", "IncompleteBody", "OperationAborted",
}  # fmt: skip
_TRIES = 10
_SECONDS = 90.0  # after which a call is not tried again
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 3.0  # seconds
_CONNECT_TIMEOUT, _READ_TIMEOUT = 10, 45  # seconds
_JITTER = random.SystemRandom()  # its own: seeds are for training


class DamagedError(Exception):
    """What came is not what was sent, or was sent."""


def split(uri: str) -> tuple[str, str]:
    """Returns bucket and key of an address.

    Raises:
        InputError: It names no bucket.
    """
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not bucket:
        raise InputError(f"{uri!r} names no bucket; an address such as s3://bucket/prefix was expected.")
    return bucket, key


def client() -> "S3Client":
    """Returns the client that the environment leads to; it may be used in several threads."""
    return _client(tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_"))))


@functools.lru_cache(maxsize=2)
def _client(_environment: tuple[tuple[str, str], ...]) -> "S3Client":
    import boto3
    from botocore.config import Config

    # Default checksum trailers break some compatible stores; what we store has its sha256 in a manifest.
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 1},  # `call` tries again, and knows when to stop
        max_pool_connections=2 * THREADS,
        connect_timeout=_CONNECT_TIMEOUT,
        read_timeout=_READ_TIMEOUT,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.session.Session().client("s3", config=config)


def call(uri: str, function: Callable[[], Result], sleep: Callable[[float], None] = time.sleep) -> Result:
    """Returns what a call to the store returns; what may be over in a moment is tried again.

    After a pause that doubles, of which a random part is waited: many who failed at once do not come back at once
    (Brooker 2015, "Exponential Backoff And Jitter"). Ten times, for a minute and a half; where the environment says
    that there is more patience, on and on for so long.

    Args:
        uri: What is asked for.
        function: Can be done twice without harm.
        sleep: Waits so many seconds.

    Raises:
        InputError: There is no such bucket or object, or these credentials may not do it.
        ServiceError: The store did not answer, or what came was damaged each time.
    """

    def tried() -> Result:
        began = time.monotonic()
        for attempt in range(_TRIES):
            try:
                return function()
            except Exception as error:
                is_last = attempt + 1 == _TRIES or time.monotonic() - began > _SECONDS
                if is_last or not _passes(error):
                    raise
            sleep(_JITTER.uniform(0.2, 1) * min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt))
        raise AssertionError("the last try returns or raises")

    def explained_call() -> Result:
        with explained(uri):
            return tried()

    return patiently(explained_call, "the object store", lambda error: isinstance(error, ServiceError))


def _passes(error: Exception) -> bool:
    """Tells whether the same call may do better in a moment."""
    from botocore.exceptions import (
        ClientError,
        HTTPClientError,
        IncompleteReadError,
        ResponseStreamingError,
        SSLError,
    )
    from botocore.parsers import ResponseParserError

    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or status == 429 or error.response.get("Error", {}).get("Code") in _PASSING
    if isinstance(error, SSLError):
        return "CERTIFICATE" not in str(error).upper()
    broken = (HTTPClientError, IncompleteReadError, ResponseStreamingError, ResponseParserError, DamagedError)
    return isinstance(error, (*broken, ConnectionError, TimeoutError))


@contextlib.contextmanager
def explained(uri: str) -> Iterator[None]:
    """Turns botocore's errors into ours: a credential that is refused is never told as "not found"."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
    from botocore.parsers import ResponseParserError

    try:
        yield
    except ClientError as error:
        raise _explain(uri, error.response) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise InputError(
            f"No credentials for {uri}: {error}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "
            "(or AWS_PROFILE), or run where a role gives them."
        ) from error
    except DamagedError as error:
        raise ServiceError(f"What the object store gave for {uri} was damaged each time: {error}.") from error
    except (ResponseParserError, RecursionError) as error:
        raise _no_store(uri) from error
    except (BotoCoreError, ConnectionError, TimeoutError) as error:
        raise ServiceError(
            f"The object store did not answer for {uri}: {network.reason(error) or in_short(str(error))}. Check "
            "AWS_ENDPOINT_URL_S3 and the network."
        ) from error


def check_listing(uri: str, answer: Any) -> None:
    """Makes sure that an answer is a listing: a proxy's page, with status 200, would look like an empty one.

    Raises:
        ServiceError: It is none.
    """
    if not {"Name", "KeyCount", "Prefix", "Contents"} & set(answer):
        raise _no_store(uri)


def _no_store(uri: str) -> ServiceError:
    return ServiceError(
        f"What answered for {uri} is no object store: it sent a page, or led elsewhere, as the login of a proxy does. "
        "Check AWS_ENDPOINT_URL_S3, HTTPS_PROXY and NO_PROXY."
    )


def _explain(uri: str, response: Any) -> GraftError:
    code = str(response.get("Error", {}).get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code == "NoSuchBucket":
        return InputError(f"The bucket of {uri} does not exist (as this endpoint sees it). Check the bucket's name.")
    if code in _CREDENTIALS or status in (401, 403):
        return InputError(
            f"These credentials may not read {uri} ({code}). They are wrong or expired, or lack s3:ListBucket and "
            "s3:GetObject (to write: s3:PutObject). Whether the data exists cannot be told."
        )
    if code in ("404", "NoSuchKey"):
        return InputError(f"{uri} does not exist. Check the address.")
    if code in ("412", "PreconditionFailed"):
        return InputError(f"{uri} was replaced while it was read. Read it when nobody writes to it.")
    if status in (301, 302, 303, 307, 308):
        return _no_store(uri)
    return ServiceError(f"The object store failed on {uri}: {code} (HTTP {status}). Try again later.")
