"""Whether aihwkit's compiled extension is there: never, and nothing needs it."""

EXTENSION_COMPILED = False
extension_ops = None
