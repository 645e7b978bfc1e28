"""Evaluates expressions inside gdb, for src/expressions/evaluator.ts: requests are lines of JSON on standard input,
answers lines of JSON on descriptor 3. Expressions are text of `print` and nothing else: they cannot run commands."""

import json
import os
import re
import sys

import gdb
import revenant_gdb

# Most elements of a value; with more there is only the text.
MOST_PARTS = 10000
MOST_DEPTH = 20
MOST_TEXT = 4096
PAGE = 4096

TOKEN = re.compile(
    r"""\s*(?P<text>(?:u8|[uUL])?"(?:[^"\\]|\\.)*")
    |\s*(?P<quoted>(?:u8|[uUL])?'(?:[^'\\]|\\.)*')
    |\s*(?P<number>\.?\d(?:[eEpP][+-]|[\w.'])*)
    |\s*(?P<name>\$?[A-Za-z_]\w*)
    |\s*(?P<sign>->|::|[^\w\s])""",
    re.VERBOSE,
)


class Shell(gdb.Function):
    """Expressions do not run commands of this machine: gdb's own $_shell would."""

    def __init__(self):
        super().__init__("_shell")

    def invoke(self, *arguments):
        raise gdb.GdbError("$_shell is not available in expressions of recordings.")


class Ambiguous(Exception):
    pass


def connect(endpoint):
    try:
        gdb.execute("disconnect", to_string=True)
    except gdb.error:
        pass
    # Not to_string, which fails for file names that are not UTF-8; the output is not needed.
    gdb.execute("target extended-remote " + endpoint)


def tokens(text):
    """Tokens of an expression with their positions; None if something is not a token."""
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if not match:
            return None
        kind = match.lastgroup
        found.append((kind, match.group(kind), match.start(kind), match.end(kind)))
        at = match.end()
    return found


def names(found):
    """The tokens that are looked up as names: not members, parts of qualified names or registers."""
    for index, (kind, word, start, end) in enumerate(found):
        before = found[index - 1][1] if index > 0 else ""
        behind = found[index + 1][1] if index + 1 < len(found) else ""
        if kind != "name" or word.startswith("$") or before in (".", "->", "::") or behind == "::":
            continue
        yield word, start, before, behind


def symbol_of(name):
    try:
        return gdb.lookup_symbol(name)[0]
    except gdb.error:
        return gdb.lookup_global_symbol(name)


def current_file():
    """The current compilation unit, or None."""
    try:
        function = gdb.selected_frame().function()
        return function.symtab.filename if function else None
    except gdb.error:
        return None


def require_unambiguous(name, symbol):
    """Several files may have a static function or variable of the same name: gdb would take any of them."""
    if symbol is None or symbol.needs_frame or not (symbol.is_function or symbol.is_variable):
        return
    if not hasattr(gdb, "lookup_static_symbols"):
        return
    if gdb.lookup_global_symbol(name):
        return
    files = {}
    for each in gdb.lookup_static_symbols(name):
        files.setdefault(each.symtab.filename, each)
    if len(files) < 2 or current_file() in files:
        return
    raise Ambiguous(name, ["'%s'::%s" % (os.path.basename(file), name) for file in sorted(files)])


def require_one_function(name, symbol):
    """A function that is named but not called: among overloads it is identified only by its parameters."""
    if symbol is None or not symbol.is_function or "(" not in symbol.print_name:
        return
    qualified = symbol.print_name.split("(")[0]
    try:
        places = gdb.decode_line(qualified)[1] or ()
    except gdb.error:
        return
    functions = (gdb.block_for_pc(place.pc) for place in places)
    titles = {block.function.print_name for block in functions if block and block.function}
    overloads = sorted(title for title in titles if title.split("(")[0] == qualified)
    if len(overloads) > 1:
        raise Ambiguous(name, ["'%s'" % title for title in overloads])


def with_results(text, found):
    """Functions without debug information return a long unless the call is cast."""
    inserted = []
    for name, start, before, behind in names(found):
        if behind != "(" or before == ")" or symbol_of(name) is not None:
            continue
        try:
            kind = str(gdb.parse_and_eval(name).type)
        except gdb.error:
            continue
        if kind.startswith("<text"):
            inserted.append(start)
    for start in reversed(inserted):
        text = text[:start] + "(long)" + text[start:]
    return text


def is_local(symbol):
    return symbol is not None and symbol.needs_frame and (symbol.is_argument or symbol.is_variable)


def enter_body(found):
    """
    Where a function has just been entered, compiled without optimization, its code has yet to store the arguments
    where the debug information says that they are: goes on to where gdb's `break FUNCTION` would stop.
    """
    frame = gdb.selected_frame()
    function = frame.function()
    if function is None or frame.pc() != int(function.value().address):
        return
    if not any(is_local(symbol_of(name)) for name, _, _, _ in names(found)):
        return
    place = "-qualified -source %s -function %s" % (function.symtab.filename, function.name)
    try:
        said = gdb.execute("tbreak " + place, to_string=True)
    except gdb.error:
        return
    finally:
        for breakpoint in gdb.breakpoints():
            breakpoint.delete()
    at = re.search(r"reakpoint \d+ at (0x[0-9a-f]+)", said)
    if at and frame.pc() < int(at.group(1), 16) < frame.block().end:
        gdb.execute("advance *" + at.group(1), to_string=True)


def evaluate(text):
    found = tokens(text) or []
    try:
        enter_body(found)
        for name, _, _, behind in names(found):
            require_unambiguous(name, symbol_of(name))
            if behind != "(":
                require_one_function(name, symbol_of(name))
        said = gdb.execute("print -- " + with_results(text, found), to_string=True)
    except Ambiguous as ambiguous:
        return {"ambiguous": ambiguous.args}
    except gdb.error as error:
        return {"error": str(error), "names": near(str(error), text)}
    shown = re.search(r"^\$\d+ = (.*)", said, re.DOTALL | re.MULTILINE)
    value = gdb.history(0)
    # gdb's warnings come first: that a shift is too wide for its type.
    answer = {"said": said[: shown.start()].strip() if shown else ""}
    answer.update(meaning(value, text, shown.group(1).rstrip("\n") if shown else said.strip()))
    return answer


def meaning(value, text, shown):
    answer = {"text": shown, "type": str(value.type)}
    if is_text_pointer(value.type) and not text.startswith("/"):
        answer["textAt"] = str(int(value))
    try:
        answer["value"] = plain(value, [MOST_PARTS], 0)
    except (gdb.error, OverflowError, RuntimeError, TypeError, ValueError):
        answer["value"] = None
    return answer


def near(message, text):
    """Similar names for an unknown symbol or member."""
    member = re.match(r"There is no member (?:or method )?named (\w+)\.", message)
    if member:
        path = re.search(r"([A-Za-z_][\w.]*(?:->\w+|\[\d+\]|\.\w+)*)\s*(?:->|\.)\s*%s\b" % member.group(1), text)
        try:
            return members_of(path.group(1)) if path else []
        except (gdb.error, TypeError):
            return []
    if not re.match(r'No symbol "', message):
        return []
    found = []
    try:
        block = gdb.selected_frame().block()
    except (gdb.error, RuntimeError):
        return found
    while block:
        found += [symbol.name for symbol in block]
        block = block.superblock
    return found + members_of("this") if "this" in found else found


def members_of(path):
    kind = gdb.parse_and_eval(path).type.strip_typedefs()
    if kind.code in (gdb.TYPE_CODE_PTR, gdb.TYPE_CODE_REF):
        kind = target_of(kind)
    own = [field.name for field in kind.fields() if field.name and not field.is_base_class]
    return own + [name for field in kind.fields() if field.is_base_class for name in names_in(field.type)]


def names_in(kind):
    return [field.name for field in kind.strip_typedefs().fields() if field.name and not field.is_base_class]


def target_of(kind):
    return kind.strip_typedefs().target().strip_typedefs()


def is_text_pointer(kind):
    if kind.strip_typedefs().code in (gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF):
        kind = target_of(kind)
    if kind.strip_typedefs().code != gdb.TYPE_CODE_PTR:
        return False
    return target_of(kind).unqualified().name == "char"


def whole(number):
    """JSON readers keep 53 bits."""
    return number if abs(number) < 1 << 53 else {"#int": str(number)}


def text_at(address):
    """The text at an address, None if it cannot be read."""
    memory, read = gdb.selected_inferior(), b""
    while len(read) < MOST_TEXT:
        size = min(256, PAGE - (address + len(read)) % PAGE)
        try:
            part = bytes(memory.read_memory(address + len(read), size))
        except gdb.MemoryError:
            return read.decode(errors="replace") if read else None
        end = part.find(b"\0")
        if end >= 0:
            return (read + part[:end]).decode(errors="replace")
        read += part
    return read.decode(errors="replace")


def printed(value, left, depth):
    """The elements that the value's pretty-printer yields, or None without one."""
    printer = gdb.default_visualizer(value)
    if printer is None:
        return None
    hint = printer.display_hint() if hasattr(printer, "display_hint") else None
    if not hasattr(printer, "children") or hint == "string":
        shown = printer.to_string()
        if hasattr(shown, "value"):
            shown = shown.value().string(length=shown.length) if shown.length >= 0 else shown.value().string()
        return [plain(shown, left, depth + 1) if isinstance(shown, gdb.Value) else str(shown)]
    parts = []
    for name, child in printer.children():
        parts.append((name, plain(child, left, depth + 1) if isinstance(child, gdb.Value) else child))
    values = [value for _, value in parts]
    if hint == "map":
        return [[list(pair) for pair in zip(values[0::2], values[1::2])]]
    return [values] if hint == "array" or all(re.match(r"\[\d+\]$", name) for name, _ in parts) else [dict(parts)]


def plain(value, left, depth):
    """A value as JSON: numbers, texts, arrays, objects; None if it has no such form."""
    left[0] -= 1
    if left[0] < 0 or depth > MOST_DEPTH:
        raise OverflowError
    shown = printed(value, left, depth)
    if shown is not None:
        return shown[0]
    kind = value.type.strip_typedefs()
    code = kind.code
    if code in (gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF):
        return plain(value.referenced_value(), left, depth + 1)
    if code == gdb.TYPE_CODE_BOOL:
        return bool(value)
    if code in (gdb.TYPE_CODE_INT, gdb.TYPE_CODE_CHAR, gdb.TYPE_CODE_ENUM, gdb.TYPE_CODE_FLAGS):
        return whole(int(value))
    if code == gdb.TYPE_CODE_FLT:
        number = float(value)
        return number if abs(number) < float("inf") else str(number)
    if code == gdb.TYPE_CODE_PTR and is_text_pointer(kind):
        return text_at(int(value)) if int(value) != 0 else None
    if code in (gdb.TYPE_CODE_PTR, gdb.TYPE_CODE_METHODPTR, gdb.TYPE_CODE_MEMBERPTR):
        return {"#address": str(int(value))}
    if code == gdb.TYPE_CODE_FUNC:
        return {"#address": str(int(value.address))}
    if code == gdb.TYPE_CODE_ARRAY:
        return elements(value, kind, left, depth)
    if code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION):
        return members(value, kind, left, depth)
    return None


def elements(value, kind, left, depth):
    first, last = kind.range()
    if last - first >= left[0]:
        raise OverflowError
    if kind.target().strip_typedefs().unqualified().name == "char":
        raw = bytes(int(value[index]) & 255 for index in range(first, last + 1))
        return raw.split(b"\0")[0].decode(errors="replace")
    return [plain(value[index], left, depth + 1) for index in range(first, last + 1)]


def members(value, kind, left, depth):
    found = {}
    for field in kind.fields():
        if not hasattr(field, "bitpos"):
            continue
        inner = plain(value[field], left, depth + 1)
        if field.name:
            found[field.name] = inner
        elif isinstance(inner, dict):
            found.update(inner)
    return found


MOST_FRAMES = 16
MOST_VARIABLES = 24
MOST_SHOWN = 200


def variable(frame, block, symbol):
    try:
        value = frame.read_var(symbol, block)
        shown = value.format_string(max_elements=32)
    except (gdb.error, RuntimeError, ValueError) as error:
        shown = "<%s>" % error
    if len(shown) > MOST_SHOWN:
        shown = shown[: MOST_SHOWN - 3] + "..."
    return {"name": symbol.name, "value": shown, "argument": symbol.is_argument}


def variables(frame):
    """Arguments, then locals, the innermost block's first; an inner block's name hides outer ones."""
    found = {}
    try:
        block = frame.block()
    except RuntimeError:
        return []
    while block:
        for symbol in block:
            if is_local(symbol) and symbol.name not in found and len(found) < MOST_VARIABLES:
                found[symbol.name] = variable(frame, block, symbol)
        if block.function:
            break
        block = block.superblock
    return sorted(found.values(), key=lambda each: not each["argument"])


def stack():
    """Frames of the current task, innermost first."""
    found = []
    frame = gdb.newest_frame()
    while frame is not None and len(found) < MOST_FRAMES:
        place = frame.find_sal()
        symtab = place.symtab
        found.append(
            {
                "function": frame.name(),
                "address": "0x%x" % frame.pc(),
                "file": symtab.filename if symtab else None,
                "line": place.line if symtab and place.line > 0 else None,
                "variables": variables(frame),
            }
        )
        try:
            frame = frame.older()
        except gdb.error:
            break
    return {"frames": found}


def serve():
    """Answers requests until the end of input."""
    answers = os.fdopen(3, "w")
    Shell()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "connect" in request:
                connect(request["connect"])
                answer = {}
            elif "synchronize" in request:
                revenant_gdb.synchronize()
                if request["synchronize"] == "moved":
                    gdb.execute("sharedlibrary", to_string=True)
                answer = {}
            elif "stack" in request:
                answer = stack()
            else:
                answer = evaluate(request["evaluate"])
        except Exception as error:
            answer = {"error": "%s: %s" % (type(error).__name__, error), "names": []}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
