/** Whether this machine raises each exception as processors do, or so that replays can complete it. */
import { WATCHED, type LeftOut } from '../x86/unraised.js';
import { Cr4 } from './cpuid.js';
import { Exit, exceptionName } from './exit.js';
import type { Machine } from './machine.js';
import type { Finding } from './probe-checks.js';
import { exceptionChecks, type ExceptionCheck, type Raised } from './probe-exception-list.js';
import { CODE, DATA, DATA_SIZE, type Outcome, type ProbeGuest } from './probe-guest.js';
import { programs } from './probe-programs.js';

const PF = 14;
const INITIAL_MXCSR = 0x1f80n;
/** Bytes of data that a check may fill or overwrite. */
const HEAD = 1024;

/** The findings, and the kinds of exceptions that this machine omits. */
export interface ExceptionsSeen {
  findings: Finding[];
  leftOut: Set<LeftOut>;
}

export type ExceptionGuest = Pick<ProbeGuest, 'run' | 'register' | 'data'>;
export interface ExceptionMachine {
  readonly config: Machine['config'];
  /** False: segments of the program's own and protection keys are not asked for. Default true. */
  readonly isVirtual?: boolean;
  readonly context: Pick<Machine['context'], 'setLocalDescriptors'>;
}

/**
 * @param every false: no findings, and only the runs that determine what replays must check; an
 * exception with unknown behaviour counts as omitted, for replays then decide it themselves
 */
export function checkExceptions(
  guest: ExceptionGuest,
  { config, context, isVirtual = true }: ExceptionMachine,
  every: boolean,
): ExceptionsSeen {
  const findings: Finding[] = [];
  const leftOut = new Set<LeftOut>();
  for (const check of exceptionChecks(config)) {
    const { completed, locals, needsKeys } = check;
    if (!isVirtual && (locals || needsKeys)) continue;
    if (!every && (!completed || !WATCHED.has(completed) || leftOut.has(completed))) continue;
    const finding = look(guest, context, check);
    if (completed && finding.seen !== finding.expected) leftOut.add(completed);
    if (every) findings.push(finding);
  }
  reset(guest, config.cr4);
  return { findings, leftOut };
}

function look(guest: ExceptionGuest, context: ExceptionMachine['context'], check: ExceptionCheck): Finding {
  const { program, registers, words, locals, raised, otherwise, completed } = check;
  fill(guest, words);
  if (locals) context.setLocalDescriptors(locals);
  const outcome = guest.run(program, registers);
  if (locals) context.setLocalDescriptors(null);
  const name = `${exceptionName(raised.vector)}: ${check.name}`;
  const expected = raisedText(raised);
  const told = outcome.exit === Exit.Exception ? raisedText(outcome) : outcome.text;
  const isKnown = otherwise === null ? outcome.exit === Exit.Exception : told === raisedText(otherwise);
  if (completed && told !== expected && isKnown) {
    return { name, expected, seen: `${told}, completed in replays`, ok: true };
  }
  // The faulting instruction has no effect.
  const isMoved = guest.register('rsp') !== (registers.rsp ?? BigInt(DATA + DATA_SIZE));
  const seen = isMoved && isOfFirst(raised) ? `${told}, another rsp` : told;
  return { name, expected, seen, ok: seen === expected };
}

function fill({ data }: ExceptionGuest, words: ExceptionCheck['words']): void {
  data.fill(0, 0, HEAD);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  for (const [offset, value] of words) view.setBigUint64(offset, value, true);
}

const isOfFirst = ({ at = 0, rip }: Raised): boolean => at === 0 && rip === undefined;

function raisedText({
  vector,
  at = 0,
  rip,
  errorCode = 0,
  cr2 = 0n,
}: Raised | (Outcome & { at?: number })): string {
  const place = `${exceptionName(vector)} at 0x${(rip ?? BigInt(CODE + at)).toString(16)}`;
  const code = errorCode === 0 ? '' : `, error code 0x${errorCode.toString(16)}`;
  return `${place}${code}${vector === PF ? `, address 0x${cr2.toString(16)}` : ''}`;
}

/** Protection keys, x87 and MXCSR as they were made. */
function reset(guest: ExceptionGuest, cr4: number): void {
  if (cr4 & Cr4.PKE) guest.run(programs.wrpkru);
  fill(guest, [[0, INITIAL_MXCSR]]);
  guest.run(programs.resetVectors, { rdi: BigInt(DATA) });
  fill(guest, []);
}
