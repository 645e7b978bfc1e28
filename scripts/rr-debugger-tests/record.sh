#!/bin/bash
# record.sh build RR_SOURCE OBJECTS             compiles the programs of rr's debugger tests as rr's build does
# record.sh record RR_SOURCE OBJECTS OUT [TEST...]
# Runs the *.run scripts of rr's debugger tests with an unmodified rr as far as their recordings, on a machine where rr can
# record. OUT/TEST/trace is the packed recording; OUT/TEST/N.session what the script would have started as its N-th debugger
# session, with its standard input as N.input where the script gave it one.
set -u
here=$(cd "$(dirname "$0")" && pwd)
action=${1:-} source=$(realpath "${2:-.}") objects=${3:-}
tests=$source/src/test
[ -f "$tests/util.sh" ] && [ -n "$objects" ] || { sed -n '2,7p' "$0" >&2; exit 64; }

# Tests that start a debugger, "x86/fxregs" among them.
names() {
  (cd "$tests" && grep -lE '^[[:space:]]*(debug|checkpoint_test)' ./*.run x86/*.run | sed 's|^\./||; s|\.run$||' | grep -v '^arm/')
}

# Programs that a script records or copies.
programs() {
  sed -nE 's/^[[:space:]]*(RR_COPY_ALL_FILES=1 )?(recorded_exe=|(record|save_exe|compare_test|checkpoint_test)[[:space:]]+)"?([A-Za-z0-9_$]+).*/\4/p' "$1" |
    sed 's/\$bitness//; s/\$TESTNAME_NO_BITNESS//; s/\$TESTNAME//; s/\$.*//' | grep . || true
}

build() {
  mkdir -p "$objects/bin" "$objects/lib/rr" "$objects/include"
  for kind in X64 X86 Generic; do
    python3 "$source/src/generate_syscalls.py" "$objects/include/SyscallEnumsForTests$kind.generated"
  done
  flags="-D__USE_LARGEFILE64 -pthread -msse2 -D__MMX__ -D__SSE__ -D__SSE2__ -std=gnu11 -DDEBUG -UNDEBUG -g3 -O0 -w -I$source/include -I$source/src/preload -I$objects/include"
  for name in $(names); do basename "$name"; programs "$tests/$name.run"; done | sort -u | while read -r program; do
    [ -e "$objects/bin/$program" ] && continue
    for file in "$tests/$program.c" "$tests/x86/$program.c"; do
      [ -f "$file" ] && gcc $flags -o "$objects/bin/$program" "$file" -lrt -ldl -Wl,--build-id
    done
  done
  static="-static -nostdlib -nodefaultlibs -O3 -g2 -w"
  gcc $static -DHAS_TICK0=1 -o "$objects/bin/tick0" "$tests/tick0.c"
  gcc $static -o "$objects/bin/tick0_less" "$tests/tick0.c"
  gcc $flags -shared -fPIC -o "$objects/lib/rr/libtest_lib.so" "$tests/test_lib.c"
  for program in constructor step_into_lib; do
    [ -f "$tests/$program.c" ] && gcc $flags -o "$objects/bin/$program" "$tests/$program.c" -lrt -L"$objects/lib/rr" -ltest_lib -Wl,-rpath,"$objects/lib/rr"
  done
  resources=$(dirname "$(dirname "$(command -v rr)")")
  for file in "$resources"/lib/rr/*; do ln -sf "$file" "$objects/lib/rr/"; done
  ln -sfn "$resources/share" "$objects/share"
  gcc -g -w -fno-stack-protector -static -nostartfiles -nodefaultlibs -o "$objects/bin/rr_exec_stub" "$source/src/exec_stub.c"
  cp "$here/rr-while-recording.sh" "$objects/bin/rr"
  cp "$here/python3-while-recording.sh" "$objects/bin/python3"
  printf '#!/bin/bash\nshift 2\nexec "$@"\n' > "$objects/bin/test-monitor"
  chmod +x "$objects"/bin/{rr,python3,test-monitor}
}

record() {
  out=$1
  shift
  export REAL_RR REAL_PYTHON3 TEST_OUTPUT
  REAL_RR=$(command -v rr) REAL_PYTHON3=$(command -v python3)
  scratch=$(mktemp -d)
  for name in ${*:-$(names)}; do
    TEST_OUTPUT=$out/$(basename "$name")
    [ -e "$TEST_OUTPUT/done" ] && continue
    for attempt in 1 2 3; do # rr --fatal-errors gives up for little
      rm -rf "$TEST_OUTPUT"
      mkdir -p "$TEST_OUTPUT"
      begun=$SECONDS
      (cd "$scratch" && TMPDIR=$scratch bash "$tests/$name.run" "$(basename "$name")" "" "$objects" 600) > "$TEST_OUTPUT/log" 2>&1
      echo "$name: $(ls "$TEST_OUTPUT" | grep -c '\.session$') sessions, $((SECONDS - begun)) s"
      [ -e "$TEST_OUTPUT/trace/version" ] && touch "$TEST_OUTPUT/done" && break
    done
    rm -rf "$scratch"/*
  done
}

case $action in
  build) build ;;
  record) record "${@:4}" ;;
  *) sed -n '2,7p' "$0" >&2; exit 64 ;;
esac
