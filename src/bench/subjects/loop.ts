import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { MachineForTrace } from '../../recording/machines.js';
import type { ReplaySession } from '../../engine/replay/session.js';
import type { BenchContext } from '../context.js';
import { copyWithTurns } from '../longer-loop.js';
import { formatMicros } from '../statistics.js';
import type { Row, Subject } from '../subject.js';

const TURNS = 500_000_000;
const INSTRUCTIONS_A_TURN = 2;
const BUDGET_MICROS = 1_000_000;

interface Measured {
  seconds: number;
  native: number;
  exits: number;
}

/** Everything before the loop, then the frame that it ends with, by the clock; then the same loop beside the guest. */
function measure(
  context: BenchContext,
  session: ReplaySession,
  { machine }: MachineForTrace,
  frame: number,
): Measured {
  while (session.frameTime < frame - 1 && session.advance(1, BUDGET_MICROS) !== 'end');
  const exits = session.exits;
  const begun = context.now();
  while (session.advance(1, BUDGET_MICROS) === 'pending');
  const seconds = (context.now() - begun) / 1000;
  return { seconds, native: machine.nativeLoopSeconds(TURNS), exits: session.exits - exits };
}

/** The entry of the write that follows the loop. */
const FRAME_BEHIND = 17;

export const loop: Subject = {
  name: 'loop',
  about: 'a thousand million instructions between two frames, against the same loop outside of the guest',
  async run(context): Promise<Row[]> {
    const folder = context.trace('haswell/loop');
    if (folder === null) return [];
    const copy = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'revenant-bench-')), 'loop');
    try {
      copyWithTurns(folder, copy, BigInt(TURNS));
      const { seconds, native, exits } = await context.replay(copy, (session, machine) =>
        measure(context, session, machine, FRAME_BEHIND),
      );
      const instructions = (TURNS * INSTRUCTIONS_A_TURN) / 1e6;
      return [
        { what: `loop of ${instructions} million instructions`, measured: formatMicros(seconds * 1e6) },
        { what: '  exits meanwhile', measured: String(exits), aim: '1' },
        { what: '  the same outside of the guest', measured: formatMicros(native * 1e6) },
        { what: '  ratio', measured: (seconds / native).toFixed(2), aim: '1' },
      ];
    } finally {
      fs.rmSync(path.dirname(copy), { recursive: true, force: true });
    }
  },
};
