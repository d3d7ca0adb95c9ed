"""The AWS Encryption SDK for Python over `sealgate kms`: encrypt or decrypt one file.

usage: encryption_sdk.py encrypt|decrypt SEALGATE STATE KEY-ARN IN OUT [KEY=VALUE ...]
"""

import base64
import json
import subprocess
import sys
import tempfile

import aws_encryption_sdk
from aws_encryption_sdk.identifiers import Algorithm, CommitmentPolicy
from aws_encryption_sdk.key_providers.kms import StrictAwsKmsMasterKeyProvider
from botocore.client import BaseClient

OPERATION, SEALGATE, STATE, KEY, SOURCE, TARGET, *CONTEXT = sys.argv[1:]


class Stub(BaseClient):
    """What the library calls of boto3's KMS client, answered by commands."""

    def __init__(self):
        config = type("Config", (), {"user_agent_extra": ""})()
        self.meta = type("Meta", (), {"config": config})()

    def generate_data_key(self, KeyId, NumberOfBytes, EncryptionContext, **_):
        arguments = ["generate-data-key", "--key", KeyId, "--bytes", str(NumberOfBytes)]
        return sealgate(arguments, EncryptionContext)

    def decrypt(self, CiphertextBlob, EncryptionContext, **_):
        with tempfile.NamedTemporaryFile() as blob:
            blob.write(CiphertextBlob)
            blob.flush()
            return sealgate(["decrypt", "--in", blob.name], EncryptionContext)


class Provider(StrictAwsKmsMasterKeyProvider):
    """Keys of this machine: there is no regional endpoint."""

    def _client(self, key_id):
        return Stub()


def sealgate(arguments, context):
    command = [SEALGATE, "kms", *arguments, "--state", STATE, "--output", "json"]
    for key, value in context.items():
        command += ["--context", f"{key}={value}"]
    answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    for blob in ("Plaintext", "CiphertextBlob"):
        if blob in answer:
            answer[blob] = base64.b64decode(answer[blob])
    return answer


def main():
    client = aws_encryption_sdk.EncryptionSDKClient(
        commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
    )
    how = {"key_provider": Provider(key_ids=[KEY]), "mode": OPERATION[0]}
    if OPERATION == "encrypt":
        how["encryption_context"] = dict(pair.split("=", 1) for pair in CONTEXT)
        how["algorithm"] = Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY_ECDSA_P384
    with open(SOURCE, "rb") as source, open(TARGET, "wb") as target:
        with client.stream(source=source, **how) as stream:
            for chunk in stream:
                target.write(chunk)
            if OPERATION == "decrypt":
                wanted = dict(pair.split("=", 1) for pair in CONTEXT)
                assert wanted.items() <= stream.header.encryption_context.items()


main()
