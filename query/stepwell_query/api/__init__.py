"""The HTTP API: routes, parameters, formats and problem documents."""
