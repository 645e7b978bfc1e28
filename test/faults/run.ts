/** Runs one command with one fault, and reports problems of its end. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { setTimeout as pause } from 'node:timers/promises';
import { patientClock } from '../../scripts/patience.mjs';
import { root, type Tried } from './commands.js';
import type { Fault } from './faults.js';

const LOOK_MS = 100;
/** Fair seconds after which a command hangs. */
const MOST_SECONDS = 240;
/** Fair seconds in which processes without a parent end; one that is being loaded sees that first when it is. */
const MOST_FAREWELL_SECONDS = 10;
const MOST_MESSAGE = 110;
/** Processes that are kept for the next command, or are ours. */
const KEPT = /revenant-keeper|qemu-system|redis-server|vite-node|esbuild|faults/;

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly hangs: boolean;
}

export interface Cell {
  readonly fault: string;
  readonly command: string;
  readonly ended: Ended;
  /** Problems; empty if there are none. */
  readonly problems: readonly string[];
}

/** Starts a command as a separate process group, below a shell that makes the fault. */
export function begin(
  args: readonly string[],
  fault: Fault,
): { child: ChildProcess; said: () => string; ended: Promise<Ended> } {
  // Variables without a value are left out by spawn.
  const environment: NodeJS.ProcessEnv = { ...process.env, ...fault.environment };
  const command = [process.execPath, path.join(root, 'bin/revenant'), ...args];
  // A simple command is run without a shell, so that it gets the signals.
  const [file, ...rest] = fault.shell === '"$@"' ? command : ['bash', '-c', fault.shell, 'bash', ...command];
  const child = spawn(file, rest, { cwd: root, env: environment, stdio: ['ignore', 'pipe', 'pipe'] });
  const text = { stdout: '', stderr: '' };
  child.stdout.on('data', (bytes: Buffer) => (text.stdout += bytes.toString('utf8')));
  child.stderr.on('data', (bytes: Buffer) => (text.stderr += bytes.toString('utf8')));
  const ended = once(child, 'exit').then(([code, signal]) => ({
    code: code as number | null,
    signal: signal as NodeJS.Signals | null,
    ...text,
    hangs: false,
  }));
  return { child, said: () => text.stderr, ended };
}

/** Runs a command to its end; one that hangs is killed. */
export async function run(tried: Tried, fault: Fault): Promise<Cell> {
  const { child, said, ended } = begin(tried.args, fault);
  const waited = patientClock();
  let hangs = false;
  const timer = setInterval(() => {
    tried.attend?.(child, said(), waited());
    if (waited() < MOST_SECONDS) return;
    hangs = true;
    child.kill('SIGKILL');
  }, LOOK_MS);
  const result = await ended;
  clearInterval(timer);
  return await cell(tried.name, fault.name, { ...result, hangs });
}

/**
 * Judges an end.
 * @param allowed further signals that may have ended the command
 */
export async function cell(
  command: string,
  fault: string,
  ended: Ended,
  allowed: readonly NodeJS.Signals[] = [],
): Promise<Cell> {
  const { code, signal, stderr, hangs } = ended;
  const problems = [
    ...(hangs ? ['it hangs'] : []),
    ...(code === 70 ? ['70: a defect'] : []),
    // No trace here differs.
    ...(code === 1 ? ['1: nothing diverged'] : []),
    ...(signal !== null && !hangs && !allowed.includes(signal) ? [`ended by ${signal}`] : []),
    ...(/\n {4}at |Internal error|node:internal/.test(stderr) ? ['a bare stack'] : []),
    ...(await leftBehind()),
  ];
  return { command, fault, ended, problems };
}

/** Processes that remain after a grace period. */
async function leftBehind(): Promise<string[]> {
  const waited = patientClock();
  for (;;) {
    const left = leftProcesses();
    if (left.length === 0 || waited() > MOST_FAREWELL_SECONDS) return left;
    await pause(LOOK_MS);
  }
}

/** Processes that should have ended; all of this namespace are ours. */
function leftProcesses(): string[] {
  const { stdout } = spawnSync('ps', ['-eo', 'pid=,ppid=,stat=,args='], { encoding: 'utf8' });
  return stdout
    .split('\n')
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(line))
    .filter((match) => match !== null)
    .filter(([, pid, , stat, args]) => !stat.startsWith('Z') && Number(pid) !== process.pid && !isKept(args))
    .map(([, , , , args]) => `still running: ${args.slice(0, 60)}`);
}

const isKept = (args: string): boolean => KEPT.test(args) || /^(ps|sh -c|\[)/.test(args);

/** Files of ours that are left in the folder for temporary ones. */
export const leftFiles = (folder: string): string[] =>
  fs
    .readdirSync(folder)
    .filter((name) => name.startsWith('revenant-gdb.') || name.startsWith('revenant-worker-'));

/** `0`, `SIGKILL`. */
export const endText = ({ code, signal }: Ended): string => signal ?? String(code);

/** The first message, except those about machines. */
export function messageOf({ stderr, stdout }: Ended): string {
  const lines = stderr
    .split('\n')
    .filter((line) => line !== '' && !/machine \(|waiting for a machine/.test(line));
  const line =
    lines.find((text) => /cannot|Cannot|not enough|not have|gives too little/.test(text)) ??
    lines[0] ??
    stdout.split('\n')[0];
  return line.replace(/^revenant: /, '').slice(0, MOST_MESSAGE);
}
