import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { sizeText } from '../../engine/base/quantities.js';
import { silentLogger } from '../../engine/base/log.js';
import type { VcpuTransport } from '../../engine/kvm/transport.js';
import { firstExecCommand } from '../../engine/trace/landmarks.js';
import { TraceReader } from '../../engine/trace/reader.js';
import { openTransport } from '../../machine/choose.js';
import { MACHINE_KINDS, MACHINE_TITLES, type MachineKind } from '../../machine/kinds.js';
import { Machines } from '../../recording/machines.js';
import type { BenchContext } from '../context.js';
import { exitCosts, wakeUpCost } from '../exits.js';
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
  { name: 'memory/big200' },
  { name: 'memory/big1000' },
  { name: 'forks/resident' },
];
const OWN_RUNS = 5;
/** What recorded compilers compile. */
const HELLO = '#include <stdio.h>\nint main(void) {\n  puts("hello");\n}\n';

/** The processor of the machine whose exits are measured. */
const ANY_TRACE = 'haswell/loop';
/** Guest memory of machines that are started to be measured: no other machine has as much, and is taken instead. */
const COLD_MIB = 2048;
const COLD_STARTS = 3;
/** They end by themselves. */
const COLD_IDLE_SECONDS = 1;

const AIMS: Readonly<Record<string, string>> = {
  'start, emulated': '0.5 s',
  'a page fault, filled, emulated': 'below 15 us',
  'a wake-up from sleep, emulated': '100 us',
  'zen2/bash, emulated': '0.6 s in all',
  'memory/big1000, emulated': '10 s in all',
  'memory/big1000, process': '2.5 s in all',
};
const aimOf = (what: string, kind: MachineKind): string | undefined => AIMS[`${what}, ${kind}`];

/** Of the JSON document of `revenant replay`. */
interface Replayed {
  readonly frames: number;
  readonly exits: number;
  readonly seconds: number;
  readonly commandSeconds: number;
  readonly peakResidentBytes: number;
}

const notHere = (error: unknown): string =>
  `not here: ${error instanceof Error ? error.message.split('\n')[0] : String(error)}`;

function replayRow(context: BenchContext, name: string, folder: string, kind: MachineKind): Row {
  const what = `${name}, ${MACHINE_TITLES[kind]}`;
  const args = ['replay', folder, '--json', '--quiet', '--machine', kind];
  let document;
  try {
    context.command(args, false); // starts the emulated machine
    document = context.command(args, false).document as Replayed;
  } catch {
    return { what, measured: 'not here: see revenant doctor' };
  }
  const { frames, exits, seconds, commandSeconds, peakResidentBytes } = document;
  const per = (count: number): number => (seconds * 1e6) / Math.max(1, count);
  const measured = [
    `${commandSeconds.toFixed(2)} s in all`,
    `${seconds.toFixed(3)} s replaying`,
    `${formatMicros(per(frames))} a frame`,
    `${formatMicros(per(exits))} an exit`,
    sizeText(peakResidentBytes),
  ].join(', ');
  const values = { frames, exits, seconds, commandSeconds, peakResidentBytes };
  return { what, measured, values, aim: aimOf(name, kind) };
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
function ownRow(context: BenchContext, name: string, folder: string, own: boolean): Row {
  const what = `${name}, the program itself`;
  const reader = TraceReader.open(folder);
  try {
    const seconds = own ? ownSeconds(context, firstExecCommand(reader)) : null;
    if (seconds !== null) return { what, measured: `${seconds.toFixed(3)} s`, values: { seconds } };
    let [first, last] = [-1, 0];
    for (let frame = reader.advance(); frame; frame = reader.advance()) {
      last = frame.monotonicSec;
      if (first < 0) first = last;
    }
    const recordedSeconds = last - first;
    const measured = `not here; ${recordedSeconds.toFixed(3)} s while it was recorded`;
    return { what, measured, values: { recordedSeconds } };
  } finally {
    reader.close();
  }
}

/** From nothing to a machine that serves commands: the best of some. */
async function startRow(context: BenchContext, kind: MachineKind): Promise<Row> {
  const what = `start, ${MACHINE_TITLES[kind]}`;
  const times: number[] = [];
  const opened: VcpuTransport[] = [];
  try {
    for (let n = 0; n < COLD_STARTS; n++) {
      const begun = context.now();
      // Each is leased until all have been started, so that none is taken for the next.
      const options = { memoryMiB: COLD_MIB, idleSeconds: COLD_IDLE_SECONDS };
      opened.push(await openTransport(kind, options));
      times.push((context.now() - begun) * 1000);
    }
  } catch (error) {
    return { what, measured: notHere(error) };
  } finally {
    for (const transport of opened) transport.close();
  }
  const micros = Math.min(...times);
  return { what, measured: formatMicros(micros), values: { micros }, aim: aimOf('start', kind) };
}

async function exitRows(context: BenchContext, folder: string, kind: MachineKind): Promise<Row[]> {
  const title = MACHINE_TITLES[kind];
  const machines = new Machines({ machine: kind }, silentLogger, context.say);
  const reader = TraceReader.open(folder);
  try {
    const { machine } = await machines.forTrace(reader);
    const costs = [...exitCosts(machine, context.now), wakeUpCost(machine, context.now)];
    return costs.map(({ what, micros }) => ({
      what: `${what}, ${title}`,
      measured: `${formatMicros(micros)} an exit`,
      values: { micros },
      aim: aimOf(what, kind),
    }));
  } catch (error) {
    return [{ what: `exits, ${title}`, measured: notHere(error) }];
  } finally {
    reader.close();
    machines.close();
  }
}

function traceRows(context: BenchContext, name: string, own: boolean): Row[] {
  const folder = context.trace(name);
  if (folder === null) return [{ what: name, measured: 'not here: the trace is missing' }];
  context.say(`bench: ${name}`);
  return [
    ownRow(context, name, folder, own),
    ...MACHINE_KINDS.map((kind) => replayRow(context, name, folder, kind)),
  ];
}

export const machines: Subject = {
  name: 'machines',
  about:
    'each machine: its start, its exits by kind, its wake-up, and the same replays, with the program itself: whole command, frames, exits, peak memory',
  async run(context): Promise<Row[]> {
    const rows: Row[] = [];
    context.close(); // a machine has one client at a time
    for (const kind of MACHINE_KINDS) rows.push(await startRow(context, kind));
    const folder = context.trace(ANY_TRACE);
    if (folder !== null)
      for (const kind of MACHINE_KINDS) rows.push(...(await exitRows(context, folder, kind)));
    for (const { name, own = false } of TRACES) rows.push(...traceRows(context, name, own));
    return rows;
  },
};
