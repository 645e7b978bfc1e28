"""Asks a gdb a list of questions, of a live program or of a recording, and prints the answers as lines of `@@` and JSON.

The environment's QUESTIONS names a JSON file: `begin` (commands), `live` (how to start, or null), `output` (file that the
live program prints to), `stop` (a breakpoint), `flush` (writes out what the live program has buffered before questions
are asked), `moves` and `questions` (each one or several commands, by lines).
Moves are asked at the first stop, questions at the second; of a recording again after going beyond and coming back."""

import json
import os
import re
import time
import traceback

import gdb

with open(os.environ["QUESTIONS"]) as file:
    task = json.load(file)
live = task["live"] is not None
MOST_ZEROS = 0x10000
printed = 0


def say(**values):
    print("\n@@" + json.dumps(values), flush=True)


def output():
    """The live program's output since the last call; for a recording gdb prints it itself."""
    global printed
    if not live:
        return ""
    with open(task["output"], "rb") as file:
        file.seek(printed)
        new = file.read()
    printed += len(new)
    return new.decode(errors="replace")


def execute(command):
    """A command's output, on both of gdb's streams: `to_string` misses the position of a stop."""
    gdb.flush(gdb.STDOUT)
    gdb.flush(gdb.STDERR)
    file = os.memfd_create("gdb")
    streams = [os.dup(1), os.dup(2)]
    os.dup2(file, 1)
    os.dup2(file, 2)
    failure = ""
    try:
        gdb.execute(command)
    except gdb.error as error:
        failure = str(error) + "\n"
    finally:
        gdb.flush(gdb.STDOUT)
        gdb.flush(gdb.STDERR)
        for number, stream in enumerate(streams, 1):
            os.dup2(stream, number)
            os.close(stream)
    text = os.pread(file, os.lseek(file, 0, os.SEEK_END), 0).decode(errors="replace")
    os.close(file)
    return output() + text + failure


class Places:
    """Addresses as what they are in, so that those of two runs are the same: FILE+OFFSET, stack+OFFSET of $sp."""

    def __init__(self):
        self.areas = []
        text = gdb.execute("info proc mappings", to_string=True)
        name = ""
        for line in text.splitlines():
            found = re.match(r" +0x([0-9a-f]+) +0x([0-9a-f]+) +0x[0-9a-f]+ +0x([0-9a-f]+) +[rwxps-]{4} *(.*)$", line)
            if not found:
                continue
            start, end, offset = (int(part, 16) for part in found.groups()[:3])
            what = os.path.basename(found.group(4).strip())
            if what.startswith("[") or what == "":
                # A mapping without a name after a file is its zeros; a library has few, and other memory may follow.
                bss = what == "" and self.areas and self.areas[-1][1] == start and not name.startswith("[")
                bss = bss and (".so" not in name or end - start <= MOST_ZEROS)
                name = name if bss and name else what or "[anon]"
                base = self.areas[-1][3] if bss and name != "[anon]" else start
            elif what == name:
                base = self.areas[-1][3]
            else:
                name, base = what, start
            self.areas.append((start, end, name, base))
        self.sp = int(gdb.newest_frame().read_register("rsp"))

    def name(self, address):
        for start, end, name, base in self.areas:
            if not start <= address < end:
                continue
            if name == "[stack]":
                return "<stack%+d>" % (address - self.sp) if abs(address - self.sp) < 1000 else "<stack>"
            return "<anon>" if name == "[anon]" else "<%s+%#x>" % (name, address - base)
        return None


def normalize(text, places):
    def address(found):
        value = int(found.group(), 16)
        return places.name(value) or found.group()

    text = re.sub(r"0x[0-9a-f]{5,16}(?![0-9a-f])", address, text)
    text = re.sub(r"/\S+/mmap_[a-z]+_\d+_", "DIR/", text)
    text = re.sub(r"(/[^/\s]+)+/([^/\s]+\.so[.\d]*)\b", r"\2", text)
    for folder in task["folders"]:
        text = text.replace(folder + "/", "DIR/")
    text = re.sub(r"(Thread|LWP|process) (<[^>]*>|0x[0-9a-f]+|\d+(\.\d+)?)( \(LWP \d+\))?", "THREAD", text)
    text = re.sub(r"\$\d+ = ", "$ = ", text)
    text = re.sub(r"(reakpoint|atchpoint) \d+", r"\1 N", text)
    text = re.sub(r"(thread 'main') \(\d+\)", r"\1", text)
    # Columns are as wide as their content.
    text = re.sub(r"(?<=\S)  +", "  ", text)
    text = re.sub(r"DIR/(ld-linux)", r"\1", text)
    # The recorder lets glibc know of no clone3.
    text = re.sub(r"<\S+> in (clone3?) \(\) at .*", "in clone", text)
    # The server's own lines, and the recorder's library.
    text = re.sub(r"^\[diversion: .*\]\n", "", text, flags=re.M)
    text = re.sub(r"^.*librrpreload\.so.*\n", "", text, flags=re.M)
    return text


def ask(questions):
    answers = []
    for question in questions:
        begin = time.monotonic()
        text = "".join(execute(command) for command in question.splitlines())
        seconds = time.monotonic() - begin
        try:
            text = normalize(text, Places())
        except gdb.error as error:
            text += "(addresses as they are: %s)" % error
        answers.append([text, seconds])
    return answers


def run(command):
    begin = time.monotonic()
    text = execute(command)
    return text, time.monotonic() - begin


def main():
    for command in task["begin"]:
        gdb.execute(command)
    if live:
        for command in task["live"]:
            gdb.execute(command)
    stop = gdb.Breakpoint(task["stop"])
    text, seconds = run("run %s > %s 2>&1" % (task["arguments"], task["output"]) if live else "continue")
    say(arrived=text)
    first = ask(task["moves"])
    there, more = run("continue")
    if stop.hit_count < 2:
        there, more = run("continue")
    say(arrived=there)
    if live:
        execute(task["flush"])
    second = ask(task["questions"])
    say(pass_="forwards", moves=first, questions=second, seconds=seconds + more)
    if live:
        return
    end_diversion()
    text, seconds = run("continue")
    say(arrived=text)
    text, back = back_to(stop)
    say(arrived=text)
    second = ask(task["questions"])
    end_diversion()
    text, more = back_to(stop)
    say(arrived=text)
    first = ask(task["moves"])
    say(pass_="backwards", moves=first, questions=second, seconds=back + more)


def end_diversion():
    if "diversion" in gdb.prompt_hook(""):
        gdb.execute("diversion end")


def back_to(stop):
    """Backwards to the breakpoint; what else stops, as signals do, is passed over."""
    hits, seconds, words = stop.hit_count, 0, ""
    for _ in range(10):
        if stop.hit_count > hits or "No more reverse" in words:
            break
        text, more = run("reverse-continue")
        words, seconds = words + text, seconds + more
    return words, seconds


try:
    main()
except BaseException:
    say(failure=traceback.format_exc())
