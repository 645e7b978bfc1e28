"""What gdb gets of Revenant beyond the protocol: commands, a prompt that tells replay from diversion, news of jumps in
time, and a start as for a program of this machine. `revenant gdb` loads it; elsewhere: source revenant-gdb.py."""

import glob
import os
import re
import sys

import gdb


def ask(packet):
    """The server's answer as text, or None if the peer is not Revenant or the program is running."""
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


# Warnings of gdb for every remote target: file transfer, and missing symbols of rr's vDSO.
NOISE = re.compile(
    r"Remote debugging using |Reading |warning: File transfers from remote targets|BFD: warning: system-supplied DSO"
    r"|\(No debugging symbols found in "
)


class Captured:
    """
    What gdb prints meanwhile, on both of its streams: `to_string` of gdb.execute misses BFD's warnings.
    """

    def __enter__(self):
        gdb.flush(gdb.STDOUT)
        gdb.flush(gdb.STDERR)
        self.file = os.memfd_create("gdb")
        self.streams = [os.dup(1), os.dup(2)]
        os.dup2(self.file, 1)
        os.dup2(self.file, 2)
        return self

    def __exit__(self, *failure):
        gdb.flush(gdb.STDOUT)
        gdb.flush(gdb.STDERR)
        for number, stream in enumerate(self.streams, 1):
            os.dup2(stream, number)
            os.close(stream)
        size = os.lseek(self.file, 0, os.SEEK_END)
        self.lines = os.pread(self.file, size, 0).decode(errors="replace").splitlines()
        os.close(self.file)
        if failure[0]:
            gdb.write("\n".join(self.lines) + "\n", gdb.STDERR)


def fitting(text):
    """Without the library that a function is from where its line would be wider than the screen: `from /lib/libc.so.6`."""
    width = gdb.parameter("width") or sys.maxsize
    return "\n".join(
        line if len(line) <= width else re.sub(r"(?<=\)) from /[^ ]*$", "", line) for line in text.split("\n")
    )


def said(command):
    """
    The lines that gdb says to a command. Names of files may be any bytes, and `to_string` of gdb.execute fails at those
    that are not UTF-8.
    """
    pagination = gdb.parameter("pagination")
    gdb.execute("set pagination off")
    try:
        with Captured() as captured:
            gdb.execute(command)
    finally:
        gdb.execute("set pagination " + ("on" if pagination else "off"))
    return captured.lines


def revenant_connect(endpoint, as_rr=False, program=None):
    """
    Connects, and says in two lines where the program is and where help is; warnings and its output as they come.
    `program`: its file, where gdb is not to ask for it and look for it below the sysroot.
    """
    said_lines = said("file " + re.sub(r"([^\w/.+-])", r"\\\1", program)) if program else []
    said_lines += said("target extended-remote " + endpoint)
    lines = [line for line in said_lines if line.strip() and not NOISE.match(line)]
    thread = gdb.selected_thread()
    if as_rr:
        behave_as_rr()
    name = thread.name or "Replay"
    head = "%s, process %d, %s: " % (name, thread.ptid[0], state())
    gdb.write(fitting(head + "\n".join(lines)) + "\n")
    gdb.write('Type "help revenant" for the commands of recordings.\n')


as_rr_ = False


def behave_as_rr():
    """The prompt and the settings that rr gives gdb (its launch_debugger.cc)."""
    global as_rr_
    as_rr_ = True
    gdb.prompt_hook = lambda current: "(rr) "
    gdb.execute("set unwindonsignal on")
    gdb.execute("handle SIGURG stop", to_string=True)
    InCode.warned = True


def scripts_directories():
    """Folders of scripts that gdb loads with a file: absolute paths follow them (gdb manual, "objfile-gdbdotext file")."""
    variables = {"$debugdir": gdb.parameter("debug-file-directory"), "$datadir": gdb.parameter("data-directory")}
    for entry in (gdb.parameter("auto-load scripts-directory") or "").split(":"):
        first, _, rest = entry.partition("/")
        for folder in variables.get(first, first).split(":"):
            yield folder + "/" + rest if rest else folder


def script_for(recorded, extension, folders):
    """The script that gdb would auto-load on this machine for a file of that name, or None: beside it, or in a folder."""
    places = [recorded + extension] + [folder + recorded + extension for folder in folders]
    return next((place for place in places if os.path.isfile(place)), None)


def revenant_sysroot(sysroot, names):
    """
    Reads files from a folder of links to a trace's copies. gdb looks for a file's script by the name that links lead
    to, which is the copy's: a folder of links from there to the script of the recorded name lets it load, list and
    refuse scripts (auto-load off, safe-path) as for programs of this machine.
    """
    gdb.execute("set sysroot " + sysroot)
    gdb.execute("set solib-search-path " + names)
    folders = list(scripts_directories())
    ours = os.path.join(sysroot, ".auto-load")
    for at, _, files in os.walk(sysroot):
        if at.startswith(names):
            continue
        for file in files:
            place = os.path.join(at, file)
            if not os.path.isabs(os.readlink(place)):
                continue
            for extension in ("-gdb.py", "-gdb.gdb", "-gdb.scm"):
                script = script_for(place[len(sysroot) :], extension, folders)
                if script:
                    link = ours + os.path.realpath(place) + extension
                    os.makedirs(os.path.dirname(link), exist_ok=True)
                    os.path.lexists(link) or os.symlink(script, link)
    gdb.execute("set auto-load scripts-directory %s:%s" % (gdb.parameter("auto-load scripts-directory"), ours))


def rust_printers():
    """As rust-gdb does: makes the scripts in .debug_gdb_scripts of Rust programs available and allows loading them."""
    homes = ["/usr/lib/rustlib", "/usr/local/lib/rustlib"]
    homes += glob.glob(os.path.expanduser("~/.rustup/toolchains/*/lib/rustlib"))
    for home in homes:
        folder = os.path.join(home, "etc")
        if os.path.isfile(os.path.join(folder, "gdb_load_rust_pretty_printers.py")):
            gdb.execute("add-auto-load-safe-path " + folder, to_string=True)
            gdb.execute("directory " + folder, to_string=True)
            sys.path.insert(0, folder)
            return


class Revenant(gdb.Command):
    """Commands of recordings, besides gdb's own:

when, when-ticks, when-tid, when-end, elapsed-time, absolute-time
                       where the program is in the recording
goto PLACE, seek-ticks TICKS
                       go elsewhere in it: to a frame, SYMBOL:HIT, a moment
moment                 print a name of this instruction, for goto PLACE
back, forward          between places where you have stopped
frames [FROM[-TO]]     what was recorded
tasks                  every task that exists here
checkpoint, restart N, info checkpoints, delete checkpoint N
                       remember a place, go back to it
run, run FRAME         go back to where debugging began or to the checkpoint
                       of the last restart; to a frame (the last, beyond it)
info recording         the recording's folder
diversion start|end    between them registers and memory can be changed and
                       the program run on with them; the end undoes all

reverse-continue, reverse-step, reverse-next, reverse-finish run backwards.
Calls (print f(x)) and writes run in a diversion of their own. The prompt says
where the program is: (replay 124), (diversion 124)."""

    def __init__(self):
        super().__init__("revenant", gdb.COMMAND_RUNNING)

    def invoke(self, argument, from_tty):
        gdb.execute("help revenant")


# Commands that only print. gdb prints a server's output character by character, and scripts that
# wait for a number would take its first digits.
ANSWERS = {"when", "when-ticks", "when-tid", "when-end", "elapsed-time", "absolute-time", "recording", "moment"}


class Monitor(gdb.Command):
    """A command that is a monitor command."""

    def __init__(self, name, line, doc, argument=None, category=gdb.COMMAND_RUNNING):
        self.__doc__ = doc
        self.line = line
        self.default = argument
        super().__init__(name, category)

    def invoke(self, argument, from_tty):
        self.dont_repeat()
        if state() is None:
            raise gdb.GdbError("gdb is not connected to a recording that is stopped.")
        if not argument and self.default:
            argument = self.default()
        if self.line == "restart" and not gdb.selected_inferior().pid:
            # Only a process that gdb begins can be there again.
            gdb.execute(("run c" + argument) if argument else "run")
            return
        line = "monitor " + (self.line + " " + argument).strip()
        if self.line in ANSWERS:
            gdb.write(gdb.execute(line, to_string=True))
        elif self.line == "restart" and as_rr_:
            answer = gdb.execute(line, to_string=True)
            gdb.write(answer)
            if "restart failed" in answer:
                # rr's restart is a run, after whose failure there is no process.
                gdb.execute("with confirm off -- kill", to_string=True)
                return
        else:
            gdb.execute(line)
        synchronize()


class WatchConditions:
    """Sends the conditions of watchpoints to the server. gdb evaluates them by itself, at each write: a second for some
    thousands. The server stops only where a condition holds, and gdb then finds that, too."""

    # What gdb prints of the byte code of an expression (its ax.def), with the bytes of the operand.
    CODES = {
        "add": (0x02, 0), "sub": (0x03, 0), "mul": (0x04, 0), "div_signed": (0x05, 0), "div_unsigned": (0x06, 0),
        "rem_signed": (0x07, 0), "rem_unsigned": (0x08, 0), "lsh": (0x09, 0), "rsh_signed": (0x0A, 0),
        "rsh_unsigned": (0x0B, 0), "log_not": (0x0E, 0), "bit_and": (0x0F, 0), "bit_or": (0x10, 0),
        "bit_xor": (0x11, 0), "bit_not": (0x12, 0), "equal": (0x13, 0), "less_signed": (0x14, 0),
        "less_unsigned": (0x15, 0), "ext": (0x16, 1), "ref8": (0x17, 0), "ref16": (0x18, 0), "ref32": (0x19, 0),
        "ref64": (0x1A, 0), "if_goto": (0x20, 2), "goto": (0x21, 2), "const8": (0x22, 1), "const16": (0x23, 2),
        "const32": (0x24, 4), "const64": (0x25, 8), "reg": (0x26, 2), "end": (0x27, 0), "dup": (0x28, 0),
        "pop": (0x29, 0), "zero_ext": (0x2A, 1), "swap": (0x2B, 0), "pick": (0x32, 1), "rot": (0x33, 0),
    }
    FRAME_REGISTERS = {"6": "$rbp", "7": "$rsp"}
    known = {}
    sent = ""

    @classmethod
    def code(cls, condition, in_frame):
        """
        The byte code of a condition, in hexadecimal, or None. Of local variables in memory it has the addresses that they
        have now: the write may happen in another frame. What is in registers may be something else by then.
        """
        # In gdb the value of a register is that of the moment of the write.
        if "$" in condition or gdb.selected_frame() != gdb.newest_frame():
            return None
        text = gdb.execute("maint agent-eval " + condition, to_string=True)
        steps = [line.split()[1:] for line in text.splitlines() if re.match(r" *[0-9]+  ", line)]
        code = b""
        starts = {}
        old = 0
        pieces = []
        for index, (name, *operand) in enumerate(steps):
            starts[old] = len(code)
            operation, size = cls.CODES[name]
            old += 1 + size
            if name == "reg":
                rest = [step[0] for step in steps[index + 1 :]]
                behind = next((each for each in rest if not re.match("const|add|sub|ext|zero_ext", each)), "")
                if not in_frame or operand[0] not in cls.FRAME_REGISTERS or not behind.startswith("ref"):
                    return None
                value = int(gdb.parse_and_eval("(unsigned long)" + cls.FRAME_REGISTERS[operand[0]]))
                code += bytes([cls.CODES["const64"][0]]) + value.to_bytes(8, "big")
                continue
            if name in ("if_goto", "goto"):
                pieces.append((len(code) + 1, int(operand[0])))
            code += bytes([operation])
            if size:
                code += (int(operand[0]) % (1 << (8 * size))).to_bytes(size, "big")
        for at, target in pieces:
            code = code[:at] + starts[target].to_bytes(2, "big") + code[at + 2 :]
        return code.hex()

    @classmethod
    def compiled(cls, breakpoint, in_frame):
        """The same of a watchpoint's condition, if it has one."""
        try:
            return cls.code(breakpoint.condition, in_frame) if breakpoint.condition else None
        except (gdb.error, KeyError, ValueError, OverflowError):
            return None

    @classmethod
    def created(cls, breakpoint):
        if breakpoint.type != gdb.BP_HARDWARE_WATCHPOINT or state() is None:
            return
        place = None
        try:
            value = gdb.parse_and_eval(re.sub(r"^-l(ocation)? ", "", breakpoint.expression))
            place = (int(value.address), value.type.sizeof) if value.address is not None else None
        except (gdb.error, ValueError, OverflowError):
            pass
        cls.known[breakpoint.number] = (place, breakpoint.condition, cls.compiled(breakpoint, True))
        cls.send()

    @classmethod
    def modified(cls, breakpoint):
        if breakpoint.number not in cls.known:
            return
        place, condition, _ = cls.known[breakpoint.number]
        if condition != breakpoint.condition:
            cls.known[breakpoint.number] = (place, breakpoint.condition, cls.compiled(breakpoint, False))
        cls.send()

    @classmethod
    def deleted(cls, breakpoint):
        if cls.known.pop(breakpoint.number, None):
            cls.send()

    @classmethod
    def send(cls):
        """One that always stops decides for all at its place."""
        enabled = {each.number for each in gdb.breakpoints() if each.enabled}
        places = {}
        for number, (place, _, code) in cls.known.items():
            if place and number in enabled:
                places.setdefault(place, []).append(code)
        tests = [
            "%x,%x,%s" % (*place, "".join("X%x,%s" % (len(code) // 2, code) for code in codes))
            for place, codes in places.items()
            if None not in codes
        ]
        text = "/".join(tests)
        if text != cls.sent and ask("QRevenant.watches:" + text) is not None:
            cls.sent = text


class Visited:
    """Notifies the server of places that the user visits: at prompts after a stop."""

    stopped = False

    @classmethod
    def stop(cls, event):
        cls.stopped = True

    @classmethod
    def prompt(cls):
        if cls.stopped:
            cls.stopped = False
            ask("qRRCmd:rr-history-push:-1")


class InCode:
    """Warns once when the user's own breakpoints exceed the debug registers. gdb's internal ones, for libraries, longjmp and
    exceptions, come and go in files that no program reads as data; a report of a divergence mentions those, too."""

    DEBUG_REGISTERS = 4
    warned = False

    @classmethod
    def stop(cls, event):
        if cls.warned:
            return
        kinds = (gdb.BP_BREAKPOINT, gdb.BP_HARDWARE_BREAKPOINT)
        mine = [each for each in gdb.breakpoints() if each.enabled and each.type in kinds]
        # gdb 12 does not list locations.
        if sum(len(getattr(each, "locations", [each])) for each in mine) <= cls.DEBUG_REGISTERS or state() is None:
            return
        cls.warned = True
        gdb.write("[more breakpoints than debug registers: a program that reads its own code sees some of them]\n")


class Visit(Monitor):
    """Goes to a place that was saved before."""

    def invoke(self, argument, from_tty):
        super().invoke(argument, from_tty)
        Visited.stopped = False


class SeekTicks(Monitor):
    """Of the selected thread, unless another is named."""

    def invoke(self, argument, from_tty):
        words = argument.split()
        super().invoke(" ".join(words + [selected_tid()] if len(words) == 1 else words), from_tty)


def selected_tid():
    """The server is not notified of each selection of a thread."""
    thread = gdb.selected_thread()
    return str(thread.ptid[1]) if thread else ""


def place():
    """Where the innermost frame is: `0x... in main (argc=1) at tree.c:12`."""
    try:
        selected = gdb.selected_frame()
        lines = said("frame 0")
        selected.select()
    except gdb.error:
        return ""
    return re.sub(r"^#0 +", "", lines[0])


def install():
    Revenant()
    Monitor("when", "when", "Print the last frame of the recording that was replayed.")
    Monitor("when-end", "when-end", "Print the last frame of the recording.")
    Monitor("when-ticks", "when-ticks", "Print the ticks (retired conditional branches) of the thread.", selected_tid)
    Monitor("when-tid", "when-tid", "Print the thread's number in the recording.", selected_tid)
    Monitor("elapsed-time", "elapsed-time", "Print the seconds since the recording began.")
    Monitor("absolute-time", "absolute-time", "Print the time of the recording by CLOCK_MONOTONIC, in seconds.")
    Monitor("info recording", "recording", "Print the recording's folder.")
    Monitor("moment", "moment", "Print a name of the current instruction, for goto, --goto or --at in any replay.")
    Monitor(
        "goto",
        "goto",
        "goto PLACE\nGo to a place of the recording, forwards or backwards: right after a frame, to SYMBOL:HIT,\n"
        "FILE:LINE:HIT, FRAME:TICKS, what moment printed, exit, end or crash.",
    )
    SeekTicks("seek-ticks", "seek-ticks", "seek-ticks TICKS\nGo to the first place where the thread has so many ticks.")
    Visit("back", "back", "Go to where the program stopped before this place, in the order of your visits.")
    Visit("forward", "forward", "Go to where the last back went from.")
    Monitor("frames", "frames", "frames [FROM[-TO]]\nPrint what was recorded, around here or from FROM.")
    Monitor("tasks", "tasks", "List every task of the recording that exists here.")
    Monitor("checkpoint", "checkpoint", "checkpoint [NAME]\nRemember this place of the recording.", place)
    Monitor("restart", "restart", "restart [NUMBER]\nGo back to a checkpoint, or to where debugging began.")
    Monitor("info checkpoints", "checkpoints", "List the places of the recording that are remembered.")
    Monitor("delete checkpoint", "delete-checkpoint", "delete checkpoint NUMBER\nForget a place.")
    Monitor(
        "diversion",
        "diversion",
        "diversion start|end|status\nBetween start and end, registers and memory can be changed and the program "
        "run on with them.\nThe end undoes everything.",
    )
    gdb.execute("define hookpost-monitor\npython revenant_gdb.synchronize()\nend")
    # The server's breakpoints cost nothing while the program is stopped. gdb 13 removes those of unloaded libraries
    # twice when a reverse execution ends before they were loaded, and crashes.
    gdb.execute("set breakpoint always-inserted on")
    # glibc's own signals, of pthread_cancel and setuid: gdb passes them silently for threads of this machine
    # (linux_nat: lin_thread_get_thread_signals), not for remote ones.
    gdb.execute("handle SIG32 SIG33 nostop noprint pass", to_string=True)
    gdb.events.breakpoint_created.connect(WatchConditions.created)
    gdb.events.breakpoint_modified.connect(WatchConditions.modified)
    gdb.events.breakpoint_deleted.connect(WatchConditions.deleted)
    gdb.events.stop.connect(Visited.stop)
    gdb.events.stop.connect(InCode.stop)
    gdb.events.before_prompt.connect(Visited.prompt)
    gdb.prompt_hook = prompt


install()
