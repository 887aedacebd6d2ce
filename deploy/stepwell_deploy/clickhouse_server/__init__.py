"""ClickHouse's HTTP protocol over the embedded engine: an ASGI application on uvicorn, in a separate thread."""
