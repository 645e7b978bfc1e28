import { sizeText } from '../../engine/base/quantities.js';
import { MACHINE_KINDS, MACHINE_TITLES, type MachineKind } from '../../machine/kinds.js';
import type { BenchContext } from '../context.js';
import { formatMicros } from '../statistics.js';
import type { Row, Subject } from '../subject.js';

const TRACES = [
  'haswell/loop',
  'skylake-pku/tree',
  'zen2/bash',
  'zen2/syscalls.20k',
  'zen2/spawn',
  'zen2/race',
];

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

export const machines: Subject = {
  name: 'machines',
  about: 'the same replays on each machine: whole command, frames, exits, peak memory',
  run(context): Row[] {
    return TRACES.flatMap((name) => {
      const folder = context.trace(name);
      if (folder === null) return [];
      return MACHINE_KINDS.map((kind) => ({
        what: `${name}, ${MACHINE_TITLES[kind]}`,
        measured: measure(context, folder, kind),
      }));
    });
  },
};
