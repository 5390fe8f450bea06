"""The HTTP host: Cloud Run, Amazon SageMaker, Vertex AI, Azure custom handlers, any machine.

`application` speaks ASGI to whatever server there is, `scheduler` runs the requests, and `server`
is the one server that is chosen and how it is started and stopped.
"""
