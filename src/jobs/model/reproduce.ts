import type { JobResult } from './result.js';
import type { JobSpec, Question } from './spec.js';

/** A word, quoted for a shell. */
export function shellQuoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** The command that replays the job's trace as the job does. */
export function reproduceCommand(spec: JobSpec): string {
  const words = ['revenant', 'replay', spec.trace, ...machineWords(spec)];
  if (spec.verifyTicks) words.push('--verify-ticks');
  if (spec.expect.until !== null) words.push('--goto', String(spec.expect.until));
  return words.map(shellQuoted).join(' ');
}

/** The command that starts from the stored checkpoint; null if there is none. */
export function debugCommand({ trace, artifacts }: JobResult): string | null {
  const checkpoint = artifacts.find(({ kind }) => kind === 'checkpoint');
  if (!checkpoint) return null;
  return ['revenant', 'gdb', trace, '--from', checkpoint.path].map(shellQuoted).join(' ');
}

/** A place as --at and --goto take it. */
export function placeWords(at: Question['at'] | { kind: 'crash' }): string {
  if (at.kind === 'symbol') return `${at.symbol}:${at.hit}`;
  return at.kind === 'frame' ? String(at.frame) : at.kind;
}

/** What follows `revenant gdb` and `revenant call` for this trace, before places and expressions. */
export const openingWords = (spec: JobSpec): string =>
  [spec.trace, ...machineWords(spec)].map(shellQuoted).join(' ');

/** The command that evaluates one question again, or null: only `revenant ci` can read memory by address. */
export function askCommand(spec: JobSpec, { at, ask }: Question): string | null {
  const place = placeWords(at);
  const expression = expressionOf(ask);
  if (expression === null) return null;
  const words = ['revenant', 'call', spec.trace, '--at', place, expression, ...machineWords(spec)];
  if (spec.clock === 'now') words.push('--clock', 'now');
  return words.map(shellQuoted).join(' ');
}

function expressionOf(ask: Question['ask']): string | null {
  if (ask.kind === 'expression') return ask.expression;
  if (ask.kind === 'call') return ask.call;
  return ask.type === 'i32' && /^[A-Za-z_]\w*$/.test(ask.address) ? `(int)${ask.address}` : null;
}

function machineWords({ machine, cpu, limits, like, unpacked, files }: JobSpec): string[] {
  const words = ['--machine', machine];
  if (cpu !== null) words.push('--cpu', cpu);
  if (limits.memoryBytes !== null) words.push('--memory', String(limits.memoryBytes));
  words.push('--stall-limit', String(limits.stallSeconds));
  if (like !== null) words.push('--like', like);
  if (unpacked) words.push('--unpacked');
  for (const folder of files) words.push('--files', folder);
  return words;
}
