"""What may be told: texts without passwords, tokens and keys, and short enough for a notice."""

import os
import re

LONGEST = 500
"""Characters of what is told in short."""

_HIDDEN = "***"
_SHORTEST = 8  # characters of a secret: a shorter value may stand anywhere
_NAMES = re.compile(r"SECRET|PASSWORD|PASSWD|TOKEN|CREDENTIAL|_KEY|APIKEY|NOTIFY_URL", re.IGNORECASE)
_NO_SECRETS = re.compile(r"(_FILE|_PATH|_FILENAME)$|^TOKENIZERS_", re.IGNORECASE)
_USER = re.compile(r"://[^\s\"'<>]*@")  # up to the last @: a password may hold / and @
_QUERY = re.compile(
    r"(?<=[?&;])([\w.%-]*(?:token|key|secret|password|passwd|signature|sig|credential|auth)[\w.%-]*=)[^&;\s\"'<>]+",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"\b((?:bearer|basic)\s+)[\w.~+/=-]{8,}", re.IGNORECASE)
_TOKEN = re.compile(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\b(?:hf_|gh[a-z]_|glpat-|sk-|xox[a-z]-)[A-Za-z0-9_-]{20,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"
)


def redact(text: str) -> str:
    """Returns a text in which no user, password, token or key stands any more, as far as they can be told.

    What is hidden: the user and password of an address, parameters of a query that are named like a secret, tokens
    as AWS, hubs and JSON web tokens have them, and the values of this process' own secret variables.
    """
    for secret in _secrets():
        text = text.replace(secret, _HIDDEN)
    text = _USER.sub(f"://{_HIDDEN}@", text)
    text = _QUERY.sub(rf"\g<1>{_HIDDEN}", text)
    text = _SCHEME.sub(rf"\g<1>{_HIDDEN}", text)
    return _TOKEN.sub(_HIDDEN, text)


def in_short(text: str, longest: int = LONGEST) -> str:
    """Returns a text redacted, on one line, and not longer than `longest` characters."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in redact(text)).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _secrets() -> list[str]:
    """Returns the secrets in the environment, the longest first: one may be a part of another."""
    found = set()
    for name, value in os.environ.items():
        if _NAMES.search(name) and not _NO_SECRETS.search(name):
            found.add(value.strip())
        if user := re.search(r"://(.*)@", value):  # it may hold a blank, too
            found |= {user[1], user[1].partition(":")[2]}
    return sorted((secret for secret in found if len(secret) >= _SHORTEST), key=len, reverse=True)
