"""Sign-in to the page: its form, the way over an identity provider, and the limit of attempts."""
