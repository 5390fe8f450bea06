"""Reference stacks, composed only from the public constructs."""
