/** siginfo_t is this long (SI_MAX_SIZE). */
export const SIGINFO_BYTES = 128;

export const Sig = {
  HUP: 1,
  INT: 2,
  QUIT: 3,
  ILL: 4,
  TRAP: 5,
  ABRT: 6,
  BUS: 7,
  FPE: 8,
  KILL: 9,
  USR1: 10,
  SEGV: 11,
  USR2: 12,
  PIPE: 13,
  ALRM: 14,
  TERM: 15,
  CHLD: 17,
  CONT: 18,
  STOP: 19,
  TSTP: 20,
  TTIN: 21,
  TTOU: 22,
  URG: 23,
  WINCH: 28,
} as const;

/** si_code (include/uapi/asm-generic/siginfo.h). */
export const Code = { user: 0, kernel: 0x80, queue: -1, timer: -2, tkill: -6 } as const;

export const HIGHEST_SIGNAL = 64;
const FIRST_REALTIME = 32;
/** Raised by an instruction: its handler is to see the registers of that. */
const SYNCHRONOUS: readonly number[] = [Sig.SEGV, Sig.BUS, Sig.ILL, Sig.TRAP, Sig.FPE, 31];

export interface Signal {
  readonly number: number;
  /** The kernel's siginfo_t. */
  readonly info: Uint8Array;
}

/** Signals that were sent and not delivered yet: standard ones once each, real-time ones in a queue. */
export class PendingSignals {
  private readonly queue: Signal[] = [];

  add(signal: Signal): void {
    if (signal.number < FIRST_REALTIME && this.queue.some(({ number }) => number === signal.number)) return;
    if (this.queue.length < 1024) this.queue.push(signal);
  }

  /** Bit n - 1 is signal n. */
  get mask(): bigint {
    return this.queue.reduce((mask, { number }) => mask | (1n << BigInt(number - 1)), 0n);
  }

  /** Takes the first one that `wanted` has: faults before others, lowest number first (next_signal). */
  take(wanted: bigint): Signal | null {
    let best = -1;
    const rank = (number: number): number =>
      SYNCHRONOUS.includes(number) ? number - HIGHEST_SIGNAL : number;
    this.queue.forEach(({ number }, index) => {
      if (((wanted >> BigInt(number - 1)) & 1n) === 0n) return;
      if (best < 0 || rank(number) < rank(this.queue[best].number)) best = index;
    });
    return best < 0 ? null : this.queue.splice(best, 1)[0];
  }

  discard(mask: bigint): void {
    while (this.take(mask));
  }
}

/** Sender's ids, as set by kill(2) and tgkill(2). */
export function userSignal(number: number, code: number, pid: number, uid: number): Signal {
  const { info, view } = blank(number, code);
  view.setInt32(16, pid, true);
  view.setUint32(20, uid, true);
  return { number, info };
}

/** A fault of the program's own; `address` is si_addr. */
export function faultSignal(number: number, code: number, address: bigint): Signal {
  const { info, view } = blank(number, code);
  view.setBigUint64(16, BigInt.asUintN(64, address), true);
  return { number, info };
}

/** SIGCHLD: what became of a child, `status` as si_status. */
export function childSignal(number: number, code: number, pid: number, uid: number, status: number): Signal {
  const { info, view } = blank(number, code);
  view.setInt32(16, pid, true);
  view.setUint32(20, uid, true);
  view.setInt32(24, status, true);
  return { number, info };
}

/** A POSIX timer went off. */
export function timerSignal(number: number, timer: number, value: bigint): Signal {
  const { info, view } = blank(number, Code.timer);
  view.setInt32(16, timer, true);
  view.setBigUint64(24, value, true);
  return { number, info };
}

/** As the sender gave it (rt_sigqueueinfo). */
export function queuedSignal(number: number, given: Uint8Array): Signal {
  const { info, view } = blank(number, 0);
  info.set(given.subarray(0, SIGINFO_BYTES));
  view.setInt32(0, number, true);
  return { number, info };
}

function blank(number: number, code: number): { info: Uint8Array; view: DataView } {
  const info = new Uint8Array(SIGINFO_BYTES);
  const view = new DataView(info.buffer);
  view.setInt32(0, number, true);
  view.setInt32(8, code, true);
  return { info, view };
}

/** Signals that are ignored by default. */
const IGNORED: readonly number[] = [Sig.CHLD, Sig.CONT, Sig.URG, Sig.WINCH];
const STOPS: readonly number[] = [Sig.STOP, Sig.TSTP, Sig.TTIN, Sig.TTOU];
const CORE: readonly number[] = [3, 4, 5, 6, 7, 8, 11, 24, 25, 31];

/** The default action (signal(7)). */
export function defaultAction(number: number): 'ignore' | 'stop' | 'core' | 'terminate' {
  if (IGNORED.includes(number)) return 'ignore';
  if (STOPS.includes(number)) return 'stop';
  return CORE.includes(number) ? 'core' : 'terminate';
}
