"""Loads revenant_gdb.py for gdb. Scripts that gdb sources share one name space, and what the user's define there must not
take the place of what is defined here: it has a module of its own."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(os.path.expanduser(__file__))))
# Do not write bytecode beside the sources.
written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
try:
    sys.modules.pop("revenant_gdb", None)
    import revenant_gdb
finally:
    sys.dont_write_bytecode = written
    del sys.path[0], written
