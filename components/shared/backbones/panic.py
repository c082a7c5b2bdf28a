"""The panics of the tokenizers library, told as exceptions. Copied beside registered models."""

import contextlib
from collections.abc import Iterator


class TokenizerError(ValueError):
    """A tokenizer's rules do not work on some text."""


@contextlib.contextmanager
def told_of_panic() -> Iterator[None]:
    """Turns the panic of a tokenizer, which is no `Exception`, into one: a pattern of its rules may need endless time.

    Raises:
        TokenizerError: It panicked.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise TokenizerError(f"the backbone's tokenizer broke down on a text ({str(error)[:200]})") from None
