import type { Kernel } from '../kernel/kernel.js';
import type { DeviceName, DirectoryEntry, Node } from '../files/node.js';
import { Mode } from '../files/node.js';
import { deviceStat } from '../files/open-file.js';
import { MachineFiles } from './machine-files.js';
import { ProcFiles, folder, generated } from './proc.js';
import type { WorldFiles } from '../files/world-files.js';

const DEVICES: ReadonlyMap<string, readonly [DeviceName, number]> = new Map([
  ['null', ['null', 0x103]],
  ['zero', ['zero', 0x105]],
  ['full', ['full', 0x107]],
  ['random', ['random', 0x108]],
  ['urandom', ['random', 0x109]],
  ['tty', ['tty', 0x500]],
]);
const LINKS: ReadonlyMap<string, string> = new Map([
  ['fd', '/proc/self/fd'],
  ['stdin', '/proc/self/fd/0'],
  ['stdout', '/proc/self/fd/1'],
  ['stderr', '/proc/self/fd/2'],
]);

/** The recording's contents of these are outdated. */
const CHANGING: readonly string[] = [
  '/proc/uptime',
  '/proc/loadavg',
  '/proc/stat',
  '/proc/sys/kernel/random/uuid',
];

/** All but those of processes. */
const OF_MACHINE = /^\/(sys\/|proc\/(?!\d|self|thread-self))/;

const folderStat = {
  mode: Mode.directory | 0o755,
  size: 0,
  inode: 2,
  links: 2,
  uid: 0,
  gid: 0,
  mtime: [0, 0] as const,
  device: 5,
};

/** /dev and /proc: the emulated part, nothing of the host's. */
export class SpecialFiles {
  private readonly proc: ProcFiles;
  private readonly machine: MachineFiles;

  /** @param world contents that the recording read */
  constructor(
    private readonly kernel: Kernel,
    private readonly world: WorldFiles,
  ) {
    this.proc = new ProcFiles(kernel);
    this.machine = new MachineFiles(kernel);
  }

  install(): void {
    const { files } = this.kernel;
    files.special = (path, pid) =>
      this.device(path) ?? this.ofMachine(path) ?? this.proc.find(path, pid) ?? this.folderOf(path);
    files.specialList = (path, pid) => this.devices(path) ?? this.listOf(path, pid);
  }

  private ofMachine(path: string): Node | null {
    if (!OF_MACHINE.test(path) || this.world.isGone(path)) return null;
    const recorded = CHANGING.includes(path) ? null : this.world.read(path);
    if (recorded) return generated(() => recorded);
    const make = this.machine.find(path);
    return make && generated(make);
  }

  private folderOf(path: string): Node | null {
    return /^\/(proc|sys)(\/|$)/.test(path) && this.machine.isFolder(path) ? folder : null;
  }

  private listOf(path: string, pid: number): DirectoryEntry[] | null {
    const list = this.proc.list(path, pid);
    if (!list && !this.folderOf(path)) return null;
    return [...(list ?? []), ...this.machine.list(path)];
  }

  private device(path: string): Node | null {
    if (path === '/dev' || path === '/dev/shm') return { kind: 'directory', stat: folderStat };
    if (!path.startsWith('/dev/')) return null;
    const name = path.slice('/dev/'.length);
    const known = DEVICES.get(name);
    if (known) return { kind: 'device', name: known[0], stat: deviceStat(known[1], 0o666) };
    const target = LINKS.get(name);
    const stat = { ...folderStat, mode: Mode.link | 0o777 };
    if (target !== undefined) return { kind: 'link', target, stat };
    if (!name.startsWith('shm/'))
      this.kernel.warnOnce(`device ${path}`, { path }, `${path} is not there for diversions`);
    return null;
  }

  private devices(path: string): DirectoryEntry[] | null {
    if (path !== '/dev') return null;
    return [...DEVICES.keys(), ...LINKS.keys(), 'shm'].map((name) => {
      const mode = DEVICES.has(name) ? Mode.character : LINKS.has(name) ? Mode.link : Mode.directory;
      return { name, inode: 3, mode };
    });
  }
}
