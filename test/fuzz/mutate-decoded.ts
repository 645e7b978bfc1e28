import { REGISTER_COUNT } from '../../src/engine/base/registers.js';
import { EventKind, SyscallState, type TraceFrame } from '../../src/engine/trace/frame.js';
import type { Random } from '../trace/mutate.js';
import type { DecodedTrace } from './memory-trace.js';

/** Changes of one kind to a decoded trace. Each result could have been decoded by a reader. */
type Change = (trace: DecodedTrace, random: Random) => string | null;

const pick = <T>(random: Random, from: readonly T[]): T => from[random(from.length)];
const PAGE = 4096;
const USER_END = 2 ** 47;

/** Boundary values: limits of sizes, of user space, of signs. */
const WORDS = [
  0, 1, 0xff, 0xfff, 0x1000, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_f000, 0xffff_ffff,
];
const wild = (random: Random, old: number): number => {
  const values = [
    pick(random, WORDS),
    random(2 ** 32),
    old ^ (1 << random(32)),
    old + PAGE,
    old - 8,
    old + 1,
  ];
  return pick(random, values) >>> 0;
};
const wildSize = (random: Random, old: number): number =>
  pick(random, [0, 1, old + 1, old + PAGE, old * 2, 2 ** 31, 2 ** 32 + 5, 2 ** 40, 2 ** 47, 2 ** 52]);
const wildPage = (random: Random, near: number): number => {
  const values = [
    0,
    near,
    near + PAGE,
    near - PAGE,
    near + 2 ** 21,
    USER_END - PAGE,
    0x7000_0000,
    0x7000_1000,
  ];
  const value = pick(random, [...values, random(2 ** 32) * PAGE]);
  return Math.min(Math.max(0, value), USER_END);
};
const anyFrame = (trace: DecodedTrace, random: Random): TraceFrame => pick(random, trace.frames);
const anyTid = (trace: DecodedTrace, random: Random): number =>
  pick(random, [anyFrame(trace, random).tid, anyFrame(trace, random).tid + 1, 1, 2 ** 31 - 1]);

export const decodedChanges: Record<string, Change> = {
  register: (trace, random) => {
    const frame = anyFrame(trace, random);
    const word = random(2 * REGISTER_COUNT);
    frame.registers[word] = wild(random, frame.registers[word]);
    return `frame ${frame.frameTime}: register word ${word} = ${frame.registers[word]}`;
  },
  write: (trace, random) => {
    const frame = pick(
      random,
      trace.frames.filter((each) => each.memWriteCount > 0),
    );
    if (!frame) return null;
    const write = frame.memWrites[random(frame.memWriteCount)];
    switch (random(4)) {
      case 0:
        write.addressLow = wild(random, write.addressLow);
        break;
      case 1:
        write.addressHigh = wild(random, write.addressHigh);
        break;
      case 2:
        write.size = wildSize(random, write.size);
        break;
      default:
        write.tid = anyTid(trace, random);
    }
    return `frame ${frame.frameTime}: a write of ${write.size} for ${write.tid}`;
  },
  mapping: (trace, random) => {
    const record = pick(random, trace.mappings);
    switch (random(6)) {
      case 0:
        record.start = Math.min(wildPage(random, record.start), record.end);
        break;
      case 1:
        record.end = Math.max(wildPage(random, record.end), record.start);
        break;
      case 2:
        record.prot = wild(random, record.prot) | 0;
        break;
      case 3:
        record.flags = wild(random, record.flags) | 0;
        break;
      case 4:
        record.fileOffsetBytes = wildSize(random, record.fileOffsetBytes);
        break;
      default:
        record.source = pick(random, trace.mappings).source;
    }
    record.statSize = random(4) === 0 ? wildSize(random, record.statSize) : record.statSize;
    return `a mapping of frame ${record.frameTime}: ${record.start.toString(16)}-${record.end.toString(16)}`;
  },
  record: (trace, random) => {
    const list: { frameTime: number }[] = random(2) ? trace.mappings : trace.taskEvents;
    if (list.length === 0) return null;
    const at = random(list.length);
    const [record] = random(2) ? list.splice(at, 1) : [list[at]];
    if (random(2)) record.frameTime += random(3) - 1;
    if (random(3) === 0) list.splice(at, 0, structuredClone(record));
    return `a record of frame ${record.frameTime} moved, doubled or lost`;
  },
  taskEvent: (trace, random) => {
    const event = pick(random, trace.taskEvents);
    event.tid = anyTid(trace, random);
    if (event.kind === 'clone') {
      event.flags = wild(random, event.flags) | 0;
      event.parentTid = anyTid(trace, random);
    }
    return `task event of frame ${event.frameTime}`;
  },
  tid: (trace, random) => {
    const frame = anyFrame(trace, random);
    frame.tid = anyTid(trace, random);
    return `frame ${frame.frameTime} of task ${frame.tid}`;
  },
  kind: (trace, random) => {
    const frame = anyFrame(trace, random);
    frame.kind = pick(random, Object.values(EventKind));
    frame.syscallState = pick(random, Object.values(SyscallState));
    frame.inSyscallbufSyscallHook = random(4) === 0 ? BigInt(random(2 ** 32)) : 0n;
    return `frame ${frame.frameTime} becomes kind ${frame.kind}, state ${frame.syscallState}`;
  },
  number: (trace, random) => {
    const frame = anyFrame(trace, random);
    frame.syscallNumber = pick(random, [
      random(450),
      1000 + random(14),
      -1,
      9,
      10,
      11,
      12,
      25,
      28,
      56,
      57,
      59,
      158,
    ]);
    return `frame ${frame.frameTime}: system call ${frame.syscallNumber}`;
  },
  ticks: (trace, random) => {
    const frame = anyFrame(trace, random);
    frame.ticks = wildSize(random, frame.ticks);
    return `frame ${frame.frameTime}: ${frame.ticks} ticks`;
  },
  drop: (trace, random) => {
    const [frame] = trace.frames.splice(random(trace.frames.length), 1);
    return `frame ${frame.frameTime} lost`;
  },
  double: (trace, random) => {
    const at = random(trace.frames.length);
    trace.frames.splice(random(trace.frames.length), 0, trace.frames[at]);
    return `frame ${trace.frames[at].frameTime} doubled`;
  },
  swap: (trace, random) => {
    const { frames } = trace;
    const at = random(frames.length - 1);
    [frames[at], frames[at + 1]] = [frames[at + 1], frames[at]];
    return `frames ${at} and ${at + 1} change places`;
  },
  vectors: (trace, random) => {
    const frame = pick(
      random,
      trace.frames.filter((each) => each.extraRegisters),
    );
    const image = frame?.extraRegisters;
    if (!image) return null;
    for (let n = 1 + random(4); n > 0; n--)
      image[random(2) ? 512 + random(Math.min(64, image.length - 512)) : random(image.length)] = random(256);
    return `vector state of frame ${frame.frameTime}`;
  },
};

/** Changes to the processor: only for machines that use it. */
export const headerChanges: Record<string, Change> = {
  cpuid: (trace, random) => {
    const record = pick(random, trace.header.cpuidRecords);
    const field = pick(random, ['eax', 'ebx', 'ecx', 'edx', 'eaxIn', 'ecxIn'] as const);
    record[field] = wild(random, record[field]);
    return `CPUID ${record.eaxIn}, ${field}`;
  },
  xcr0: (trace, random) => {
    trace.header.xcr0 = pick(random, [0n, 1n, 3n, 5n, 7n, 0x207n, 0xe7n, 2n ** 63n]);
    return `xcr0 ${trace.header.xcr0}`;
  },
};

/** One to three changes; returns their descriptions. The trace keeps at least two frames. */
export function mutateDecoded(trace: DecodedTrace, random: Random, changes: Record<string, Change>): string {
  const done: string[] = [];
  for (let n = 1 + random(3); n > 0; n--) {
    if (trace.frames.length < 3 || trace.mappings.length < 2 || trace.taskEvents.length < 1) break;
    const what = changes[pick(random, Object.keys(changes))](trace, random);
    if (what) done.push(what);
  }
  trace.frames.forEach((frame, index) => (frame.frameTime = index + 1));
  return done.join('; ');
}
