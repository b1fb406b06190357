"""azure-identity against the stand-ins for Azure's platforms: what each gives, as JSON."""

import argparse
import json
import os

from azure.identity import ManagedIdentityCredential, WorkloadIdentityCredential

SCOPE = "https://ai.azure.com/.default"

flags = argparse.ArgumentParser()
for flag in ("plain", "secure", "header", "tenant", "client", "token-file"):
    flags.add_argument(f"--{flag}", required=True)
flags = flags.parse_args()

told = {}
os.environ["AZURE_POD_IDENTITY_AUTHORITY_HOST"] = flags.plain
told["imds"] = ManagedIdentityCredential().get_token(SCOPE).token

os.environ["IDENTITY_ENDPOINT"] = f"{flags.plain}/msi/token"
os.environ["IDENTITY_HEADER"] = flags.header
told["app-service"] = ManagedIdentityCredential(client_id=flags.client).get_token(SCOPE).token

told["workload"] = (
    WorkloadIdentityCredential(
        tenant_id=flags.tenant,
        client_id=flags.client,
        token_file_path=flags.token_file,
        authority=flags.secure,
        disable_instance_discovery=True,
    )
    .get_token(SCOPE)
    .token
)
print(json.dumps(told))
