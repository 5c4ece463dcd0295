"""Dead Simple Signing Envelope (https://github.com/secure-systems-lab/dsse, protocol 1.0), with ed25519 signatures.

The library of that project, securesystemslib, brings key formats and signers of its own, and still needs `cryptography` for ed25519;
what remains of it here is the encoding below.
"""

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.core.errors import GoodfitError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"


class EnvelopeError(GoodfitError):
    """A file is not such an envelope."""


@dataclass(frozen=True)
class Envelope:
    """A payload, and its signatures by the id of the key."""

    payload: bytes
    payload_type: str
    signatures: list[tuple[str, bytes]]


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed: the type counts, and neither of the two can be taken for a part of the other."""
    kind = payload_type.encode()
    return b" ".join((b"DSSEv1", str(len(kind)).encode(), kind, str(len(payload)).encode(), payload))


def signed(payload: bytes, key: "Ed25519PrivateKey", others: list[tuple[str, bytes]]) -> dict[str, Any]:
    """The envelope's document, with the signature of `key` behind those of `others`."""
    from flows.lineage.signing.keys import key_id

    own = key_id(key.public_key())
    signatures = [(name, signature) for name, signature in others if name != own]
    signatures.append((own, key.sign(pre_authentication_encoding(PAYLOAD_TYPE, payload))))
    return {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": name, "sig": base64.b64encode(signature).decode()} for name, signature in signatures],
    }


def read_envelope(text: str) -> Envelope:
    """An envelope from its JSON; nothing of it is verified.

    Raises:
        EnvelopeError: it is none.
    """
    try:
        document = json.loads(text)
        signatures = [(str(one.get("keyid", "")), _decoded(one["sig"])) for one in document["signatures"]]
        return Envelope(_decoded(document["payload"]), str(document["payloadType"]), signatures)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EnvelopeError(f"it is not a DSSE envelope ({type(error).__name__}: {error})") from None


def is_signed_by(envelope: Envelope, key: "Ed25519PublicKey") -> bool:
    """Whether one of the signatures is that of `key`; the key's id in the envelope is a hint that is not relied on."""
    from cryptography.exceptions import InvalidSignature

    encoded = pre_authentication_encoding(envelope.payload_type, envelope.payload)
    for _, signature in envelope.signatures:
        try:
            key.verify(signature, encoded)
        except InvalidSignature:
            continue
        return True
    return False


def _decoded(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
