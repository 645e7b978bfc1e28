"""What gdb gets of Revenant beyond the protocol: commands, a prompt that tells replay from diversion, and news of
jumps in time. `revenant gdb` loads it; elsewhere: source revenant-gdb.py."""

import gdb


def ask(packet):
    """The server's answer as text, or None where there is no Revenant at the other end or it is running."""
    try:
        connection = gdb.selected_inferior().connection
        if not isinstance(connection, gdb.RemoteTargetConnection):
            return None
        answer = connection.send_packet(packet)
    except gdb.error:
        return None
    return answer.decode("latin-1") if answer else None


def state():
    """`replay 124` or `diversion 124`, or None."""
    answer = ask("qRevenant.state")
    try:
        return bytes.fromhex(answer).decode() if answer else None
    except ValueError:
        return None


def synchronize():
    """After a jump in time the server answers the next request to run with where it is, and does not run."""
    for _ in range(4):
        if ask("qRevenant.pending") in (None, "0"):
            return
        gdb.execute("stepi")


def monitor(line):
    gdb.execute("monitor " + line)
    synchronize()


def prompt(current):
    now = state()
    return None if now is None else "(%s) " % now


class Monitor(gdb.Command):
    """A command that is a monitor command."""

    def __init__(self, name, line, doc, category=gdb.COMMAND_RUNNING):
        self.__doc__ = doc
        self.line = line
        super().__init__(name, category)

    def invoke(self, argument, from_tty):
        self.dont_repeat()
        if state() is None:
            raise gdb.GdbError("This is not connected to a recording that stands still.")
        gdb.execute("monitor " + (self.line + " " + argument).strip())
        synchronize()


def install():
    Monitor("when", "when", "Print the frame of the recording that the program stands behind.")
    Monitor("goto", "goto", "goto FRAME\nGo right behind a frame of the recording, forwards or backwards.")
    Monitor("frames", "frames", "frames [FROM[-TO]]\nPrint what was recorded, around here or from FROM.")
    Monitor("tasks", "tasks", "List every task of the recording that exists here.")
    Monitor("checkpoint", "checkpoint", "checkpoint [NAME]\nRemember this place of the recording.")
    Monitor("restart", "restart", "restart [NUMBER]\nGo back to a checkpoint, or to where debugging began.")
    Monitor("info checkpoints", "checkpoints", "List the places of the recording that are remembered.")
    Monitor("delete checkpoint", "delete-checkpoint", "delete checkpoint NUMBER\nForget a place.")
    Monitor(
        "diversion",
        "diversion",
        "diversion start|end|status\nBetween start and end, registers and memory can be changed and the program "
        "run on with them.\nThe end undoes everything.",
    )
    gdb.execute("define hookpost-monitor\npython synchronize()\nend")
    gdb.prompt_hook = prompt


install()
