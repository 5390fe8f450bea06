"""The rules of the production-readiness checklist, over the templates of an app."""
