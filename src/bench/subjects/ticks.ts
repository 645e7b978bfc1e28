import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { ReplaySession } from '../../engine/replay/session.js';
import type { TickStrategyName } from '../../engine/replay/ticks/strategy.js';
import { MACHINE_TITLES, type MachineKind } from '../../machine/kinds.js';
import type { BenchContext } from '../context.js';
import { copyWithTurns, RECORDED_TURNS } from '../longer-loop.js';
import { formatRate } from '../statistics.js';
import type { Row, Subject } from '../subject.js';

const BUDGET_MICROS = 1_000_000;
/** The entry of the write that follows the loop. */
const FRAME_BEHIND = 17;

/** Turns of the loop for each strategy: some seconds in the emulated machine. `mixed` does not count here. */
const STRATEGIES: readonly (readonly [strategy: TickStrategyName, turns: number])[] = [
  ['mixed', 500_000_000],
  ['instrumented', 100_000_000],
  ['counter', 100_000_000],
  ['branches', 20_000],
  ['steps', 5_000],
];

/** The frames behind the loop have as many ticks more as the loop has turns. */
function addTicks({ core: { trace } }: ReplaySession, more: number): void {
  const advance = trace.advance.bind(trace);
  trace.advance = () => {
    const frame = advance();
    if (frame && frame.frameTime >= FRAME_BEHIND) frame.ticks += more;
    return frame;
  };
}

function secondsOfLoop(context: BenchContext, session: ReplaySession): number {
  while (session.frameTime < FRAME_BEHIND - 1 && session.advance(1, BUDGET_MICROS) !== 'end');
  const begun = context.now();
  while (session.frameTime < FRAME_BEHIND && session.advance(1, BUDGET_MICROS) !== 'end');
  return (context.now() - begun) / 1000;
}

/** Branches a second, or null where the machine has no counter. */
async function rateOf(
  context: BenchContext,
  trace: string,
  tickStrategy: TickStrategyName,
  turns: number,
): Promise<number | null> {
  const copy = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'revenant-bench-')), 'loop');
  try {
    copyWithTurns(trace, copy, BigInt(turns));
    return await context.replay(
      copy,
      (session, { machine }) => {
        if (tickStrategy === 'counter' && !machine.branchCounter) return null;
        addTicks(session, turns - RECORDED_TURNS);
        return turns / secondsOfLoop(context, session);
      },
      { tickStrategy },
    );
  } finally {
    fs.rmSync(path.dirname(copy), { recursive: true, force: true });
  }
}

export const ticks: Subject = {
  name: 'ticks',
  about: 'conditional branches a second in a loop of two instructions, by the way they are counted',
  async run(context): Promise<Row[]> {
    const folder = context.trace('haswell/loop');
    if (folder === null) return [];
    const rows: Row[] = [];
    for (const kind of context.kinds)
      rows.push(...((await context.on(kind, (own) => rowsOf(own, folder, kind))) ?? []));
    return rows;
  },
};

async function rowsOf(context: BenchContext, folder: string, kind: MachineKind): Promise<Row[]> {
  const rows: Row[] = [];
  let plain = 0;
  for (const [strategy, turns] of STRATEGIES) {
    const rate = await rateOf(context, folder, strategy, turns);
    if (rate === null) continue;
    if (strategy === 'mixed') plain = rate;
    const what = `${strategy === 'mixed' ? 'not counted' : strategy}, ${MACHINE_TITLES[kind]}`;
    const measured =
      strategy === 'mixed'
        ? formatRate(rate)
        : `${formatRate(rate)}, ${(plain / rate).toFixed(1)} times slower`;
    rows.push({ what, measured, ...(strategy === 'instrumented' && { aim: '5 times slower' }) });
  }
  return rows;
}
