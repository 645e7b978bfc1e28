import path from 'node:path';
import type { ReplaySession } from '../../engine/replay/session.js';
import type { BenchContext } from '../context.js';
import { formatMiB, formatMicros, median } from '../statistics.js';
import type { Row, Subject } from '../subject.js';

const TRACES: readonly { name: string; aim?: string }[] = [
  { name: 'zen2/syscalls', aim: '60 us' },
  { name: 'zen2/syscalls.20k', aim: '10 us' },
  { name: 'zen2/bash' },
  { name: 'zen2/spawn' },
  { name: 'zen2/threads' },
  { name: 'haswell/faults' },
];
const BUDGET_MICROS = 1_000_000;

interface Times {
  frames: number;
  exits: number;
  totalMicros: number;
  /** Microseconds of each frame, and of each exit of a frame that had any. */
  perFrame: number[];
  perExit: number[];
}

/** Replays to the end, a frame at a time, each by the clock. */
function timeFrames(session: ReplaySession, now: () => number): Times {
  const times: Times = { frames: 0, exits: 0, totalMicros: 0, perFrame: [], perExit: [] };
  let exits = 0;
  const begun = now();
  for (let before = begun; ;) {
    let progress;
    do progress = session.advance(1, BUDGET_MICROS);
    while (progress === 'pending');
    if (progress === 'end') break;
    const after = now();
    const micros = (after - before) * 1000;
    before = after;
    const left = session.exits;
    times.perFrame.push(micros);
    if (left > exits) times.perExit.push(micros / (left - exits));
    exits = left;
  }
  times.totalMicros = (now() - begun) * 1000;
  return { ...times, frames: times.perFrame.length, exits };
}

function peakMemory(context: BenchContext, folder: string): string {
  const { document } = context.command(['replay', folder, '--json']);
  return formatMiB((document as { peakResidentBytes: number }).peakResidentBytes);
}

async function measure(context: BenchContext, folder: string, aim?: string): Promise<Row[]> {
  const times = await context.replay(folder, (session) => timeFrames(session, context.now));
  const { frames, exits, totalMicros, perFrame, perExit } = times;
  return [
    {
      what: `${path.basename(folder)}: mean of ${frames} frames`,
      measured: formatMicros(totalMicros / frames),
      aim,
    },
    { what: '  median of a frame', measured: formatMicros(median(perFrame)) },
    { what: `  median of an exit (${exits} exits)`, measured: formatMicros(median(perExit)) },
    { what: '  exits a second', measured: ((exits / totalMicros) * 1e6).toFixed(0) },
    { what: '  peak memory of the command', measured: peakMemory(context, folder) },
  ];
}

export const frames: Subject = {
  name: 'frames',
  about: 'cost of a frame and of an exit, peak memory, on several traces',
  async run(context) {
    const rows: Row[] = [];
    for (const { name, aim } of TRACES) {
      const folder = context.trace(name);
      if (folder === null) continue;
      context.say(`bench: ${name}`);
      rows.push(...(await measure(context, folder, aim)));
    }
    return rows;
  },
};
