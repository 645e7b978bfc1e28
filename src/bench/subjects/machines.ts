import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { sizeText } from '../../engine/base/quantities.js';
import { firstExecCommand } from '../../engine/trace/landmarks.js';
import { TraceReader } from '../../engine/trace/reader.js';
import { MACHINE_KINDS, MACHINE_TITLES, type MachineKind } from '../../machine/kinds.js';
import type { BenchContext } from '../context.js';
import { formatMicros } from '../statistics.js';
import type { Row, Subject } from '../subject.js';

/** What is replayed; with `own`, the recorded command line does no harm, and its program is timed where it is installed. */
const TRACES: readonly { readonly name: string; readonly own?: true }[] = [
  { name: 'haswell/loop' },
  { name: 'skylake-pku/tree' },
  { name: 'zen2/bash', own: true },
  { name: 'zen2/syscalls.20k' },
  { name: 'zen2/spawn' },
  { name: 'zen2/race' },
  { name: 'real/gcc', own: true },
  { name: 'real/python', own: true },
  { name: 'real/git' },
];
const OWN_RUNS = 5;
/** What recorded compilers compile. */
const HELLO = '#include <stdio.h>\nint main(void) {\n  puts("hello");\n}\n';

/** Of the JSON document of `revenant replay`. */
interface Replayed {
  readonly frames: number;
  readonly exits: number;
  readonly seconds: number;
  readonly commandSeconds: number;
  readonly peakResidentBytes: number;
}

function measure(context: BenchContext, folder: string, kind: MachineKind): string {
  const args = ['replay', folder, '--json', '--quiet', '--machine', kind];
  let document;
  try {
    context.command(args, false); // starts the emulated machine
    document = context.command(args, false).document as Replayed;
  } catch {
    return 'not here: see revenant doctor';
  }
  const { frames, exits, seconds, commandSeconds, peakResidentBytes } = document;
  const per = (count: number): string => formatMicros((seconds * 1e6) / Math.max(1, count));
  return [
    `${commandSeconds.toFixed(2)} s in all`,
    `${seconds.toFixed(3)} s replaying`,
    `${per(frames)} a frame`,
    `${per(exits)} an exit`,
    sizeText(peakResidentBytes),
  ].join(', ');
}

/** The best of some runs of the program without any recorder, or null where it is not installed. */
function ownSeconds(context: BenchContext, [program, ...args]: readonly string[]): number | null {
  if (!fs.existsSync(program)) return null;
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'revenant-bench-'));
  try {
    fs.writeFileSync(path.join(folder, 'hello.c'), HELLO);
    const inside = args.map((arg, at) => (args[at - 1] === '-o' ? path.join(folder, 'out') : arg));
    const times = Array.from({ length: OWN_RUNS }, () => {
      const begun = context.now();
      spawnSync(program, inside, { cwd: folder, stdio: 'ignore' });
      return (context.now() - begun) / 1000;
    });
    return Math.min(...times);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

/** The program's own time: here, else while it was recorded. */
function measureOwn(context: BenchContext, folder: string, own: boolean): string {
  const reader = TraceReader.open(folder);
  try {
    const here = own ? ownSeconds(context, firstExecCommand(reader)) : null;
    if (here !== null) return `${here.toFixed(3)} s`;
    let [first, last] = [-1, 0];
    for (let frame = reader.advance(); frame; frame = reader.advance()) {
      last = frame.monotonicSec;
      if (first < 0) first = last;
    }
    return `not here; ${(last - first).toFixed(3)} s while it was recorded`;
  } finally {
    reader.close();
  }
}

export const machines: Subject = {
  name: 'machines',
  about:
    'the same replays on each machine, and the program itself: whole command, frames, exits, peak memory',
  run(context): Row[] {
    return TRACES.flatMap(({ name, own = false }) => {
      const folder = context.trace(name);
      if (folder === null) return [];
      return [
        { what: `${name}, the program itself`, measured: measureOwn(context, folder, own) },
        ...MACHINE_KINDS.map((kind) => ({
          what: `${name}, ${MACHINE_TITLES[kind]}`,
          measured: measure(context, folder, kind),
        })),
      ];
    });
  },
};
