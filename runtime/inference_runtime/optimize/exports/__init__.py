"""Exports of other frameworks' models to ONNX. Each framework is imported only to export."""
