/** Files as gdb may read them: those that the recording holds, and what /proc says of its processes. */
import type { ByteSource } from '../../engine/mm/backing.js';
import type { DebugTarget } from '../../engine/debug/target.js';
import { hex } from '../../engine/base/address.js';
import { isShared, Prot, type Vma } from '../../engine/mm/vma.js';

/** What files of processes are made from. */
export interface ProcessView {
  readonly target: DebugTarget;
}

/** A file as bytes with its name; never one that the recording did not name. */
export class RecordedFiles {
  /**
   * @param find the trace's copy of a file of the recorded system by its path there, or null. Paths come from the
   *   debugger and may be anything.
   */
  constructor(private readonly find: (path: string) => ByteSource | null) {}

  open(path: string, view: ProcessView): ByteSource | null {
    const process = /^\/proc\/(\d{1,9})\/(?:task\/\d+\/)?(maps|auxv|exe)$/.exec(path);
    if (process) return processFile(view.target, Number(process[1]), process[2], path);
    return mappedFile(view.target, path) ?? this.find(path);
  }

  /** Where a symbolic link leads: /proc/PID/exe. */
  readlink(path: string, view: ProcessView): string | null {
    const process = /^\/proc\/(\d{1,9})\/exe$/.exec(path);
    const pid = Number(process?.[1]);
    if (!process || !view.target.tasks().some((task) => task.pid === pid)) return null;
    return view.target.executable(pid).path;
  }
}

/** A file that a process has mapped, from where its pages come: the very one that it runs. */
function mappedFile(target: DebugTarget, path: string): ByteSource | null {
  for (const { tid } of target.tasks()) {
    for (const { file, backing } of target.mappings(tid)) {
      if (file?.path === path && backing?.kind === 'file') return backing.source;
    }
  }
  return null;
}

function processFile(target: DebugTarget, pid: number, what: string, path: string): ByteSource | null {
  const task = target.tasks().find((candidate) => candidate.pid === pid);
  if (!task) return null;
  if (what === 'auxv') return inMemory(path, target.executable(pid).auxv);
  if (what === 'exe') return mappedFile(target, target.executable(pid).path);
  const lines = target.mappings(task.tid).map(mapsLine).join('');
  return inMemory(path, Buffer.from(lines));
}

/** A line of /proc/PID/maps (proc(5)). */
function mapsLine(vma: Vma): string {
  const bit = (mask: number, letter: string): string => (vma.prot & mask ? letter : '-');
  const rights =
    bit(Prot.read, 'r') + bit(Prot.write, 'w') + bit(Prot.exec, 'x') + (isShared(vma) ? 's' : 'p');
  const address = (value: number): string => hex(value).slice(2);
  const offset = address(vma.file?.offset ?? 0).padStart(8, '0');
  const inode = vma.file?.inode ?? 0n;
  const head = `${address(vma.start)}-${address(vma.end)} ${rights} ${offset} 00:00 ${inode} `;
  return `${vma.name ? `${head.padEnd(73)}${vma.name}` : head.trimEnd()}\n`;
}

export function inMemory(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    size: bytes.length,
    read: (offset, into) => {
      const part = bytes.subarray(offset, offset + into.length);
      into.set(part);
      return part.length;
    },
  };
}
