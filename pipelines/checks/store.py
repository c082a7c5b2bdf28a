"""S3, asked for single objects with short patience: may these credentials read here, and write there?"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from components.shared.errors import GraftError, InputError, ServiceError
from components.shared.storage.storage import is_s3
from pipelines.checks.address import inside, is_hidden, reach
from pipelines.checks.finding import Finding, passed, warning

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_PROBE = ".graft-doctor"  # always the same name: one that could not be removed is not joined by more
_ENDPOINT = "AWS_ENDPOINT_URL_S3"


def prepare() -> str:
    """Makes boto3's session out of the environment as it is now, and returns the endpoint that it leads to.

    To be called before there are threads: a session is made by one.
    """
    import boto3

    boto3.setup_default_session()
    return str(boto3.client("s3").meta.endpoint_url)


def reach_store(endpoint: str) -> None:
    """Raises `ServiceError` where nothing answers at an S3 endpoint."""
    reach("The object store", endpoint, _ENDPOINT)


def read_byte(uri: str) -> None:
    """Reads the first byte of an object: to list it is one right, to read it is another.

    Raises:
        InputError: These credentials may not, or there is no such object.
        ServiceError: The store did not answer.
    """
    bucket, key = _split(uri)
    with _explained(uri, "read", "s3:GetObject"):
        _client().get_object(Bucket=bucket, Key=key, Range="bytes=0-0")["Body"].read()


def check_writable(subject: str, uri: str, endpoint: str) -> Iterator[Finding]:
    """Writes an empty object below a prefix, and removes it.

    Args:
        subject: What the findings are about.
        uri: The prefix.
        endpoint: From `prepare`.

    Raises:
        InputError: These credentials may not write there, or there is no such bucket.
        ServiceError: The store did not answer.
    """
    if not is_s3(uri):
        yield warning(subject, f"{uri} is not in S3: only the cluster can tell whether it is writable")
        return
    if is_hidden(endpoint):
        yield inside(subject, endpoint)
        return
    reach_store(endpoint)
    bucket, prefix = _split(uri.rstrip("/"))
    key = f"{prefix}/{_PROBE}".lstrip("/")
    with _explained(uri, "write to", "s3:PutObject"):
        _client().put_object(Bucket=bucket, Key=key, Body=b"")
    try:
        with _explained(uri, "delete in", "s3:DeleteObject"):
            _client().delete_object(Bucket=bucket, Key=key)
    except GraftError as error:
        yield warning(subject, f"{uri} is writable, but an empty object stays at s3://{bucket}/{key}. {error}")
    else:
        yield passed(subject, f"{uri} is writable with the credentials here")


def _client() -> "S3Client":
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=3,
        read_timeout=4,
        retries={"total_max_attempts": 2, "mode": "standard"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.client("s3", config=config)


@contextlib.contextmanager
def _explained(uri: str, doing: str, right: str) -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

    try:
        yield
    except ClientError as error:
        raise _explain(error, uri, doing, right) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise InputError(
            f"There are no credentials for {uri}. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE)."
        ) from error
    except BotoCoreError as error:
        raise ServiceError(
            f"The object store did not answer for {uri}: {error}. Check {_ENDPOINT} and the network."
        ) from error


def _explain(error: "Exception", uri: str, doing: str, right: str) -> GraftError:
    response = getattr(error, "response", {})
    code = response.get("Error", {}).get("Code", "")
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if status == 404:
        what = "The bucket of" if code == "NoSuchBucket" else "The object"
        return InputError(f"{what} {uri} does not exist. Check its name, and {_ENDPOINT}.")
    if status in (400, 401, 403):
        return InputError(
            f"These credentials may not {doing} {uri} ({code}). They are wrong or expired, or lack {right}."
        )
    return ServiceError(f"The object store failed on {uri}: {code} (HTTP {status}). Try again later.")


def _split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not bucket:
        raise InputError(f"{uri!r} names no bucket. An address such as s3://bucket/prefix was expected.")
    return bucket, key
