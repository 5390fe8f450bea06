"""A folder of requests answered at once: ``inference-runtime batch``.

Each input is an object or file below a folder: ``.jsonl`` with a request on each line, or ``.json``
with one. Tasks share the inputs by their names, so that none needs to know of the others. Beside
the input, in the output folder, are::

    results/<name>                 the answers: a line for each of the input's, or the one
    done/<name>.<key>.json         what came of an input, written after its results; the key changes
                                   with the input and with the model
    tasks/<execution>/<task>.json  what came of all inputs of a task
    manifest.json                  the same of all tasks, written when the last one ends

An input is done if its ``done`` is there: a task that was killed goes on with the next one, and an
input that has changed, or whose model has, is answered anew.
"""
