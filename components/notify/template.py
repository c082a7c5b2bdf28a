"""The body of a notice: texts, lists and mappings whose texts hold placeholders such as `$model`.

The structure is filled in, not its JSON: a quote in what is filled in cannot break it.
"""

import string
from collections.abc import Iterator, Mapping
from typing import Any

from components.shared.errors import did_you_mean

PLACEHOLDERS = {
    "sentence": "all that follows as one text",
    "model": "the model's name in the registry",
    "event": "promotion, refusal, failure or unknown",
    "verdict": "promoted, refused, awaits approval, failed, stopped or unknown",
    "version": "the version that was registered",
    "champion": "the version that it was compared with",
    "reasons": "why it was promoted or not, in sentences",
    "error": "what went wrong",
    "step": "the step that failed, where it is known",
    "run": "the id of the pipeline's run",
    "page": "the address of the run's page",
}
_KNOWN = ", ".join(f"${name}" for name in PLACEHOLDERS)
DEFAULT: dict[str, Any] = {"text": "$sentence"}  # as Slack, Mattermost and others take it


def texts(template: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yields the texts in a template, each with its path."""
    if isinstance(template, str):
        yield path, template
    elif isinstance(template, dict | list):
        for key, part in template.items() if isinstance(template, dict) else enumerate(template):
            yield from texts(part, f"{path}.{key}" if path else str(key))


def faults(template: Any) -> Iterator[str]:
    """Yields what is wrong with a template, each fault with the path of the text that has it."""
    for path, text in texts(template):
        parsed = string.Template(text)
        if not parsed.is_valid():
            yield f"{path}: a $ stands alone; write $$ where the notice is to have one"
        if "{{" in text:
            yield f"{path}: '{{{{' means something to Kubeflow; write it otherwise"
        for name in parsed.get_identifiers():
            if name not in PLACEHOLDERS:
                yield f"{path}: there is no placeholder ${name}; there are {_KNOWN}.{did_you_mean(name, PLACEHOLDERS)}"


def fill(template: Any, values: Mapping[str, str]) -> Any:
    """Returns a template with values in place of its placeholders; other placeholders stay as they are."""
    if isinstance(template, str):
        return string.Template(template).safe_substitute(values)
    if isinstance(template, list):
        return [fill(part, values) for part in template]
    if isinstance(template, dict):
        return {key: fill(part, values) for key, part in template.items()}
    return template
