"""The HTTP host: Cloud Run, Amazon SageMaker, Vertex AI, Azure custom handlers, any machine.

`start` is how the process begins. `server` accepts clients and stops, `connection` serves one of
them, with `request_reader` and `response` between bytes and messages, and `scheduler` has requests
run, on the `event_loop` or on the `workers`.
"""
