"""The model's own signature in the format of the OpenSSF (https://model.sigstore.dev), which readers of models know.

It is the package `model-signing`, an extra, because it brings a client of Sigstore. Its keys are ECDSA keys: ed25519 is not among them.
"""

from pathlib import Path

from flows.repository import cache_folder
from tasks.core.errors import GoodfitError

MODELS, MODEL_SIGNATURE = Path("models"), Path("models/model.sig")


def sign_model(root: Path, key: Path) -> Path:
    """Sign every file of `models/` into `models/model.sig`.

    Raises:
        GoodfitError: a link leads out of the model, the package is not installed, there is no model, or the key is not an ECDSA key
            without a password.
    """
    _require_own_files(root)
    try:
        from model_signing import signing
        from model_signing.hashing import Config
    except ImportError:
        raise GoodfitError(
            "model signing needs the package `model-signing`, which is not installed: `pip install 'goodfit[signing]'`"
        ) from None
    if not any(file.is_file() and not file.name.startswith(".") for file in (root / MODELS).glob("*")):
        raise GoodfitError(f"{root / MODELS} holds no model: `dvc checkout` or `dvc repro train` brings one")
    target = root / MODEL_SIGNATURE
    hashed = Config().set_ignored_paths(paths=[target], ignore_git_paths=True).set_allow_symlinks(True)
    try:
        signer = signing.Config().use_elliptic_key_signer(private_key=key)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise GoodfitError(
            f"{key} cannot sign a model ({error}); expected an ECDSA key without a password: "
            "`openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out KEY.pem`, or `--new-key`"
        ) from None
    signer.set_hashing_config(hashed).sign(root / MODELS, target)
    return target


def _require_own_files(root: Path) -> None:
    """Links may lead to other files of the model and into DVC's cache, which `dvc checkout` links where `cache.type` says so."""
    homes = [(root / MODELS).resolve(), cache_folder(root).resolve()]
    for file in sorted((root / MODELS).rglob("*")):
        if not file.is_symlink():
            continue
        try:
            target = file.resolve(strict=True)
        except (OSError, RuntimeError):  # RuntimeError: a loop, before Python 3.13
            raise GoodfitError(f"{file} is a link that leads nowhere; expected a file of the model: remove the link") from None
        if not any(target.is_relative_to(home) for home in homes):
            raise GoodfitError(
                f"{file} is a link to {target}, which belongs neither to the model nor to DVC's cache; expected a file: copy it there, "
                "or remove the link"
            )
