import { hex } from '../engine/base/address.js';
import { SIGNAL_NAMES } from '../engine/base/linux.js';
import { countText, durationText, paceText } from '../engine/base/quantities.js';
import type { RunResult } from '../recording/run.js';
import { hang } from './table.js';

/** How the program ended, as text. */
function endOf(wait: number | null): string {
  if (wait === null) return 'the trace ends before the program does';
  const signal = wait & 0x7f;
  if (signal === 0) return `the program exited with status ${(wait >> 8) & 0xff}`;
  return `the program died of ${SIGNAL_NAMES[signal] ?? `signal ${signal}`}`;
}

/** Microseconds per frame, or 0 before the first. */
export function microsPerFrame({ startFrame, frameTime, seconds }: RunResult): number {
  const frames = frameTime - startFrame;
  return frames <= 0 ? 0 : (seconds * 1e6) / frames;
}

/**
 * The summary of a finished replay on standard error.
 * @param seconds of the command so far, including starting, leasing a machine and releasing it
 * @param width characters of a line
 */
export function summary(result: RunResult, seconds: number, width = Infinity): string {
  const tasks = countText(result.stats?.tasks ?? 0, 'task');
  const pace = paceText(result.seconds, result.frameTime - result.startFrame, 'frame');
  const replaying = `${durationText(result.seconds)} replaying${pace === '' ? '' : ` (${pace})`}`;
  const time = `${durationText(seconds)}, of which ${replaying}`;
  const ticks = result.stats?.verifiedTicks
    ? `; ticks counted and equal at ${countText(result.stats.verifiedTicks, 'frame')}`
    : '';
  const verb = result.outcome === 'end' ? 'replayed' : 'stopped after';
  const end = result.outcome === 'end' ? `; ${endOf(result.exitStatus)}` : '';
  const { machine } = result;
  const lost = result.stats?.counterLostAt ?? -1;
  const lines = [
    `${verb} ${countText(result.frameTime, 'frame')}, ${tasks}, ${time}${ticks}${end}`,
    ...(lost < 0
      ? []
      : [
          `another program took the processor's counter; from frame ${lost + 1} on ticks were counted with breakpoints`,
        ]),
    ...(result.stats?.softwareInstructions
      ? [
          `${countText(result.stats.softwareInstructions, 'instruction')} that the processor lacks, executed in software`,
        ]
      : []),
    ...(machine
      ? [
          `machine: ${machine.description}; XCR0 ${hex(machine.guestXcr0)} in the guest, ${hex(machine.xcr0)} in the machine`,
        ]
      : []),
  ];
  return lines.map((line) => `${hang('revenant: ', line, width)}\n`).join('');
}

/** The same for --json. */
export function resultDocument(result: RunResult): object {
  const machine = result.machine;
  return {
    outcome: result.outcome === 'end' ? 'replayed' : result.outcome,
    frames: result.frameTime,
    seconds: Number(result.seconds.toFixed(6)),
    microsecondsPerFrame: Number(microsPerFrame(result).toFixed(2)),
    ...result.stats,
    peakResidentBytes: process.resourceUsage().maxRSS * 1024,
    machine: machine && {
      kind: machine.kind,
      description: machine.description,
      hostProblem: machine.hostProblem,
    },
    xcr0: {
      recorded: hex(result.recordedXcr0),
      guest: machine && hex(machine.guestXcr0),
      machine: machine && hex(machine.xcr0),
    },
  };
}
