"""Sessions of gdb on recordings, for specs: each prints what it saw as lines of `@@` and JSON."""

import json
import gdb

last = {}


def on_stop(event):
    """Why the program stands: breakpoint numbers, a signal, or neither."""
    last.clear()
    if isinstance(event, gdb.BreakpointEvent):
        last["breakpoints"] = [b.number for b in event.breakpoints]
    elif isinstance(event, gdb.SignalEvent):
        last["signal"] = event.stop_signal


gdb.events.stop.connect(on_stop)


def say(**values):
    print("@@" + json.dumps(values), flush=True)


def run(command):
    """Executes a command and returns what it printed."""
    last.clear()
    return gdb.execute(command, to_string=True)


def number(expression):
    return int(gdb.parse_and_eval(expression))


def hits(command, see, breakpoint, limit=500):
    """Repeats `command` while it stops at the breakpoint; what `see` says at each hit, and what came last."""
    seen = []
    for _ in range(limit):
        text = run(command)
        if breakpoint.number not in last.get("breakpoints", []):
            return seen, text
        seen.append(see())
    return seen, "too many"


def begin(location):
    """Goes to a function of the program and gives the breakpoint back."""
    stop = gdb.Breakpoint(location)
    run("continue")
    return stop


def tree():
    """Forwards through the program, backwards to main, forwards again."""
    main = begin("main")
    start = number("$pc")
    insert = gdb.Breakpoint("tree.c:insert")
    run("continue")
    say(backtrace=run("backtrace"), key=number("key"))
    run("finish")
    returned = int(gdb.history(0))
    run("next")
    say(returned=returned, pointer=number("root"), root=run("print *root"))
    insert.delete()

    # The breakpoint of main is the one where history is left and met again.
    run("restart")
    run("continue")
    stop = gdb.Breakpoint("tree.c:65")
    see = lambda: [number("i"), number("inserted"), number("$sp")]
    forward, end = hits("continue", see, stop)
    say(forward=forward, end=end)


def family():
    """Follows into each child and its program."""
    run("set follow-fork-mode child")
    run("set breakpoint pending on")
    begin("main")
    say(parent=gdb.selected_inferior().pid)
    echo = gdb.Breakpoint("write")
    run("continue")
    inferior = gdb.selected_inferior()
    say(child=inferior.pid, program=inferior.progspace.filename, stack=run("backtrace"))
    echo.delete()
    say(end=run("continue"))


def race(count):
    """Every write of a counter that two threads race for."""
    begin("main")
    watch = gdb.Breakpoint("counter", gdb.BP_WATCHPOINT)
    see = lambda: [gdb.selected_thread().ptid[1], number("counter"), number("$pc")]
    forward = []
    for _ in range(count):
        run("continue")
        forward.append(see())
    say(forward=forward, threads=run("info threads"))
