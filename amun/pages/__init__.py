"""The page at `/`: what people see of inspections in a browser.

It is a client of the public API and of nothing else. Its handlers call the service's own ASGI application
(`api`), through gate, door and validation, with the visitor's credential and nobody else's; the scripts that it
serves call the same API from the browser.
"""
