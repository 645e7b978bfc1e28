/** Starts keepers. */
import { constants } from 'node:buffer';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { RevenantError } from '../engine/base/errors.js';
import { requireProcesses } from '../engine/base/process-room.js';
import { fingerprint } from './fingerprint.js';
import type { Installation } from './installation.js';
import { findInstallation } from './installation.js';
import type { MachineStatus } from './keeper-client.js';
import { namePrefix } from './keeper-client.js';

/** With protection keys; see ARCHITECTURE.md on what QEMU's emulator lacks. */
export const DEFAULT_CPU = 'EPYC-Rome,+pku';
export const DEFAULT_POOL_MIB = 4096;
const MIB = 2 ** 20;
export const DEFAULT_IDLE_SECONDS = 120;

const BOOT_SECONDS = 120;
/** Of a failed machine's console, in the error message. */
const LOG_LINES = 12;

export interface EmulatedOptions {
  /** QEMU's -cpu, see machineCpu(). Default: DEFAULT_CPU. */
  cpu?: string;
  /** Size of the guest-physical pool; made a power of two. Default: DEFAULT_POOL_MIB. */
  memoryMiB?: number;
  /** A machine started now leaves after so long without use. Default: DEFAULT_IDLE_SECONDS. */
  idleSeconds?: number;
  /** Called when a machine has to be started, which takes seconds. */
  onStarting?: (text: string) => void;
}

/** A configuration of machines: those with the same base name are interchangeable. */
export interface Configuration {
  installation: Installation;
  cpu: string;
  poolMiB: number;
  idleSeconds: number;
  /** Socket names are this, `-` and an index. */
  baseName: string;
}

/** QEMU's model with what the machine's program needs of it: pages of 1 GiB. What programs see is the recording's processor. */
export const machineCpu = (model: string): string =>
  model.split(',').some((part) => /^[+-]?pdpe1gb\b/.test(part)) ? model : `${model},+pdpe1gb`;

/**
 * The `memoryMiB` for a limit of guest memory in bytes. A limit below the default is enforced by
 * the session: only a larger one requires another machine than the kept one.
 */
export const memoryForLimit = (bytes = 0): number => Math.max(DEFAULT_POOL_MIB, Math.ceil(bytes / MIB));

/**
 * A size as a power of two of MiB, at least 64. Throws E_USAGE for more than arrays of this Node can hold: 4 GiB before
 * Node 22.
 */
export function poolSize(memoryMiB: number): number {
  const size = Math.max(64, 2 ** Math.ceil(Math.log2(memoryMiB)));
  if (size * MIB <= constants.MAX_LENGTH) return size;
  throw new RevenantError(
    'E_USAGE',
    `Guest memory of ${Math.ceil(memoryMiB)} MiB is more than Node ${process.version} can hold in one array: ${constants.MAX_LENGTH / MIB} MiB.`,
    'A smaller --memory, or a newer Node.',
  );
}

/**
 * The configuration for `options` on this machine. Throws E_MACHINE_START when a part is missing, E_USAGE for a
 * processor name that could be taken for another option of QEMU.
 */
export function configure(options: EmulatedOptions): Configuration {
  const model = options.cpu ?? DEFAULT_CPU;
  if (!/^[A-Za-z0-9][\w.+=,-]*$/.test(model)) {
    throw new RevenantError(
      'E_USAGE',
      `'${model}' is not a processor model.`,
      `Such as: --cpu ${DEFAULT_CPU}`,
    );
  }
  const cpu = machineCpu(model);
  const installation = findInstallation();
  const { qemu, keeper, image } = installation;
  const poolMiB = poolSize(options.memoryMiB ?? DEFAULT_POOL_MIB);
  const idleSeconds = Math.max(1, Math.ceil(options.idleSeconds ?? DEFAULT_IDLE_SECONDS));
  const hash = fingerprint([qemu, keeper, image], cpu, String(poolMiB));
  return { installation, cpu, poolMiB, idleSeconds, baseName: `${namePrefix()}${hash}` };
}

/** A machine among `machines` that would serve these options, now or after its present client. */
export function runningLike(options: EmulatedOptions, machines: MachineStatus[]): MachineStatus | undefined {
  const { baseName } = configure(options);
  return machines.find(({ name, state }) => name.startsWith(`${baseName}-`) && state !== 'ending');
}

/** A starting machine was killed, perhaps by the kernel for lack of memory: trying another may help. */
const KILLED = /^the emulator was killed by|^the keeper ended without a word$/;
const MOST_KILLED = 4;

/** The keeper, and QEMU with its threads. */
const PROCESSES_OF_A_MACHINE = 6;
/** Exhausted resources, by the messages of QEMU, the keeper and the C library. */
const TOO_LITTLE: readonly [RegExp, string][] = [
  [
    /Resource temporarily unavailable/,
    'This user may not have more processes or threads: check `ulimit -u`, and the pids limit of the container.',
  ],
  [
    /Cannot allocate memory|cannot set up guest memory/,
    'There is not enough memory: check `ulimit -v`, limits of the container, and free memory.',
  ],
  [/Too many open files/, 'Raise the limit of open files: `ulimit -n 1024` is plenty.'],
];

/** The keeper's one line: ready, or why not. */
type Report = { ready: true; milliseconds: number } | { ready: false; reason: string; log: string };

function keeperArguments(configuration: Configuration, name: string): string[] {
  const { installation, cpu, poolMiB, idleSeconds } = configuration;
  const options = {
    name,
    qemu: installation.qemu,
    image: installation.image,
    cpu,
    'pool-mib': poolMiB,
    'idle-seconds': idleSeconds,
    'boot-seconds': BOOT_SECONDS,
  };
  return Object.entries(options).flatMap(([option, value]) => [`--${option}`, String(value)]);
}

async function runKeeper(file: string, args: string[]): Promise<Report> {
  const child = spawn(file, args, { detached: true, stdio: ['ignore', 'pipe', 'ignore'], cwd: '/' });
  child.unref();
  let text = '';
  child.stdout.on('data', (bytes: Buffer) => (text += bytes.toString('utf8')));
  const failed = once(child, 'error').then(([error]: unknown[]) => {
    throw error;
  });
  await Promise.race([once(child.stdout, 'close'), failed]);
  try {
    return JSON.parse(text) as Report;
  } catch {
    return { ready: false, reason: 'the keeper exited without output', log: text };
  }
}

/**
 * Starts a keeper and its machine under this name and waits until it serves.
 * Returns the boot time in milliseconds, or null if another process has taken the name in the meantime. Throws
 * E_MACHINE_START with the last lines of the machine's console; E_SYSTEM if a system limit was reached.
 */
export async function startKeeper(configuration: Configuration, name: string): Promise<number | null> {
  let report: Report;
  let tries = 0;
  requireProcesses(PROCESSES_OF_A_MACHINE, 'An emulated machine');
  do {
    report = await runKeeper(configuration.installation.keeper, keeperArguments(configuration, name));
  } while (!report.ready && KILLED.test(report.reason) && ++tries < MOST_KILLED);
  if (report.ready) return report.milliseconds;
  if (report.reason === 'name in use') return null;
  const log = report.log.trim().split('\n').slice(-LOG_LINES).join('\n');
  const message = `The emulated machine (${configuration.cpu}) did not start: ${report.reason}.`;
  const said = `${report.reason}\n${report.log}`;
  const short = TOO_LITTLE.find(([words]) => words.test(said));
  if (short) throw new RevenantError('E_SYSTEM', message + (log && `\n${log}`), short[1]);
  throw new RevenantError('E_MACHINE_START', message + (log && `\n${log}`), hintFor(report.log));
}

function hintFor(log: string): string | undefined {
  if (/pdpe1gb/.test(log)) return 'The model needs +pdpe1gb, or another model does.';
  if (/unable to find CPU model/.test(log)) return 'qemu-system-x86_64 -cpu help lists the models.';
  return undefined;
}
