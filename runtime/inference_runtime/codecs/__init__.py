"""From bytes to a call of the model, and from its outputs back to bytes: one module, one form."""
