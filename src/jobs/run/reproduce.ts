import type { JobSpec } from '../spec.js';

/** A word as a shell takes it back. */
export function shellQuoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** The command that replays the job's trace as the job does. */
export function reproduceCommand(spec: JobSpec): string {
  const { machine, cpu, limits, like, unpacked, verifyTicks, expect, trace } = spec;
  const words = ['revenant', 'replay', trace, '--machine', machine];
  if (cpu !== null) words.push('--cpu', cpu);
  if (limits.memoryBytes !== null) words.push('--memory', String(limits.memoryBytes));
  words.push('--stall-limit', String(limits.stallSeconds));
  if (like !== null) words.push('--like', like);
  if (unpacked) words.push('--unpacked');
  if (verifyTicks) words.push('--verify-ticks');
  if (expect.until !== null) words.push('--goto', String(expect.until));
  return words.map(shellQuoted).join(' ');
}
