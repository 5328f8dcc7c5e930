"""The provider's dialect: wire, signature, errors, credentials, endpoints."""
