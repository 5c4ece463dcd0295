"""The model's own signature in the format of the OpenSSF (https://model.sigstore.dev), which readers of models know.

It is the package `model-signing`, an extra, because it brings a client of Sigstore. Its keys are ECDSA keys: ed25519 is not among them.
"""

from pathlib import Path

from tasks.core.errors import GoodfitError

MODELS, MODEL_SIGNATURE = Path("models"), Path("models/model.sig")


def sign_model(root: Path, key: Path) -> Path:
    """Sign every file of `models/` into `models/model.sig`.

    Raises:
        GoodfitError: the package is not installed, there is no model, or the key is not an ECDSA key without a password.
    """
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
