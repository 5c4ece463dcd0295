"""Keys from files: PEM, as `openssl genpkey` writes them."""

import hashlib
import os
import sys
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.git import git_or_none
from tasks.core.errors import GoodfitError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

MAKE = "`openssl genpkey -algorithm ed25519 -out KEY.pem` or `--new-key` makes one"
PUBLIC = ".pub"


def private_key(path: Path) -> "Ed25519PrivateKey":
    """Read a private key; one that is encrypted needs its password, at the terminal.

    Raises:
        GoodfitError: it is missing, cannot be decrypted, or is of another kind.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = _content(path, "the private key")
    password = _password(path).encode() if b"ENCRYPTED" in content else None
    try:
        key = load_pem_private_key(content, password)
    except (ValueError, TypeError) as error:
        raise GoodfitError(f"{path} cannot be read as a private key ({error}); expected PEM: {MAKE}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise GoodfitError(f"{path} holds a key of another kind ({_kind(key)}); expected ed25519: {MAKE}")
    return key


def public_key(path: Path) -> "Ed25519PublicKey":
    """Read a public key.

    Raises:
        GoodfitError: it is missing, or of another kind; also where it is the private one, which need not be handed out.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    content = _content(path, "the public key")
    if b"PRIVATE KEY" in content:
        raise GoodfitError(
            f"{path} is a private key; expected the public one: `openssl pkey -in {path} -pubout -out {path.stem}{PUBLIC}` writes it"
        )
    try:
        key = load_pem_public_key(content)
    except ValueError as error:
        raise GoodfitError(f"{path} cannot be read as a public key ({error}); expected PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise GoodfitError(f"{path} holds a key of another kind ({_kind(key)}); expected ed25519")
    return key


def public_pem(key: Any) -> bytes:
    """A public key as it is handed out."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def key_id(key: "Ed25519PublicKey") -> str:
    """The SHA-256 of a public key's DER encoding: `openssl pkey -pubin -in KEY.pub -outform DER | sha256sum`."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def new_key(path: Path, root: Path, *, elliptic: bool = False) -> Path:
    """Make a key pair: `path`, for its owner alone, and the public key beside it; return the latter.

    Args:
        path: where the private key goes.
        root: the repository, where no private key may lie that Git would add.
        elliptic: ECDSA on the curve P-256, which model signing needs, and not ed25519.

    Raises:
        GoodfitError: one of the files exists, their names are the same, or Git would add the private key.
    """
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    if path.suffix.lower() == PUBLIC:  # the public key would be written over the private one
        raise GoodfitError(f"{path} ends in {PUBLIC}, as the public key beside it will; expected another ending, such as .pem")
    public = path.with_suffix(PUBLIC)
    for file in (path, public):
        if os.path.lexists(file):
            raise GoodfitError(f"{file} exists already; expected a new name: a key that is lost cannot be made again")
    if _git_would_add(path, root):
        raise GoodfitError(
            f"{path} lies in the repository, where `git add` would publish the private key; give it a place outside"
        )
    key = ec.generate_private_key(ec.SECP256R1()) if elliptic else Ed25519PrivateKey.generate()
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as secret:
        secret.write(content)
    public.write_bytes(public_pem(key.public_key()))
    return public


def _git_would_add(path: Path, root: Path) -> bool:
    if not path.resolve().is_relative_to(root.resolve()):
        return False
    return git_or_none(root, "check-ignore", "--quiet", str(path.resolve())) is None


def _content(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise GoodfitError(f"{path}: {what} cannot be read ({error.strerror})") from None


def _password(path: Path) -> str:
    if not sys.stdin.isatty():
        raise GoodfitError(f"{path} is encrypted, and there is no terminal to ask for its password")
    return getpass(f"password of {path}: ")


def _kind(key: object) -> str:
    return type(key).__name__.removeprefix("_").removesuffix("PublicKey").removesuffix("PrivateKey")
