"""Routes of the gateway; each module has a `router`, which `app.create_app` includes."""
