"""What the fields of a job file can hold: kinds of texts and numbers, each with its check."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from components.finetune.settings import AUTO, CHOICES, SWITCHES, UNLESS_OFF, strategies_of
from components.shared.errors import InputError, did_you_mean, quote_all
from components.shared.registry.registry import check_name
from components.shared.sources.labels import text_of
from components.shared.sources.listing import written
from components.shared.sources.sql import check_sql, is_sql

_EXACT = 2**53  # Kubeflow keeps numbers in mappings as doubles: beyond, a whole number may become another


def one_of(allowed: Sequence[str]) -> AfterValidator:
    """Returns a validator that takes one of the given names and offers the nearest for any other."""

    def check(value: str) -> str:
        _check_among(allowed, value)
        return value

    return AfterValidator(check)


def _check_among(allowed: Sequence[str], value: str, more: str = "") -> None:
    if value not in allowed:
        context = {"allowed": quote_all(allowed), "more": more, "near": did_you_mean(value, allowed)}
        raise PydanticCustomError("one_of", "allowed: {allowed}{more}.{near}", context)


def _registry_name(value: str) -> str:
    try:
        check_name(value)
    except InputError as error:
        raise PydanticCustomError("name", "{reason}", {"reason": str(error)}) from error
    return value


def _in_one(value: object) -> object:
    """Returns a list of names as the one text that the pipeline takes."""
    return ",".join(map(str, value)) if isinstance(value, list) else value


def _all(value: object) -> object:
    """Takes "all" for the whole."""
    return 1.0 if value == "all" else value


def _switch(value: object) -> object:
    """Takes what YAML makes of true and false for the words."""
    return str(value).lower() if isinstance(value, bool) else value


def _strategies(value: str) -> str:
    names = strategies_of(value)
    for name in names:
        _check_among(CHOICES, name, ", or a list of them")
    if len(set(names)) < len(names):
        raise PydanticCustomError("twice", "each strategy once was expected")
    if AUTO in names and len(names) > 1:
        raise PydanticCustomError("alone", "auto alone was expected: it looks for the best strategy itself")
    return ",".join(names)


def _ascending(value: list[int]) -> list[int]:
    if sorted(set(value)) != value:
        raise PydanticCustomError("ascending", "ascending numbers of labels a class were expected, as in [8, 32, 128]")
    return value


def _plain(value: dict[str, Any]) -> dict[str, Any]:
    """Refuses what cannot be a parameter on Kubeflow: dates, nothing, infinities, numbers too large to be exact."""
    if not _is_plain(value):
        raise PydanticCustomError("plain", "texts, numbers, true, false, and lists and mappings of such were expected")
    return value


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(_is_plain(item) for item in value)
    return isinstance(value, str) or (isinstance(value, int | float) and abs(value) <= _EXACT)


def _as_one_text(value: object) -> object:
    """Returns a list of sources, or of columns, as the one text that the pipeline takes."""
    if isinstance(value, list) and value and all(isinstance(one, str) and one for one in value):
        return written(value)
    return value


def _without_password(value: str) -> str:
    if is_sql(value):
        try:
            check_sql(value, "asked elsewhere")
        except InputError as error:
            raise PydanticCustomError("secret", "{reason}", {"reason": str(error)}) from error
    return value


def labels_of(value: object) -> object:
    """Returns labels as texts, as they stand in the data: whole numbers as they are; true and false are refused.

    YAML takes yes, no, on and off for true and false: which of them was meant is lost.
    """
    if isinstance(value, dict):
        told = {_label(name): [_label(code) for code in _several(codes)] for name, codes in value.items()}
        counts = Counter(str(code) for codes in told.values() for code in set(map(str, codes)))
        if twice := [code for code, count in counts.items() if count > 1]:
            message = "the code {code} stands for two labels: one was expected"
            raise PydanticCustomError("labels", message, {"code": twice[0]})
        return told
    return [_label(label) for label in value] if isinstance(value, list) else value


def _several(codes: object) -> list[object]:
    return codes if isinstance(codes, list) else [codes]


def _label(value: object) -> object:
    if isinstance(value, bool):
        message = "yes, no, on, off, true and false are truth values in YAML: put each in quotes, as in ['yes', 'no']"
        raise PydanticCustomError("labels", message)
    return text_of(value) if isinstance(value, int | float) else value


def no_placeholder(value: str) -> str:
    """Refuses what Kubeflow Pipelines would put a value in place of."""
    if "{{" in value:
        raise PydanticCustomError("placeholder", "'{{' begins a placeholder of Kubeflow Pipelines: rename it")
    return value


Text = Annotated[str, Field(min_length=1), AfterValidator(no_placeholder)]
Columns = Annotated[str, BeforeValidator(_as_one_text), AfterValidator(no_placeholder)]
Source = Annotated[Text, BeforeValidator(_as_one_text), AfterValidator(_without_password)]
RegistryName = Annotated[Text, AfterValidator(_registry_name)]
Strategies = Annotated[str, BeforeValidator(_in_one), AfterValidator(_strategies)]
Plain = Annotated[dict[str, Any], AfterValidator(_plain)]
Switch = Annotated[str, BeforeValidator(_switch), one_of(SWITCHES)]
UnlessOff = Annotated[str, BeforeValidator(_switch), one_of(UNLESS_OFF)]
Part = Annotated[float, Field(ge=0, le=1)]
PartOrAll = Annotated[Part, BeforeValidator(_all)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
NotNone = Annotated[float, Field(gt=0, le=1)]
AtLeastZero = Annotated[float, Field(ge=0)]
AboveZero = Annotated[float, Field(gt=0)]
Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Ascending = Annotated[list[Positive], AfterValidator(_ascending)]
