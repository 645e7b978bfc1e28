/** Files that gdb may read: those in the recording, and /proc of its processes. */
import { posix } from 'node:path';
import type { ByteSource } from '../../engine/mm/backing.js';
import type { DebugTarget } from '../../engine/target.js';
import { hex } from '../../engine/base/address.js';
import { programOf } from '../program.js';
import { isShared, Prot, type Vma } from '../../engine/mm/vma.js';
import { nameBytes } from '../../engine/base/names.js';

/** What files of processes are made from. */
export interface ProcessView {
  readonly target: DebugTarget;
}

/** A file as bytes with its name; never one that the recording did not name. */
export class RecordedFiles {
  /**
   * @param paths every path of the recorded system in a mapping
   * @param find the trace's copy of the file at a path, or null
   */
  constructor(
    private readonly paths: () => Iterable<string>,
    private readonly find: (path: string) => ByteSource | null,
  ) {}

  open(path: string, view: ProcessView): ByteSource | null {
    const process = /^\/proc\/(\d{1,9})\/(?:task\/\d+\/)?(maps|auxv|exe|cmdline)$/.exec(path);
    if (process) return processFile(view.target, Number(process[1]), process[2], path);
    const real = path.startsWith('/') ? resolveRecorded(path, this.paths()) : null;
    return real === null ? null : (mappedFile(view.target, real) ?? this.find(real));
  }

  /** The target of a symbolic link: /proc/PID/exe, /proc/PID/cwd. */
  readlink(path: string, view: ProcessView): string | null {
    const process = /^\/proc\/(\d{1,9})\/(exe|cwd)$/.exec(path);
    const pid = Number(process?.[1]);
    if (!process || !view.target.tasks().some((task) => task.pid === pid)) return null;
    return process[2] === 'exe' ? programOf(view.target, pid) : view.target.executable(pid).directory;
  }
}

/**
 * The recorded path of the file that `path` names, or null. Programs and libraries are opened
 * through links (/lib64, libz.so.1), but mappings were recorded under the targets' names, and the
 * links were not recorded: a file of the same name in another folder, or with a longer version
 * suffix, is taken instead.
 */
export function resolveRecorded(path: string, recorded: Iterable<string>): string | null {
  const wanted = posix.normalize(path);
  const name = posix.basename(wanted);
  let sameName: string | null = null;
  let versioned: string | null = null;
  for (const candidate of recorded) {
    if (candidate === wanted) return candidate;
    const other = posix.basename(candidate);
    if (other === name) sameName ??= candidate;
    else if (name.includes('.so') && other.startsWith(`${name}.`)) versioned ??= candidate;
  }
  return sameName ?? versioned;
}

/** A file that a process has mapped, by the source of its pages: exactly the one that it runs. */
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
  if (what === 'cmdline') {
    const words = target.executable(pid).arguments.map((word) => `${word}\0`);
    return inMemory(path, nameBytes(words.join('')));
  }
  if (what === 'exe') return mappedFile(target, programOf(target, pid));
  const lines = target.mappings(task.tid).map(mapsLine).join('');
  return inMemory(path, nameBytes(lines));
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
