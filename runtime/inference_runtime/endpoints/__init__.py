"""What each path answers: one module for each protocol, all over one repository of models."""
