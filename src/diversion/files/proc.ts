import { formatMaps } from './proc-maps.js';
import type { Kernel } from '../kernel.js';
import type { Process } from '../process.js';
import { readEnvironment } from '../../engine/task/initial-stack.js';
import { Mode, type DirectoryEntry, type FileContent, type FileStat, type Node } from './node.js';
import { nameBytes } from '../../engine/base/names.js';

const CLOCK_BOOTTIME = 7;

const stat = (mode: number, inode: number): FileStat => ({
  mode,
  size: 0,
  inode,
  links: 1,
  uid: 0,
  gid: 0,
  mtime: [0, 0],
  device: 0x15,
});

/** Generated when it is first read. */
class GeneratedFile implements FileContent {
  private bytes: Uint8Array | null = null;

  constructor(private readonly make: () => string) {}

  stat(): FileStat {
    return stat(Mode.regular | 0o444, 1);
  }

  read(offset: number, into: Uint8Array): number {
    this.bytes ??= nameBytes(this.make());
    const piece = this.bytes.subarray(offset, offset + into.length);
    into.set(piece);
    return piece.length;
  }
}

const file = (make: () => string): Node => ({ kind: 'file', content: new GeneratedFile(make) });
const folder: Node = { kind: 'directory', stat: stat(Mode.directory | 0o555, 1) };
const link = (target: string): Node => ({ kind: 'link', target, stat: stat(Mode.link | 0o777, 1) });

function environment(process: Process): string {
  const [{ task }] = process.threads;
  const start = process.program?.initialStack;
  if (start === undefined) return '';
  return [...readEnvironment(task.space, start)].map(([name, value]) => `${name}=${value}\0`).join('');
}

const NAMES = ['cmdline', 'comm', 'cwd', 'environ', 'exe', 'fd', 'maps', 'stat', 'statm', 'status', 'task'];

/** /proc of the diversion's own processes. */
export class ProcFiles {
  constructor(private readonly kernel: Kernel) {}

  find(path: string, pid: number): Node | null {
    if (path === '/proc') return folder;
    if (path === '/proc/self') return link(`/proc/${pid}`);
    if (path === '/proc/thread-self') return link(`/proc/${pid}/task/${pid}`);
    const facts = this.facts(path);
    if (facts) return file(facts);
    const match = /^\/proc\/(\d+)(?:\/task\/(\d+))?(?:\/(\w+)(?:\/(\d+))?)?$/.exec(path);
    if (!match) return null;
    const process = this.kernel.processes.get(Number(match[1]));
    if (!process || process.threads.size === 0) return null;
    if (match[3] === undefined) return folder;
    if (match[4] !== undefined) return match[3] === 'fd' ? this.descriptor(process, Number(match[4])) : null;
    return this.entry(process, match[3]);
  }

  /** Of the machine: what changes all the time is the diversion's. */
  private facts(path: string): (() => string) | null {
    const { clock, policy, processes } = this.kernel;
    const seconds = (nanos: bigint): string => (Number(nanos / 10_000_000n) / 100).toFixed(2);
    const kilobytes = policy.limits.memoryBytes / 1024;
    switch (path) {
      case '/proc/uptime':
        return () => `${seconds(clock.now(CLOCK_BOOTTIME))} 0.00\n`;
      case '/proc/loadavg':
        return () => `0.00 0.00 0.00 1/${processes.size} ${Math.max(...processes.keys())}\n`;
      case '/proc/meminfo':
        return () =>
          ['MemTotal', 'MemFree', 'MemAvailable']
            .map((name) => `${`${name}:`.padEnd(16)}${kilobytes} kB\n`)
            .join('');
      default:
        return null;
    }
  }

  private descriptor(process: Process, fd: number): Node | null {
    if (!process.descriptors.find(fd)) return null;
    return { kind: 'descriptor', fd, stat: stat(Mode.link | 0o700, 1) };
  }

  private entry(process: Process, name: string): Node | null {
    const [thread] = process.threads;
    const { task } = thread;
    switch (name) {
      case 'exe':
        return link(process.program?.path ?? '/');
      case 'cwd':
        return link(process.place.directory);
      case 'fd':
      case 'task':
        return folder;
      case 'maps':
        return file(() => formatMaps([...task.space.vmas]));
      case 'comm':
        return file(() => `${task.name}\n`);
      case 'cmdline':
        return file(() => (process.program?.arguments ?? []).map((text) => `${text}\0`).join(''));
      case 'environ':
        return file(() => environment(process));
      case 'stat':
        return file(() => this.statLine(process));
      case 'statm':
        return file(() => '1 1 1 1 0 1 0\n');
      case 'status':
        return file(() => this.status(process));
      default:
        return null;
    }
  }

  private statLine(process: Process): string {
    const [{ task }] = process.threads;
    const fields = [process.parent?.pid ?? 1, process.group, process.session, 0, -1];
    return `${process.pid} (${task.name}) R ${fields.join(' ')}${' 0'.repeat(11)} ${process.threads.size}${' 0'.repeat(32)}\n`;
  }

  private status(process: Process): string {
    const [{ task }] = process.threads;
    const { uid, euid, gid, egid } = process.credentials;
    return [
      `Name:\t${task.name}`,
      'State:\tR (running)',
      `Tgid:\t${process.pid}`,
      `Pid:\t${process.pid}`,
      `PPid:\t${process.parent?.pid ?? 1}`,
      'TracerPid:\t0',
      `Uid:\t${uid}\t${euid}\t${euid}\t${euid}`,
      `Gid:\t${gid}\t${egid}\t${egid}\t${egid}`,
      `Threads:\t${process.threads.size}`,
      '',
    ].join('\n');
  }

  list(path: string, pid: number): DirectoryEntry[] | null {
    const directory = (names: string[]): DirectoryEntry[] =>
      names.map((name) => ({ name, inode: 1, mode: Mode.regular }));
    if (path === '/proc') return directory(['self', ...[...this.kernel.processes.keys()].map(String)]);
    const node = this.find(path, pid);
    if (node?.kind !== 'directory') return null;
    const process = this.kernel.processes.get(Number(path.split('/')[2]));
    if (!process) return null;
    if (path.endsWith('/fd')) return directory([...process.descriptors].map(([fd]) => String(fd)));
    if (path.endsWith('/task')) return directory([...process.threads].map(({ tid }) => String(tid)));
    return directory(NAMES);
  }
}
