import { formatMaps } from './proc-maps.js';
import type { Kernel } from '../kernel/kernel.js';
import type { Process } from '../kernel/process.js';
import { readEnvironment } from '../../engine/task/initial-stack.js';
import { Mode, type DirectoryEntry, type FileContent, type FileStat, type Node } from '../files/node.js';
import { nameBytes } from '../../engine/base/names.js';

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

const bytesOf = (content: string | Uint8Array): Uint8Array =>
  typeof content === 'string' ? nameBytes(content) : content;

/** Generated when it is first read. */
class GeneratedFile implements FileContent {
  private bytes: Uint8Array | null = null;

  constructor(private readonly make: () => string | Uint8Array) {}

  stat(): FileStat {
    return stat(Mode.regular | 0o444, 1);
  }

  read(offset: number, into: Uint8Array): number {
    this.bytes ??= bytesOf(this.make());
    const piece = this.bytes.subarray(offset, offset + into.length);
    into.set(piece);
    return piece.length;
  }
}

/** A file whose content is generated when it is first read. */
export const generated = (make: () => string | Uint8Array): Node => ({
  kind: 'file',
  content: new GeneratedFile(make),
});
export const folder: Node = { kind: 'directory', stat: stat(Mode.directory | 0o555, 1) };
const link = (target: string): Node => ({ kind: 'link', target, stat: stat(Mode.link | 0o777, 1) });

function environment(process: Process): string {
  const [{ task }] = process.threads;
  const start = process.program?.initialStack;
  if (start === undefined) return '';
  return [...readEnvironment(task.space, start)].map(([name, value]) => `${name}=${value}\0`).join('');
}

const NAMES = [
  ...['auxv', 'cgroup', 'cmdline', 'comm', 'cwd', 'environ', 'exe', 'fd', 'limits', 'maps', 'mounts'],
  ...['oom_score_adj', 'root', 'stat', 'statm', 'status', 'task'],
];
const LIMITS = [
  'Limit                     Soft Limit           Hard Limit           Units     ',
  'Max stack size            8388608              unlimited            bytes     ',
  'Max open files            1024                 1024                 files     ',
  '',
].join('\n');

/** /proc of the diversion's own processes. */
export class ProcFiles {
  constructor(private readonly kernel: Kernel) {}

  find(path: string, pid: number): Node | null {
    if (path === '/proc') return folder;
    if (path === '/proc/self') return link(`/proc/${pid}`);
    if (path === '/proc/thread-self') return link(`/proc/${pid}/task/${pid}`);
    const match = /^\/proc\/(\d+)(?:\/task\/(\d+))?(?:\/(\w+)(?:\/(\d+))?)?$/.exec(path);
    if (!match) return null;
    const process = this.kernel.processes.get(Number(match[1]));
    if (!process || process.threads.size === 0) return null;
    if (match[3] === undefined) return folder;
    if (match[4] !== undefined) return match[3] === 'fd' ? this.descriptor(process, Number(match[4])) : null;
    return this.entry(process, match[3]);
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
        return generated(() => formatMaps([...task.space.vmas]));
      case 'comm':
        return generated(() => `${task.name}\n`);
      case 'cmdline':
        return generated(() => (process.program?.arguments ?? []).map((text) => `${text}\0`).join(''));
      case 'environ':
        return generated(() => environment(process));
      case 'stat':
        return generated(() => this.statLine(process));
      case 'auxv':
        return generated(() => process.program?.auxv ?? new Uint8Array(0));
      case 'cgroup':
        return generated(() => '0::/\n');
      case 'limits':
        return generated(() => LIMITS);
      case 'mounts':
        return generated(() => 'tmpfs / tmpfs rw 0 0\nproc /proc proc rw 0 0\n');
      case 'oom_score_adj':
        return generated(() => '0\n');
      case 'root':
        return link('/');
      case 'statm':
        return generated(() => '1 1 1 1 0 1 0\n');
      case 'status':
        return generated(() => this.status(process));
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
