"""A real broker with SASL/SCRAM over TLS and ACLs; this process's administrator needs neither."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import trustme
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest
from cryptography.hazmat.primitives import serialization

from stepwell_deploy.local.kafka import LocalKafka
from stepwell_deploy.ports import claim_port

_HOST = "127.0.0.1"
_RESOURCES = {"topic": 2, "group": 3}
_OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10}
_LITERAL, _ALLOW = 3, 3
_PASSWORD = "a-password-of-tests"


class Acl(NamedTuple):
    """The permission of a user for an operation on a resource."""

    user: str
    operation: str
    resource: str
    name: str


class SecuredKafka(LocalKafka):
    """A broker whose users authenticate with SCRAM over TLS, and may do only what ACLs allow.

    Its plaintext port is for the administrator of the test, and for the broker itself.
    """

    def __init__(self, folder: Path, users: Iterable[str]) -> None:
        authority = trustme.CA()
        folder.mkdir(parents=True)
        self.ca_file = folder / "ca.pem"
        authority.cert_pem.write_to_path(self.ca_file)
        keystore = folder / "broker.pem"
        keystore.write_bytes(_keystore(authority.issue_cert(_HOST)))
        plain, self._sasl_port, controller = (claim_port(_HOST, 0, "") for _ in range(3))
        super().__init__(
            folder,
            plain,
            properties=_properties(keystore, plain, self._sasl_port, controller),
            format_options=[f"--add-scram=SCRAM-SHA-512=[name={user},password={_PASSWORD}]" for user in users],
        )

    def settings(self, user: str, password: str = _PASSWORD) -> dict[str, Any]:
        """Return the settings of a user's connection."""
        return {
            "kafka_bootstrap_servers": f"{_HOST}:{self._sasl_port}",
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_mechanism": "SCRAM-SHA-512",
            "kafka_sasl_username": user,
            "kafka_sasl_password": password,
            "kafka_ssl_cafile": str(self.ca_file),
        }

    async def allow(self, acls: Iterable[Acl]) -> None:
        """Create ACLs."""
        await self._change(CreateAclsRequest, acls)

    async def forbid(self, acls: Iterable[Acl]) -> None:
        """Delete ACLs."""
        await self._change(DeleteAclsRequest, acls)

    async def _change(self, kind: Any, acls: Iterable[Acl]) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers)
        await admin.start()
        try:
            for acl in acls:
                resource, operation = _RESOURCES[acl.resource], _OPERATIONS[acl.operation]
                request = kind(resource, acl.name, _LITERAL, f"User:{acl.user}", "*", operation, _ALLOW)
                answer = (await admin._send_request(request)).to_object()
                (result,) = answer.get("creation_responses") or answer["filter_responses"]
                assert result["error_code"] == 0, result
        finally:
            await admin.close()


def _keystore(certificate: trustme.LeafCert) -> bytes:
    """Return key and certificate as Kafka reads them: PKCS#8, then the chain."""
    key = serialization.load_pem_private_key(certificate.private_key_pem.bytes(), None)
    pkcs8 = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pkcs8 + b"".join(blob.bytes() for blob in certificate.cert_chain_pems)


def _properties(keystore: Path, plain: int, sasl: int, controller: int) -> Mapping[str, str]:
    listeners = f"PLAINTEXT://{_HOST}:{plain},SASL_SSL://{_HOST}:{sasl}"
    return {
        "listeners": f"{listeners},CONTROLLER://{_HOST}:{controller}",
        "advertised.listeners": listeners,
        "controller.quorum.bootstrap.servers": f"{_HOST}:{controller}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keystore),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "allow.everyone.if.no.acl.found": "false",
    }
