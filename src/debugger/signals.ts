/** gdb's own numbers of signals (include/gdb/signals.def), which the protocol speaks, and Linux's. */

/** gdb's number by Linux's, 1 to 31. */
// prettier-ignore
const GDB_OF_LINUX: readonly number[] = [
  0, 1, 2, 3, 4, 5, 6, 10, 8, 9, 30, 11, 31, 13, 14, 15, 143, 20, 19, 17, 18, 21, 22, 16, 24, 25, 26, 27, 28, 23,
  32, 12,
];
const UNKNOWN = 143;
/** GDB_SIGNAL_REALTIME_32, _33 and _64 are not contiguous. */
const REALTIME_32 = 77;
const REALTIME_33 = 45;
const REALTIME_64 = 78;

export const GdbSignal = { none: 0, INT: 2, TRAP: 5, KILL: 9 } as const;

export function gdbSignal(linux: number): number {
  if (linux < GDB_OF_LINUX.length) return GDB_OF_LINUX[linux] ?? UNKNOWN;
  if (linux === 32) return REALTIME_32;
  if (linux === 64) return REALTIME_64;
  return linux < 64 ? REALTIME_33 + linux - 33 : UNKNOWN;
}

/** Linux's number of a signal that gdb names, or 0 where Linux has no such signal. */
export function linuxSignal(gdb: number): number {
  if (gdb === REALTIME_32) return 32;
  if (gdb === REALTIME_64) return 64;
  if (gdb >= REALTIME_33 && gdb <= REALTIME_33 + 30) return gdb - REALTIME_33 + 33;
  return gdb === UNKNOWN ? 0 : Math.max(0, GDB_OF_LINUX.indexOf(gdb));
}
