import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { sizeText } from '../../engine/base/quantities.js';
import { wordsToGva, type Gva } from '../../engine/base/address.js';
import { Reg } from '../../engine/base/registers.js';
import type { DebugStop, Direction } from '../../engine/target.js';
import { CheckpointFiles, checkpointName } from '../../engine/persist/archive.js';
import { writeCheckpoint } from '../../engine/persist/file.js';
import type { Checkpoint } from '../../engine/replay/state/checkpoint.js';
import type { ReplaySession } from '../../engine/replay/session.js';
import type { TravelTarget } from '../../engine/travel/target.js';
import type { BenchContext } from '../context.js';
import { formatMicros, median } from '../statistics.js';
import type { Row, Subject } from '../subject.js';

const CHECKPOINTS = 200;
const GOTOS = 20;
const FILES_EVERY = 100;
const STEPS_BACK = 40;
const HITS = 1000;
const MIRRORED = 30;
const OFTEN_CALLED = 'malloc';
const PAGE = 4096;

function wait(target: TravelTarget): DebugStop {
  for (;;) {
    const stop = target.poll();
    if (stop) return stop;
  }
}

function go(target: TravelTarget, frameTime: number): void {
  target.beginGoto(frameTime);
  wait(target);
}

function run(target: TravelTarget, direction: Direction, kind: 'continue' | 'step'): DebugStop {
  target.begin({ direction, tid: target.currentTid, mode: { kind } });
  return wait(target);
}

/** A fixed pseudo-random sequence. */
function* frames(last: number): Generator<number> {
  for (let seed = 7; ;) {
    seed = (seed * 1103515245 + 12345) % 2 ** 31;
    yield 20 + ((seed >>> 8) % (last - 40));
  }
}

/** Microseconds of each run. */
function times(context: BenchContext, count: number, turn: () => void): number[] {
  return Array.from({ length: count }, () => {
    const begun = context.now();
    turn();
    return (context.now() - begun) * 1000;
  });
}

/** Cost of a checkpoint every few frames: time, and pages that only it has after the program has continued. */
function checkpoints(context: BenchContext, session: ReplaySession, at: number): Row[] {
  const kept: Checkpoint[] = [];
  const taken: number[] = [];
  const { memory } = session.core;
  while (session.frameTime < at && session.advance(64, 1e6) !== 'end');
  const before = memory.pagesInUse;
  for (let n = 0; n < CHECKPOINTS; n++) {
    const begun = context.now();
    kept.push(session.checkpoint());
    taken.push((context.now() - begun) * 1000);
    if (session.advance(4, 1e6) === 'end') break;
  }
  const pages = (memory.pagesInUse - before) / kept.length;
  const { core } = session;
  const exits = times(context, 50, () => core.vectors.save(null));
  const back = times(context, 50, () => session.restore(kept[0]));
  for (const checkpoint of kept) session.drop(checkpoint);
  return [
    {
      what: `checkpoint (median of ${taken.length}, every 4 frames)`,
      measured: formatMicros(median(taken)),
      aim: '1 ms',
    },
    { what: '  of which the exit for the vector state', measured: formatMicros(median(exits)) },
    { what: '  memory of one', measured: sizeText(pages * PAGE) },
    { what: '  going back to one', measured: formatMicros(median(back)) },
  ];
}

function gotos(context: BenchContext, target: TravelTarget, last: number, what: string): Row {
  const next = frames(last);
  const took = times(context, GOTOS, () => go(target, next.next().value as number));
  const worst = Math.max(...took);
  return {
    what: `goto a random frame, ${what}`,
    measured: `${formatMicros(median(took))}, at most ${formatMicros(worst)}`,
  };
}

/** Each in a new session: visited places are fast to visit again. */
async function fresh(
  context: BenchContext,
  trace: string,
  folder: string | null,
  last: number,
): Promise<number[]> {
  const next = frames(last);
  const took: number[] = [];
  for (let n = 0; n < 5; n++) {
    await context.travel(
      trace,
      (target) => took.push(...times(context, 1, () => go(target, next.next().value as number))),
      folder === null ? {} : { archive: (session) => new CheckpointFiles(session, [folder]) },
    );
  }
  return took;
}

async function going(context: BenchContext, trace: string): Promise<Row[]> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'bench-checkpoints-'));
  try {
    let last = 0;
    const written: number[] = [];
    const sizes: number[] = [];
    await context.travel(trace, ({ session }) => {
      while (session.advance(FILES_EVERY, 1e6) !== 'end') {
        if (session.frameTime % FILES_EVERY !== 0) continue;
        const file = path.join(folder, checkpointName(session.frameTime));
        const begun = context.now();
        sizes.push(writeCheckpoint(session, file));
        written.push((context.now() - begun) * 1000);
      }
      last = session.frameTime;
    });
    const without = await fresh(context, trace, null, last);
    const having = await fresh(context, trace, folder, last);
    const again = await context.travel(trace, (target) =>
      gotos(context, target, last, 'in one session, in any order'),
    );
    return [
      {
        what: `writing a checkpoint file (every ${FILES_EVERY} frames)`,
        measured: formatMicros(median(written)),
      },
      { what: '  size of one', measured: sizeText(median(sizes)) },
      { what: `goto a random one of ${last} frames, at first`, measured: formatMicros(median(without)) },
      { what: '  with checkpoint files', measured: formatMicros(median(having)) },
      again,
    ];
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

/** In the middle of a program's own code, to and fro. */
function stepping(context: BenchContext, target: TravelTarget, address: Gva): Row[] {
  const breakpoint = { pid: null, address };
  target.addBreakpoint(breakpoint);
  for (let hits = 0; hits < 30; hits++) run(target, 'forward', 'continue');
  target.removeBreakpoint(breakpoint);
  for (let steps = 0; steps < 20; steps++) run(target, 'forward', 'step');
  const { session } = target;
  const before = session.exits;
  const first = times(context, 1, () => run(target, 'backward', 'step'));
  const exits = session.exits - before;
  const more = times(context, STEPS_BACK, () => run(target, 'backward', 'step'));
  return [
    { what: `reverse-stepi, the first (${exits} exits)`, measured: formatMicros(first[0]), aim: '50 ms' },
    {
      what: `  median of ${STEPS_BACK} more (${Math.round((session.exits - before - exits) / STEPS_BACK)} exits)`,
      measured: formatMicros(median(more)),
      aim: '50 ms',
    },
  ];
}

/** Stops one after the other, and the same ones back again. */
function mirrored(context: BenchContext, target: TravelTarget, address: Gva): Row[] {
  const breakpoint = { pid: null, address };
  target.addBreakpoint(breakpoint);
  const { session } = target;
  const rows = (['forward', 'backward'] as const).map((direction) => {
    const before = session.exits;
    const stops = direction === 'forward' ? MIRRORED : MIRRORED - 1;
    const took = times(context, stops, () => run(target, direction, 'continue'));
    const exits = Math.round((session.exits - before) / stops);
    return {
      what: `a stop, one of ${stops} ${direction} (${exits} exits each)`,
      measured: formatMicros(took.reduce((sum, each) => sum + each, 0) / stops),
      aim: direction === 'forward' ? undefined : 'twice that',
    };
  });
  target.removeBreakpoint(breakpoint);
  return rows;
}

/** What was written last, and before that. */
function written(context: BenchContext, target: TravelTarget, address: Gva): Row[] {
  const watchpoint = { pid: null, address, length: 8, access: 'write' } as const;
  target.addWatchpoint(watchpoint);
  const took = times(context, 3, () => run(target, 'backward', 'continue'));
  target.removeWatchpoint(watchpoint);
  return [
    { what: 'a watchpoint, back to the last write', measured: formatMicros(took[0]) },
    { what: '  to the write before', measured: formatMicros(median(took.slice(1))) },
  ];
}

/** Right after a frame there is no near checkpoint. */
function steppingFromFrame(context: BenchContext, target: TravelTarget): Row[] {
  const [took] = times(context, 1, () => run(target, 'backward', 'step'));
  return [{ what: 'reverse-stepi, the first after a goto', measured: formatMicros(took), aim: '50 ms' }];
}

function everything(context: BenchContext, target: TravelTarget): Row[] {
  go(target, Infinity);
  const [took] = times(context, 1, () => run(target, 'backward', 'continue'));
  return [{ what: `reverse-continue over all ${target.lastFrame} frames`, measured: formatMicros(took) }];
}

/** A function that is called often, with a condition that reads like gdb's conditions. */
function condition(context: BenchContext, target: TravelTarget, address: Gva): Row[] {
  let asked = 0;
  const atLast = (tid: number): boolean => {
    const word = new Uint8Array(8);
    const registers = target.registers(tid);
    target.readMemory(tid, wordsToGva(registers[2 * Reg.rsp], registers[2 * Reg.rsp + 1]), word);
    return ++asked === HITS || word.length === 0;
  };
  target.addBreakpoint({ pid: null, address, condition: atLast });
  const [took] = times(context, 1, () => run(target, 'forward', 'continue'));
  return [
    {
      what: `a breakpoint whose condition is false ${asked - 1} times`,
      measured: `${formatMicros(took)}, ${formatMicros(took / asked)} each`,
    },
  ];
}

const symbolOf = (target: TravelTarget, name: string): Gva => {
  const address = target.symbol(target.currentTid, name);
  if (address === null) throw new Error(`The trace has no symbol ${name}.`);
  return address;
};

export const travel: Subject = {
  name: 'travel',
  about: 'checkpoints, going to frames, reverse execution, conditional breakpoints',
  async run(context) {
    const rows: Row[] = [];
    const bash = context.trace('zen2/bash', 'zen2/spawn');
    const tree = context.trace('zen2/tree', 'skylake-pku/tree');
    if (bash) {
      context.say(`bench: ${bash}`);
      rows.push(...(await context.travel(bash, ({ session }) => checkpoints(context, session, 600))));
      rows.push(...(await going(context, bash)));
      rows.push(...(await context.travel(bash, (target) => everything(context, target))));
      rows.push(
        ...(await context.travel(bash, (target) => {
          go(target, 200);
          return condition(context, target, symbolOf(target, OFTEN_CALLED));
        })),
      );
    }
    if (tree) {
      context.say(`bench: ${tree}`);
      rows.push(
        ...(await context.travel(tree, (target) => {
          go(target, 60);
          return stepping(context, target, symbolOf(target, 'insert'));
        })),
      );
      rows.push(
        ...(await context.travel(tree, (target) => {
          go(target, 60);
          const root = symbolOf(target, 'root');
          const stops = mirrored(context, target, symbolOf(target, 'insert'));
          go(target, Infinity);
          return [...stops, ...written(context, target, root)];
        })),
      );
      rows.push(
        ...(await context.travel(tree, (target) => {
          go(target, 110);
          return steppingFromFrame(context, target);
        })),
      );
    }
    return rows;
  },
};
