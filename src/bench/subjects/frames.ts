import path from 'node:path';
import { rateText, sizeText } from '../../engine/base/quantities.js';
import type { ReplaySession } from '../../engine/replay/session.js';
import type { BenchContext } from '../context.js';
import { formatMicros, median } from '../statistics.js';
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

/** As the commands do. */
const FRAMES_A_TURN = 256;

interface Times {
  /** Microseconds of each frame, and of each exit of a frame that had any. */
  perFrame: number[];
  perExit: number[];
}

/** Replays to the end, a frame at a time, each by the clock: no call is staged then. */
function timeEachFrame(session: ReplaySession, now: () => number): Times {
  const times: Times = { perFrame: [], perExit: [] };
  let exits = 0;
  for (let before = now(); ;) {
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
  return times;
}

interface Whole {
  frames: number;
  exits: number;
  micros: number;
}

function timeAll(session: ReplaySession, now: () => number): Whole {
  const begun = now();
  while (session.advance(FRAMES_A_TURN, BUDGET_MICROS) !== 'end');
  const { frames, exits } = session.stats;
  return { frames, exits, micros: (now() - begun) * 1000 };
}

function peakMemory(context: BenchContext, folder: string): string {
  const { document } = context.command(['replay', folder, '--json']);
  return sizeText((document as { peakResidentBytes: number }).peakResidentBytes);
}

async function measure(context: BenchContext, folder: string, aim?: string): Promise<Row[]> {
  const all = (stageCalls: boolean): Promise<Whole> =>
    context.replay(folder, (session) => timeAll(session, context.now), { stageCalls });
  const { perFrame, perExit } = await context.replay(folder, (session) =>
    timeEachFrame(session, context.now),
  );
  const plain = await all(false);
  const staged = await all(true);
  return [
    {
      what: `${path.basename(folder)}: mean of ${staged.frames} frames`,
      measured: formatMicros(staged.micros / staged.frames),
      aim,
    },
    { what: '  without staged calls', measured: formatMicros(plain.micros / plain.frames) },
    { what: '  exits', measured: String(staged.exits) },
    { what: '  without staged calls', measured: String(plain.exits) },
    { what: '  exits, without', measured: rateText(plain.exits, plain.micros / 1e6) },
    { what: '  median of a frame, without', measured: formatMicros(median(perFrame)) },
    { what: '  median of an exit, without', measured: formatMicros(median(perExit)) },
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
