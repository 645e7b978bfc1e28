#!/bin/bash
# Replaces python3 while rr's tests record: keeps the recording and the command that would have been started.
case ${1:-} in
  */clone_interruption_finder.py | -*) exec "$REAL_PYTHON3" "$@" ;;
esac
[ "${2:-}" = --lldb ] && exit 0
if [ ! -e "$TEST_OUTPUT/trace" ]; then
  "$REAL_RR" pack "$_RR_TRACE_DIR/latest-trace" > /dev/null 2>&1
  cp -rL "$_RR_TRACE_DIR/latest-trace" "$TEST_OUTPUT/trace.part" && mv "$TEST_OUTPUT/trace.part" "$TEST_OUTPUT/trace"
fi
number=0
while [ -e "$TEST_OUTPUT/$number.session" ]; do number=$((number + 1)); done
[ -f /proc/self/fd/0 ] && cat > "$TEST_OUTPUT/$number.input"
for variable in EVENTS SCHED_EVENTS; do # which goto_event and seekticks_threads read
  [ -n "${!variable:-}" ] && printf '%s=%s\0' "$variable" "${!variable}" >> "$TEST_OUTPUT/$number.environment"
done
pwd > "$TEST_OUTPUT/folder"
cut -d ' ' -f 1 /proc/uptime > "$TEST_OUTPUT/uptime"
printf '%s\n' "$@" > "$TEST_OUTPUT/$number.session"
cp "$_RR_TRACE_DIR"/record.{out,err} "$TEST_OUTPUT/" 2> /dev/null || true
