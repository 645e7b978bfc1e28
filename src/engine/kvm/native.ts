/** The only file that loads the native addon; its whole contract is here. */
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { RevenantError } from '../base/errors.js';
import { nativeFolder } from '../base/native-folder.js';

/** One leased vCPU. Methods report kernel errors as negative numbers and throw only for misuse. */
export interface NativeHandle {
  /** The pool; detached (length 0) by close(). */
  readonly pool: ArrayBuffer;
  /** perf_event_open of a raw event of this guest's user mode, on this thread; 0 or -errno. */
  openCounter(config: number): number;
  /** What was counted since `armCounter`, or -errno. */
  readCounter(): number;
  /** Counts from zero; a run ends as interrupted from so many on, some late. 0: never. 0 or -errno. */
  armCounter(after: number): number;
  /** Performs the command of the control block; 0 or -errno. -EPIPE: the machine was lost. */
  execute(): number;
  /** Starts or continues a run; 1 = ended, 0 = still running after the budget, or -errno. */
  run(budgetMicros: number): number;
  /** Ends the run in progress soon. */
  kick(): void;
  close(): void;
}

export interface NativeProcess extends NativeHandle {
  /** It has namespaces of its own. */
  readonly hasNamespaces: boolean;
}

/** How a process gets its debug registers: by perf_event_open, or by ptrace where that is denied. */
export type DebugRegisterMeans = 'events' | 'tracing';

interface Native {
  /** The host's KVM with a new pool of zeros. Opens no /dev/kvm yet: the command `create` does. */
  openHost(poolBytes: number): NativeHandle;
  /**
   * A process that runs the program at the path `sandbox` and lives from address `base` on, with a new pool of zeros.
   * Without `debugRegisters` they are set in whichever way works. `namespaces`, default true: with some of its own, if the
   * kernel grants them. Throws an Error with `code` and `errno`.
   */
  openProcess(
    poolBytes: number,
    sandbox: string,
    base: number,
    debugRegisters?: DebugRegisterMeans,
    namespaces?: boolean,
  ): NativeProcess;
  /** The vCPU of the keeper at this abstract socket name; throws an Error with `code` and `errno`. */
  openMailbox(abstractName: string): NativeHandle;
  /** Fixed addresses and numbers under their names in native/kvm. */
  layout(): Record<string, number>;
}

const BUILD = 'Run: npm run build (an installed package: npm rebuild revenant)';
let loaded: Native | undefined;

function native(): Native {
  if (loaded) return loaded;
  const addonPath = path.join(nativeFolder(), 'revenant.node');
  if (!fs.existsSync(addonPath)) {
    throw new RevenantError('E_MACHINE_CANNOT', `The native addon ${addonPath} is missing.`, BUILD);
  }
  try {
    loaded = createRequire(import.meta.url)(addonPath) as Native;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new RevenantError('E_MACHINE_CANNOT', `The native addon does not load: ${reason}`, BUILD, {
      cause,
    });
  }
  return loaded;
}

/** See Native.openHost. */
export const openHost = (poolBytes: number): NativeHandle => native().openHost(poolBytes);
/** See Native.openProcess. The program is the one beside the addon. */
export const openProcess = (
  poolBytes: number,
  base: number,
  debugRegisters?: DebugRegisterMeans,
  namespaces?: boolean,
): NativeProcess =>
  native().openProcess(
    poolBytes,
    path.join(nativeFolder(), 'revenant-sandbox'),
    base,
    debugRegisters,
    namespaces,
  );
/** See Native.openMailbox. */
export const openMailbox = (abstractName: string): NativeHandle => native().openMailbox(abstractName);
/** See Native.layout. */
export const nativeLayout = (): Record<string, number> => native().layout();
