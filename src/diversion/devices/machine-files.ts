/**
 * Files of /proc and /sys about the machine. The recording's own, if it read them; else generated
 * from what is known about it, never from this machine's, which vary.
 */
import type { Kernel } from '../kernel/kernel.js';
import { cpuInfo } from './cpu-info.js';
import type { DirectoryEntry } from '../files/node.js';
import { Mode } from '../files/node.js';

const CLOCK_BOOTTIME = 7;
const CPUS = '/sys/devices/system/cpu';
const HUGE_PAGES = '/sys/kernel/mm/transparent_hugepage';

/** What does not depend on anything: the defaults of Linux. */
const FIXED: ReadonlyMap<string, string> = new Map([
  ['/proc/filesystems', 'nodev\ttmpfs\nnodev\tproc\nnodev\tsysfs\n\text4\n'],
  ['/proc/sys/kernel/ostype', 'Linux\n'],
  ['/proc/sys/kernel/pid_max', '4194304\n'],
  ['/proc/sys/kernel/threads-max', '65536\n'],
  ['/proc/sys/kernel/ngroups_max', '65536\n'],
  ['/proc/sys/kernel/cap_last_cap', '40\n'],
  ['/proc/sys/kernel/random/entropy_avail', '256\n'],
  ['/proc/sys/kernel/random/poolsize', '256\n'],
  ['/proc/sys/vm/overcommit_memory', '0\n'],
  ['/proc/sys/vm/max_map_count', '65530\n'],
  ['/proc/sys/fs/file-max', '9223372036854775807\n'],
  ['/proc/sys/fs/nr_open', '1048576\n'],
  ['/proc/sys/fs/pipe-max-size', '1048576\n'],
  ['/proc/sys/net/core/somaxconn', '4096\n'],
  [`${HUGE_PAGES}/enabled`, 'always [madvise] never\n'],
  [`${HUGE_PAGES}/defrag`, 'always defer defer+madvise [madvise] never\n'],
  [`${HUGE_PAGES}/shmem_enabled`, 'always within_size advise [never] deny force\n'],
  [`${HUGE_PAGES}/hpage_pmd_size`, '2097152\n'],
  [`${HUGE_PAGES}/use_zero_page`, '1\n'],
  ['/sys/devices/system/node/online', '0\n'],
  ['/sys/devices/system/node/possible', '0\n'],
  ['/sys/devices/system/node/has_memory', '0\n'],
]);

const uuid = (bytes: Uint8Array): string => {
  const digits = Buffer.from(bytes).toString('hex');
  return [0, 8, 12, 16, 20].map((at, index) => digits.slice(at, [8, 12, 16, 20, 32][index])).join('-');
};

/** The version 4 of random UUIDs. */
function randomUuid(fill: (into: Uint8Array) => void): string {
  const bytes = new Uint8Array(16);
  fill(bytes);
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  return uuid(bytes);
}

export class MachineFiles {
  private readonly made: ReadonlyMap<string, () => string>;

  constructor(private readonly kernel: Kernel) {
    const { facts } = kernel;
    const cpus = facts.cpu === 0 ? '0' : `0-${facts.cpu}`;
    this.made = new Map<string, () => string>([
      ...[...FIXED].map(([path, content]) => [path, () => content] as const),
      ['/proc/uptime', () => `${this.seconds} ${this.seconds}\n`],
      ['/proc/loadavg', () => this.load()],
      ['/proc/meminfo', () => this.memory()],
      ['/proc/stat', () => this.statistics()],
      ['/proc/cpuinfo', () => cpuInfo(kernel.core.machine.config.cpuid, facts.cpu)],
      ['/proc/version', () => `Linux version ${facts.release} #1 SMP\n`],
      ['/proc/sys/kernel/osrelease', () => `${facts.release}\n`],
      ['/proc/sys/kernel/version', () => '#1 SMP\n'],
      ['/proc/sys/kernel/hostname', () => `${facts.nodeName}\n`],
      ['/proc/sys/kernel/random/boot_id', () => `${uuid(facts.boot)}\n`],
      ['/proc/sys/kernel/random/uuid', () => `${randomUuid(kernel.random)}\n`],
      [`${CPUS}/online`, () => `${cpus}\n`],
      [`${CPUS}/possible`, () => `${cpus}\n`],
      [`${CPUS}/present`, () => `${cpus}\n`],
      [`/sys/devices/system/node/node0/cpulist`, () => `${cpus}\n`],
    ]);
  }

  /** The generator of the file's content; null: not one of these files. */
  find(path: string): (() => string) | null {
    return this.made.get(path) ?? null;
  }

  isFolder(path: string): boolean {
    return path === '/sys' || [...this.made.keys()].some((name) => name.startsWith(`${path}/`));
  }

  /** Files and folders in a folder. */
  list(path: string): DirectoryEntry[] {
    const entries = new Map<string, DirectoryEntry>();
    for (const name of this.made.keys()) {
      if (!name.startsWith(`${path}/`)) continue;
      const [first, ...rest] = name.slice(path.length + 1).split('/');
      entries.set(first, { name: first, inode: 1, mode: rest.length > 0 ? Mode.directory : Mode.regular });
    }
    return [...entries.values()];
  }

  private get seconds(): string {
    return (Number(this.kernel.clock.now(CLOCK_BOOTTIME) / 10_000_000n) / 100).toFixed(2);
  }

  private load(): string {
    const { processes, threads } = this.kernel;
    return `0.00 0.00 0.00 1/${threads.size} ${Math.max(...processes.keys())}\n`;
  }

  private memory(): string {
    const kilobytes = this.kernel.policy.limits.memoryBytes / 1024;
    const amounts: Readonly<Record<string, number>> = {
      MemTotal: kilobytes,
      MemFree: kilobytes,
      MemAvailable: kilobytes,
      Buffers: 0,
      Cached: 0,
      SwapTotal: 0,
      SwapFree: 0,
    };
    return Object.entries(amounts)
      .map(([name, amount]) => `${`${name}:`.padEnd(16)}${String(amount).padStart(8)} kB\n`)
      .join('');
  }

  /** Processor times in hundredths of a second: all of them the diversion's. */
  private statistics(): string {
    const { clock, processes, threads, facts } = this.kernel;
    const used = clock.elapsed / 10_000_000n;
    const wall = BigInt(clock.wall()[0]);
    const booted = wall - clock.now(CLOCK_BOOTTIME) / 1_000_000_000n;
    const times = `${used} 0 0 0 0 0 0 0 0 0`;
    return [
      `cpu  ${times}`,
      `cpu${facts.cpu} ${times}`,
      'intr 0',
      'ctxt 0',
      `btime ${booted}`,
      `processes ${Math.max(...processes.keys())}`,
      `procs_running ${threads.size}`,
      'procs_blocked 0',
      '',
    ].join('\n');
  }
}
