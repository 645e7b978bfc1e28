/**
 * Which keepers of ours run, what they say of themselves, and how they are stopped. Leases go through
 * the addon. native/machine/keeper_protocol.h must match.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import process from 'node:process';
import { keeperProgram } from './installation.js';

/** `queued`: it waits until fewer others start. */
export interface MachineStatus {
  /** Abstract socket name, without the leading NUL. */
  name: string;
  pid: number;
  qemuPid: number;
  cpu: string;
  poolBytes: number;
  state: 'queued' | 'starting' | 'idle' | 'leased' | 'cleaning' | 'ending';
  /** How long it has been in that state. */
  seconds: number;
  /** Process that has the lease, 0 = none. */
  client: number;
  /** After this long without a lease it exits. */
  idleSeconds: number;
}

/** Names of the keepers of this user begin so; then hash of the configuration, `-`, index. */
export const namePrefix = (): string => `revenant-${process.geteuid?.() ?? 0}-`;

/** Abstract names of listening keepers of this user in a text in /proc/net/unix's format. */
export function keeperNames(procNetUnix: string, prefix: string): string[] {
  const names = new Set<string>();
  for (const line of procNetUnix.split('\n')) {
    // Num RefCount Protocol Flags Type St Inode Path; flag 0x10000 = listening.
    const [, , , flags, , , , path] = line.trim().split(/\s+/);
    if (path?.startsWith(`@${prefix}`) && parseInt(flags, 16) & 0x10000) names.add(path.slice(1));
  }
  return [...names].sort();
}

function runningNames(): string[] {
  return keeperNames(fs.readFileSync('/proc/net/unix', 'latin1'), namePrefix());
}

/** Queries one keeper; its answer's JSON, or null if it refused or has exited. */
function ask(name: string, request: 'status' | 'stop' | 'stop-idle'): object | null {
  // Not node:net: how it writes abstract names (padded or not) differs between versions of Node.
  const { stdout } = spawnSync(keeperProgram(), ['--ask', request, name], { encoding: 'utf8' });
  return parseAnswer(stdout ?? '');
}

/** `+` and JSON, or null. */
export function parseAnswer(text: string): object | null {
  if (!text.startsWith('+')) return null;
  try {
    const value: unknown = JSON.parse(text.slice(1));
    return typeof value === 'object' ? value : null;
  } catch {
    return null;
  }
}

/** What runs, for this user. A keeper that does not answer is left out. */
export function machineStatus(): MachineStatus[] {
  return runningNames().flatMap((name) => {
    const answer = ask(name, 'status');
    return answer ? [{ name, ...answer } as MachineStatus] : [];
  });
}

/**
 * Stops those machines of this user, or of those named, that are not used, started or waited for.
 * @returns how many were stopped (and have exited), and the others
 */
export function stopIdleMachines(names = runningNames()): { stopped: number; used: MachineStatus[] } {
  const refused = names.filter((name) => ask(name, 'stop-idle') === null);
  const used = machineStatus().filter(({ name }) => refused.includes(name));
  return { stopped: names.length - refused.length, used };
}

/** Stops every machine of this user, or those named; returns how many. They have exited on return. */
export function stopMachines(names = runningNames()): number {
  return names.filter((name) => ask(name, 'stop') !== null).length;
}
