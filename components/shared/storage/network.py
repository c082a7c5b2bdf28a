"""Why a server was not reached, in a few plain words: libraries tell it in long lines that hold addresses."""

import re

_REASONS = (
    (r"Name or service not known|Failed to resolve|name resolution|nodename nor servname|No address associated",
     "its name is not known"),
    (r"Connection refused|\[Errno 111\]", "connection refused"),
    (r"Network is unreachable", "the network is unreachable"),
    (r"No route to host", "there is no route to it"),
    (r"CERTIFICATE_VERIFY_FAILED|SSLError|SSLCertVerification|certificate verify", "its certificate is not valid here"),
    (r"timed out|[Tt]imeout", "it did not answer in time"),
    (r"RemoteDisconnected|Connection aborted|Connection reset|ProtocolError|IncompleteRead|[Bb]roken pipe"
     r"|connection was closed|Could not connect", "the connection broke"),
)  # fmt: skip
_STATUS = re.compile(r"too many (?P<many>5\d\d) error responses|error code (?P<code>\d{3})\b")


def reason(error: BaseException) -> str:
    """Returns why a server was not reached, as in "connection refused"; "" where the error tells nothing of that kind.

    Args:
        error: Of any library: its text, and those of its causes, are looked through.
    """
    text = _text(error)
    for pattern, words in _REASONS:
        if re.search(pattern, text):
            return words
    if found := _STATUS.search(text):
        return f"it answered {found['many'] or found['code']}"
    return ""


def passes(error: BaseException) -> bool:
    """Tells whether a failure may be over in a while: nobody answers, or the server says that it is not well."""
    text = _text(error)
    told = reason(error)
    if told.startswith("it answered"):
        return bool(re.search(r"answered (429|50[0234])", told)) and "error code 500" not in text
    return bool(told) and "certificate" not in told


def _text(error: BaseException) -> str:
    texts, seen = [], set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        texts.append(f"{type(following).__name__} {following}")
        following = following.__cause__ or following.__context__
    return "\n".join(texts)
