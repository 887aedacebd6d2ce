"""HTTP services: problem documents, middlewares that protect every route, limits of connections, and the server."""
