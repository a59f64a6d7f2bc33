"""What backends that ask a server over HTTP share; for plugins, the product itself sends nothing.

A backend derives from `backend.HttpBackend` and its configuration from `config.HttpConfig`. The client,
pyreqwest, is imported when a backend opens, and is the plugin's own dependency.
"""
