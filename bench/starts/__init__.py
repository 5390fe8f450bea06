"""Programs that answer one request and stop: each a way to serve a model, from a cold start.

Called as ``program MODEL BODY FD``: the model's file, the request's JSON, and the file descriptor
that the answer and a newline go to. They then wait for standard input to end, so that the
benchmark can look at their memory.
"""
