"""Sessions of gdb on recordings, for specs: each prints its results as lines of `@@` and JSON."""

import json
import gdb

last = {}


def on_stop(event):
    """Why the program stopped: breakpoint numbers, a signal, or neither."""
    last.clear()
    if isinstance(event, gdb.BreakpointEvent):
        last["breakpoints"] = [b.number for b in event.breakpoints]
    elif isinstance(event, gdb.SignalEvent):
        last["signal"] = event.stop_signal


gdb.events.stop.connect(on_stop)


def say(**values):
    print("@@" + json.dumps(values), flush=True)


def run(command):
    """Executes a command and returns its output."""
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


def standing():
    """`replay N` or `diversion N`, as the prompt says."""
    return gdb.prompt_hook("")[1:-2]


def fails(command):
    """What gdb says of a command that cannot be done."""
    try:
        return "done: " + run(command)
    except gdb.error as error:
        return str(error)


def print_tree():
    return run("call print_tree(root, 0)")


def calls():
    """Calls at the exit of main, one of which crashes; then the recording's own end."""
    begin("main")
    begin("exit")
    registers = run("info registers")
    say(before=standing(), sum=number("tree_sum(root)"), depth=number("tree_depth(root)"), drawing=print_tree())
    say(described=gdb.parse_and_eval("describe(root)").string(), lines=number('count_lines("/etc/passwd")'))
    say(strings=number('$_strlen("three")'), inside=standing())
    say(crash=fails("print crash_on(999)"), stack=run("backtrace"), key=number("root->key"))
    say(killed=run("continue"), after=standing())
    say(same=run("info registers") == registers)
    say(end=run("continue"))
    say(sum_at_end=number("tree_sum(root)"), stack_at_end=run("backtrace"))
    run("continue")
    say(still=standing())


def stops_in_calls():
    """A call that meets a breakpoint, and one in a breakpoint's condition, in the middle of insert."""
    begin("main")
    run("break insert if key == 62")
    run("continue")
    registers = run("info registers")
    depth = gdb.Breakpoint("tree_depth")
    say(call=fails("print tree_depth(root)"), stack=run("backtrace"), inside=standing())
    depth.delete()
    run("finish")
    say(returned=int(gdb.history(0)), drawing=print_tree(), same=run("info registers") == registers)
    gdb.execute("delete")
    watch = gdb.Breakpoint("inserted", gdb.BP_WATCHPOINT)
    before = number("inserted")
    run("diversion start")
    run("continue")
    say(counted=number("inserted") - before, watched=standing())
    run("diversion end")
    watch.delete()
    # Hits of insert are passed over until the sum is large enough.
    run("break insert if tree_sum(root) > 700")
    run("continue")
    say(sum=number("tree_sum(root)"), inserted=number("inserted"))
    gdb.execute("delete")
    say(end=run("continue"))


def what_if():
    """Changes that last from a diversion's start to its end, made before main prints its count."""
    begin("main")
    begin("tree_sum")
    gdb.execute("delete")
    registers, inserted = run("info registers"), number("inserted")
    back = lambda: dict(state=standing(), inserted=number("inserted"), same=run("info registers") == registers)
    run("diversion start")
    run("stepi")
    say(inside=standing(), steps=number("$pc"), rax=number("$rax = 5"), depth=number("tree_depth(root)"))
    run("diversion end")
    say(inserted=inserted, first=back())
    run("diversion start")
    run("set variable inserted = 100")
    say(changed=run("continue"), over=run("stepi"), stuck=standing())
    run("diversion end")
    say(second=back(), recorded=run("continue"))


def in_handler():
    """Calls from inside a signal handler, and a signal raised in one."""
    run("handle SIGSEGV nostop noprint pass")
    begin("jump")
    stack = run("backtrace")
    say(stack=stack, pid=number("(int)getpid()") == gdb.selected_inferior().pid)
    say(printed=run('print (int)puts("from the handler")') + run("print (int)fflush(0)"))
    say(raised=fails("print (int)raise(10)"))
    run("diversion end")
    say(same=run("backtrace") == stack)
    gdb.execute("delete")
    for signals in "all", "SIGTRAP":
        run("handle %s nostop noprint pass" % signals)
    say(end=run("continue"))
