"""What the fields of a deployment file can hold: Kubernetes' names and quantities, and nothing that is secret."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ValidationInfo
from pydantic_core import PydanticCustomError

_UNITS: dict[str, int] = {
    f"{prefix}{i}": base**power for power, prefix in enumerate("KMGTPE", 1) for i, base in (("", 1000), ("i", 1024))
}
_SECRET_WORDS = {
    "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "TOKEN", "KEY", "APIKEY", "CREDENTIAL", "CREDENTIALS",
}  # fmt: skip
_PLACE_WORDS = {"FILE", "PATH"}  # AWS_WEB_IDENTITY_TOKEN_FILE says where a token is, not which
_SECRET_VALUE = re.compile(
    r"://(?:[^/\s@]+|[^\s/:@]*:(?!\d+(?:[/?#]|$))\S*)@"  # a user or password in an address, which may hold a slash
    r"|\b(AKIA|ASIA)[A-Z0-9]{16}\b|\b(hf_|gh[a-z]_|glpat-|sk-|xox[a-z]-)[A-Za-z0-9_-]{20,}"  # as AWS, hubs, … make them
    r"|-----BEGIN |\beyJ[\w-]{8,}\.[\w-]{8,}\."  # a private key, a JSON web token
)
_GIVEN_ELSEWHERE = {
    "MLFLOW_TRACKING_URI": "mlflow", "TMPDIR": "scratch of the step", "GRAFT_NOTIFY_URL": "notify.url",
    "GRAFT_MLFLOW": "mlflow", "GRAFT_MODEL": "the job", "GRAFT_PIPELINE_RUN": "graft", "GRAFT_RUN_PAGES": "graft",
}  # fmt: skip


def cores(cpu: str) -> float:
    """Returns an amount of CPU ("500m", "2") in cores."""
    return float(cpu[:-1]) / 1000 if cpu.endswith("m") else float(cpu)


def size_in_bytes(size: str) -> int:
    """Returns a size ("16Gi", "500M") in bytes."""
    number = size.rstrip("KMGTPEi")
    return int(number) * _UNITS[size[len(number) :]]


def _matching(pattern: str, expected: str) -> AfterValidator:
    """Returns a validator that takes what fits a pattern as a whole, and otherwise says what was expected."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value, re.ASCII):
            raise PydanticCustomError("pattern", "{expected} was expected", {"expected": expected})
        return value

    return AfterValidator(check)


def looks_secret(value: str) -> bool:
    """Tells whether a text looks as if it held a secret."""
    return bool(_SECRET_VALUE.search(value))


def _no_secret(value: str) -> str:
    """Refuses what holds a secret: it would stand in the compiled pipeline, which many can read."""
    if looks_secret(value):
        message = (
            "it looks as if it held a secret, and all who see the pipeline could read it. Put it into a Kubernetes "
            "secret, and name that in the section secrets"
        )
        raise PydanticCustomError("secret", message)
    return value


def _no_secret_name(name: str) -> str:
    words = name.upper().split("_")
    if _SECRET_WORDS.intersection(words) and words[-1] not in _PLACE_WORDS:
        message = (
            "it looks like a secret, and all who see the pipeline could read it. Put it into a Kubernetes secret, and "
            "write secrets: {{name}: {secret: NAME-OF-THAT-SECRET, key: ITS-KEY}} instead"
        )
        raise PydanticCustomError("secret", message, {"name": name})
    return name


def _given_once(name: str, info: ValidationInfo) -> str:
    """Refuses a variable that something else sets, too: which of the two wins would depend on Kubeflow."""
    if name in _GIVEN_ELSEWHERE:
        raise PydanticCustomError("name", "it is set by the field {field}", {"field": _GIVEN_ELSEWHERE[name]})
    plain: Any = info.context and info.context.get("environment")
    if info.field_name == "secrets" and isinstance(plain, dict) and name in plain:
        raise PydanticCustomError("name", "it is given in environment, too: remove one of the two")
    return name


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


_VARIABLE = _matching(r"[A-Za-z_]\w*", "the name of an environment variable")
Name = Annotated[str, _matching(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", "a Kubernetes name (a-z, 0-9, -, .)")]
Key = Annotated[str, _matching(r"[\w.-]+", "a key of a Kubernetes secret (letters, digits, -, _, .)")]
LabelKey = Annotated[
    str,
    _matching(
        r"([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?", "a label's key, such as example.com/pool or pool"
    ),
]
LabelValue = Annotated[
    str,
    _matching(r"([A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?)?", "a label's value (letters, digits, -, _, .; at most 63)"),
]
Accelerators = Annotated[
    str, _matching(r"[a-z0-9.-]+/[\w.-]+", "a resource of the cluster's device plugin, such as nvidia.com/gpu,")
]
Cpu = Annotated[
    str, BeforeValidator(_as_text), _matching(r"(\d*\.)?\d+m?", "a number of cores, such as 4, 0.5 or 500m,")
]
Size = Annotated[str, _matching(r"\d+[KMGTPE]i?", "a whole number with a unit, such as 16Gi or 500M,")]
Image = Annotated[
    str,
    _matching(
        r"[\w.-]+(:\d+)?(/[\w.-]+)*(:[\w.-]+)?(@sha256:[0-9a-f]{64})?",
        "an image, such as registry.example.com/graft/light-python@sha256:DIGEST of 64 hexadecimal digits,",
    ),
]
Address = Annotated[str, AfterValidator(_no_secret), _matching(r"https?://[^\s/]+\S*", "an address, https://…,")]
Root = Annotated[
    str,
    AfterValidator(_no_secret),
    _matching(r"(s3|gs|minio)://[^\s/]+\S*", "a place in object storage, s3://BUCKET/…,"),
]
Variable = Annotated[str, _VARIABLE, AfterValidator(_given_once)]
PlainVariable = Annotated[Variable, AfterValidator(_no_secret_name)]
PlainValue = Annotated[str, AfterValidator(_no_secret)]
