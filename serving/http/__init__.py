"""The ASGI application and the HTTP server around it."""
