"""Remote experiments: `CloudRunner` submits them to a service started by `analogjax serve`.

    from analogjax.cloud import CloudRunner
    job = CloudRunner().run(experiment)       # returns immediately
    job.wait()
    trained = job.get_experiment()            # its `variables` are the trained ones, bit for bit

Importing this package needs no optional package; making a `CloudRunner` needs `requests`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analogjax.cloud.credentials import Credentials as Credentials
    from analogjax.cloud.credentials import find_credentials as find_credentials
    from analogjax.cloud.errors import CloudError as CloudError
    from analogjax.cloud.errors import ConnectionFailed as ConnectionFailed
    from analogjax.cloud.errors import CredentialsError as CredentialsError
    from analogjax.cloud.errors import DescriptionError as DescriptionError
    from analogjax.cloud.errors import ExperimentStatusError as ExperimentStatusError
    from analogjax.cloud.errors import Refused as Refused
    from analogjax.cloud.remote import RemoteExperiment as RemoteExperiment
    from analogjax.cloud.remote import Status as Status
    from analogjax.cloud.runner import CloudRunner as CloudRunner

_PLACES = {
    "CloudRunner": "runner", "RemoteExperiment": "remote", "Status": "remote", "Credentials": "credentials",
    "find_credentials": "credentials",
    **dict.fromkeys(
        ("CloudError", "ConnectionFailed", "CredentialsError", "DescriptionError", "ExperimentStatusError", "Refused"),
        "errors",
    ),
}  # fmt: skip


def __getattr__(name: str) -> Any:
    # imported when first asked for: a worker that needs one module of this package must not load all of them
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(_PLACES)}.")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])
