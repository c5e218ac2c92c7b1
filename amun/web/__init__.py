"""The HTTP service: Connexion's operations, and the ASGI layers around them."""
