import type { DebugTarget } from '../engine/target.js';

/** Type of the auxiliary vector's entry with the address of the program's headers (elf.h). */
export const AT_PHDR = 3n;

/** The value of an entry of an auxiliary vector, or null. */
export function auxiliary(auxv: Uint8Array, type: bigint): bigint | null {
  const view = new DataView(auxv.buffer, auxv.byteOffset, auxv.byteLength);
  for (let at = 0; at + 16 <= auxv.length; at += 16) {
    if (view.getBigUint64(at, true) === type) return view.getBigUint64(at + 8, true);
  }
  return null;
}

/**
 * The file that a process runs, from its mappings: the executed name may have been a link, such as
 * /proc/self/exe or /bin/sh. The executed name if the mappings do not contain it.
 */
export function programOf(target: DebugTarget, pid: number): string {
  const { path, auxv } = target.executable(pid);
  const task = target.tasks().find((candidate) => candidate.pid === pid);
  const headers = auxiliary(auxv, AT_PHDR);
  if (!task || headers === null) return path;
  const vma = target
    .mappings(task.tid)
    .find(({ start, end }) => BigInt(start) <= headers && headers < BigInt(end));
  return vma?.file?.path ?? path;
}
