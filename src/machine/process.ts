/** The process machine: a locked-down process of its own whose address space is the recorded program's. */
import { RevenantError } from '../engine/base/errors.js';
import { openProcess as openNativeProcess, type DebugRegisterMeans } from '../engine/kvm/native.js';
import { nativeTransport, type VcpuTransport } from '../engine/kvm/transport.js';
import { USER_END, gva, type Gva } from '../engine/base/address.js';
import { USE_BLOCK, type TraceUse } from '../engine/trace/use.js';
import type { HostOptions } from './host.js';
import { DEFAULT_POOL_MIB, poolSize } from './launch.js';

export interface ProcessOptions extends HostOptions {
  /** Of the trace. Null: not known, and what a process cannot carry shows during the replay. */
  use?: TraceUse | null;
  /** Default: by whichever means the kernel grants. */
  debugRegisters?: DebugRegisterMeans;
  /** Namespaces of its own, if the kernel grants them. Default: true. */
  namespaces?: boolean;
}

/**
 * Where the process itself lives if the recorded program leaves that free: below what Linux gives to
 * position-independent programs, libraries and stacks, above static programs and what sanitizers reserve. A multiple of
 * USE_BLOCK.
 */
export const PROCESS_BASE = 0x2a00_0000_0000;

const BLOCKS = USER_END / USE_BLOCK;
const DEFAULT_BLOCK = PROCESS_BASE / USE_BLOCK;
/** Before the pool (native/process/area.h): its program, stacks and tables. */
const BLOCKS_BEFORE_POOL = 1;
/** Between a mapping and the process: the guard below it (native/process/filter.h), and room for stacks to grow. */
const GAP_BELOW = 2;
const GAP_ABOVE = 1;
/** Linux puts the stack and the vDSO of the sandbox, as it is started, somewhere from here on. */
const LAST_BLOCK = 0x7f00;
/** Where LLDB's allocations are (debugger/allocations.ts). */
const KEPT_FREE = 0x2000;

/** The blocks that a process takes. */
const blocksOf = (poolMiB: number): number => BLOCKS_BEFORE_POOL + Math.ceil((poolMiB * 2 ** 20) / USE_BLOCK);

/**
 * The address nearest to PROCESS_BASE, at or above it if possible, at which neither a process with such a pool nor the
 * gaps around it touch a mapping of the recording; null: there is none.
 */
export function processBase(use: TraceUse | null, poolMiB: number): number | null {
  const size = blocksOf(poolMiB);
  const fits = (at: number): boolean => {
    const [first, end] = [at - GAP_BELOW, at + size + GAP_ABOVE];
    if (first < 1 || end > LAST_BLOCK || (first <= KEPT_FREE && KEPT_FREE < end)) return false;
    // The filter tells the two calls that clear the rest of user space apart by their lengths.
    if (at === BLOCKS - 1 - (at + size)) return false;
    return !use || use.mapped.subarray(first, end).every((taken) => taken === 0);
  };
  for (let at = DEFAULT_BLOCK; at < LAST_BLOCK; at++) if (fits(at)) return at * USE_BLOCK;
  for (let at = DEFAULT_BLOCK; at > 0; at--) if (fits(at)) return at * USE_BLOCK;
  return null;
}

/** Whether a process at these addresses can replay a recording with this use. */
export const isClear = ({ start, end }: { start: Gva; end: Gva }, { mapped }: TraceUse): boolean =>
  mapped.subarray(start / USE_BLOCK, Math.ceil(end / USE_BLOCK)).every((taken) => taken === 0);

/** Throws E_MACHINE_CANNOT where the kernel refuses such a process, or where there is no place for it. */
export function openProcess(options: ProcessOptions = {}): VcpuTransport {
  const poolMiB = poolSize(options.memoryMiB ?? DEFAULT_POOL_MIB);
  const base = processBase(options.use ?? null, poolMiB);
  if (base === null) throw new RevenantError('E_MACHINE_CANNOT', noRoom(poolMiB), 'Use --machine emulated.');
  const end = base + blocksOf(poolMiB) * USE_BLOCK;
  const reserved = { start: gva(base - USE_BLOCK), end: gva(end) };
  try {
    const { debugRegisters, namespaces } = options;
    const handle = openNativeProcess(poolMiB * 1024 * 1024, base, debugRegisters, namespaces);
    const description = handle.hasNamespaces ? 'a process' : 'a process, without namespaces';
    return nativeTransport('process', description, handle, reserved);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const message = `The process machine cannot be used: ${reason}.`;
    throw new RevenantError('E_MACHINE_CANNOT', message, 'Use --machine emulated.', { cause: error });
  }
}

/** For a recording that leaves no place. */
export const noRoom = (poolMiB: number): string =>
  `The recording has mappings everywhere: there are no ${4 * (blocksOf(poolMiB) + GAP_BELOW + GAP_ABOVE)} GiB for the process.`;
