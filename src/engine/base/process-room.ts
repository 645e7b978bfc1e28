/**
 * How many processes and threads can still be created: Node and QEMU abort or hang if they cannot create their threads.
 */
import fs from 'node:fs';
import { RevenantError } from './errors.js';

/** Counting processes takes milliseconds: not where the limit is far away. */
const LIMIT_THAT_IS_FAR = 2048;
/** Capability bits: processes with one of them have no limit (setrlimit(2)). */
const CAP_SYS_ADMIN = 21n;
const CAP_SYS_RESOURCE = 24n;

function readText(file: string): string {
  try {
    return fs.readFileSync(file, 'latin1');
  } catch {
    return '';
  }
}

/** `fs` as far as it is read here. */
export interface ProcFiles {
  /** '' where it cannot be read. */
  read(file: string): string;
  list(folder: string): string[];
}

const system: ProcFiles = {
  read: readText,
  list: (folder) => {
    try {
      return fs.readdirSync(folder);
    } catch {
      return [];
    }
  },
};

/** Of /proc/PID/status. */
const field = (status: string, name: string): string =>
  new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(status)?.[1] ?? '';

/** Threads that count against the limit of this user. */
function threadsOf(uid: string, { read, list }: ProcFiles): number {
  let count = 0;
  for (const name of list('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const status = read(`/proc/${name}/status`);
    if (field(status, 'Uid') === uid) count += Number(field(status, 'Threads'));
  }
  return count;
}

function roomOfUser(files: ProcFiles): number {
  const limit = Number(/^Max processes\s+(\d+)/m.exec(files.read('/proc/self/limits'))?.[1] ?? Infinity);
  if (limit > LIMIT_THAT_IS_FAR) return Infinity;
  const status = files.read('/proc/self/status');
  const uid = field(status, 'Uid');
  const capabilities = BigInt(`0x${field(status, 'CapEff') || '0'}`);
  const isFree = ((capabilities >> CAP_SYS_ADMIN) | (capabilities >> CAP_SYS_RESOURCE)) & 1n;
  if (uid === '0' || isFree) return Infinity;
  return Math.max(0, limit - threadsOf(uid, files));
}

/** Limits of the process's control group and its visible ancestors (cgroups(7)). */
function roomOfGroups({ read }: ProcFiles): number {
  let room = Infinity;
  const groups = read('/proc/self/cgroup');
  const own = /^0::(\/.*)$/m.exec(groups)?.[1] ?? '/';
  const pids = /^\d+:(?:\w+,)*pids(?:,\w+)*:(\/.*)$/m.exec(groups)?.[1] ?? '/';
  for (const [root, below] of [
    ['/sys/fs/cgroup', own],
    ['/sys/fs/cgroup/pids', pids],
  ]) {
    for (let folder = below; ; folder = folder.slice(0, folder.lastIndexOf('/'))) {
      const most = /^\d+/.exec(read(`${root}${folder}/pids.max`))?.[0];
      if (most !== undefined)
        room = Math.min(room, Number(most) - Number(read(`${root}${folder}/pids.current`)));
      if (folder === '' || folder === '/') break;
    }
  }
  return Math.max(0, room);
}

/** Processes and threads that this user and this container may still have; Infinity where no limit is near. */
export const processRoom = (files: ProcFiles = system): number =>
  Math.min(roomOfUser(files), roomOfGroups(files));

/**
 * Throws RevenantError E_SYSTEM if the limits do not allow this many processes and threads.
 * @param what the program that needs them
 */
export function requireProcesses(count: number, what: string): void {
  const room = processRoom();
  if (room >= count) return;
  throw new RevenantError(
    'E_SYSTEM',
    `${what} needs ${count} processes and threads, of which this user may have no more than ${room}.`,
    'Raise the limit (`ulimit -u`, pids of the container), or end other programs.',
  );
}
