import { gva, type Gva } from '../base/address.js';

/** What a process does about a signal: struct kernel_sigaction (include/linux/signal_types.h). */
export interface SignalAction {
  /** SIG_DFL is 0, SIG_IGN is 1. */
  readonly handler: Gva;
  /** SA_* bits, unsigned. */
  readonly flags: number;
  readonly restorer: Gva;
  /** Bit n - 1 is signal n. */
  readonly mask: bigint;
}

export const SIG_DFL = 0;
export const SIG_IGN = 1;
/** SA_* (include/uapi/asm-generic/signal-defs.h, arch/x86/include/uapi/asm/signal.h). */
export const SigAction = {
  noChildStop: 1,
  noChildWait: 2,
  siginfo: 4,
  restorer: 0x0400_0000,
  onStack: 0x0800_0000,
  restart: 0x1000_0000,
  noDefer: 0x4000_0000,
  resetHandler: 0x8000_0000,
} as const;

export const DEFAULT_ACTION: SignalAction = { handler: gva(0), flags: 0, restorer: gva(0), mask: 0n };

/** Size of struct kernel_sigaction in user memory. */
export const SIGACTION_BYTES = 32;

export function readAction(bytes: Uint8Array): SignalAction {
  const view = new DataView(bytes.buffer, bytes.byteOffset, SIGACTION_BYTES);
  return {
    handler: gva(Number(view.getBigUint64(0, true))),
    flags: view.getUint32(8, true),
    restorer: gva(Number(view.getBigUint64(16, true))),
    mask: view.getBigUint64(24, true),
  };
}

export function writeAction(action: SignalAction): Uint8Array {
  const bytes = new Uint8Array(SIGACTION_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(action.handler), true);
  view.setBigUint64(8, BigInt(action.flags), true);
  view.setBigUint64(16, BigInt(action.restorer), true);
  view.setBigUint64(24, action.mask, true);
  return bytes;
}

/** Signals that cannot be blocked, caught or ignored: SIGKILL, SIGSTOP. */
export const UNBLOCKABLE = (1n << 8n) | (1n << 18n);
export const signalBit = (signal: number): bigint => 1n << BigInt(signal - 1);

/** The dispositions of a thread group; signals that are not in it have the default one. */
export class SignalActions {
  private readonly actions: Map<number, SignalAction>;

  constructor(actions?: Iterable<readonly [number, SignalAction]>) {
    this.actions = new Map(actions);
  }

  [Symbol.iterator](): IterableIterator<[number, SignalAction]> {
    return this.actions[Symbol.iterator]();
  }

  of(signal: number): SignalAction {
    return this.actions.get(signal) ?? DEFAULT_ACTION;
  }

  set(signal: number, action: SignalAction): void {
    this.actions.set(signal, action);
  }

  clone(): SignalActions {
    return new SignalActions(this.actions);
  }

  /** exec: caught signals go back to the default, ignored ones stay ignored. */
  resetForExec(): void {
    for (const [signal, action] of this.actions) {
      if (action.handler === SIG_IGN) this.actions.set(signal, { ...DEFAULT_ACTION, handler: gva(1) });
      else this.actions.delete(signal);
    }
  }
}

/** sigaltstack(2); size 0: none. */
export interface AltStack {
  readonly pointer: Gva;
  readonly size: number;
  /** SS_AUTODISARM, or 0. */
  readonly flags: number;
}

export const NO_ALT_STACK: AltStack = { pointer: gva(0), size: 0, flags: 0 };
export const SS_DISABLE = 2;

/** stack_t: pointer, flags, size. */
export function readAltStack(bytes: Uint8Array): AltStack {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 24);
  const flags = view.getUint32(8, true);
  if (flags & SS_DISABLE) return NO_ALT_STACK;
  return {
    pointer: gva(Number(view.getBigUint64(0, true))),
    size: Number(view.getBigUint64(16, true)),
    flags: flags & ~1,
  };
}
