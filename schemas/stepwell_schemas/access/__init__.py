"""Access: grants, identities and API keys, as every service checks them."""
