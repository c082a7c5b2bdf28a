"""The Hugging Face hub, asked what it has without downloading any of it."""

from components.shared.errors import InputError, ServiceError
from components.shared.sources.hub import PREFIX
from pipelines.checks.finding import Finding, passed, warning
from pipelines.checks.modules import load

_LIBRARY = ("huggingface_hub", "huggingface_hub.hf_api", "huggingface_hub.file_download", "huggingface_hub.errors")
_TIMEOUT = 4  # seconds
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


def look_at_backbone(backbone: str, repository: str, weights: bool, here: bool) -> Finding:
    """Tells whether a repository has what makes a backbone.

    Args:
        backbone: As the job calls it.
        repository: Its name on the hub.
        weights: Whether they are needed.
        here: Whether the run is on this machine, so that the local cache serves it where the hub does not answer.

    Raises:
        InputError: There is no such repository, or it is no backbone.
        ServiceError: The hub did not answer.
    """
    try:
        found = [name for name in ("config.json", *(_WEIGHTS if weights else ())) if _has(repository, name)]
    except ServiceError as error:
        if here and _is_cached(repository, weights):
            return warning("backbone", f"{backbone} is in the local cache, which the hub did not confirm. {error}")
        raise
    if "config.json" not in found:
        raise InputError(f"{backbone!r} is no backbone: it has no config.json. Name another one.")
    if weights and len(found) < 2:
        raise InputError(
            f"{backbone!r} has no safetensors. Older formats are pickles, which graft does not open: convert it with "
            "save_pretrained(), or name another backbone."
        )
    return passed("backbone", f"{backbone} is on the hub" + (", with safetensors" if weights else ""))


def look_at_dataset(source: str) -> Finding:
    """Tells whether the hub has a dataset that may be read.

    Raises:
        InputError: There is no such dataset.
        ServiceError: The hub did not answer.
    """
    load(*_LIBRARY)
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        HFValidationError,
        HTTPError,
        RepositoryNotFoundError,
    )

    name = "/".join(source.removeprefix(PREFIX).strip("/").split("/")[:2])
    try:
        HfApi().dataset_info(name, timeout=_TIMEOUT)
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise InputError(
            f"The hub has no dataset {name!r} that can be read without more rights. Check the name; a private one "
            "needs HF_TOKEN."
        ) from error
    except (HTTPError, OSError) as error:
        raise _silent(source) from error
    return passed("data", f"{source} is on the hub")


def _has(repository: str, file: str) -> bool:
    load(*_LIBRARY)
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import (  # type: ignore[attr-defined]
        EntryNotFoundError,
        GatedRepoError,
        HFValidationError,
        HTTPError,
        RepositoryNotFoundError,
    )

    try:
        get_hf_file_metadata(hf_hub_url(repository, file), timeout=_TIMEOUT)
    except EntryNotFoundError:
        return False
    except GatedRepoError as error:
        raise InputError(
            f"The hub lets only some users read {repository!r}. Accept its terms there, and set HF_TOKEN."
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise InputError(
            f"There is no backbone {repository!r}: no folder of that name, and no such repository on the hub. Check "
            "the name; a private one needs HF_TOKEN."
        ) from error
    except (HTTPError, OSError) as error:
        raise _silent(repository) from error
    return True


def _is_cached(repository: str, weights: bool) -> bool:
    from huggingface_hub import try_to_load_from_cache

    cached = [isinstance(try_to_load_from_cache(repository, name), str) for name in ("config.json", *_WEIGHTS)]
    return cached[0] and (any(cached[1:]) or not weights)


def _silent(name: str) -> ServiceError:
    return ServiceError(
        f"The hub did not answer for {name}. Check the network (HF_ENDPOINT, HF_HUB_OFFLINE, proxy), or give a path "
        "or s3:// address instead."
    )
