import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { frameMessage, registersImage, writeTrace } from '../../../test/trace/trace-builder.js';
import type { StructBuilder } from '../../../test/trace/message-builder.js';
import { Sys } from '../base/linux.js';
import { Reg } from '../base/registers.js';
import { BlockFile } from './chunk.js';
import { FrameDecoder, FrameHead } from './events.js';
import { Arch, EventKind, SyscallState, TraceFrame } from './frame.js';
import { MessageStream } from './messages.js';
import { TraceReader } from './reader.js';
import { FileSource } from './source.js';
import { traceUse, USE_BLOCK, type TraceUse } from './use.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'use-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));
let made = 0;

const sample = (name: string): string => path.resolve(import.meta.dirname, '../../../traces', name);

function useOf(trace: string): TraceUse {
  const reader = TraceReader.open(trace);
  try {
    reader.advance();
    const use = traceUse(reader);
    expect(reader.frameTime).toBe(1);
    return use;
  } finally {
    reader.close();
  }
}

it("finds segments of the program's own", () => {
  expect(useOf(sample('haswell/ldt'))).toMatchObject({
    ownSegments: { frameTime: 113, tid: 118 },
    code32: null,
  });
  expect(useOf(sample('haswell/tracer'))).toMatchObject({ ownSegments: null, code32: null });
});

it('knows where something was mapped', () => {
  const { mapped } = useOf(sample('zen2/hello-static'));
  const at = (address: number): number => mapped[Math.floor(address / USE_BLOCK)];
  expect(at(0x40_0000)).toBe(1);
  expect(at(0x2a00_0000_0000)).toBe(0);
  expect(mapped.reduce((sum, block) => sum + block, 0)).toBeLessThan(10);
});

/** A system call's frame; `registers` by slot. */
const call = (
  number: number,
  registers: Record<number, number>,
  state: number = SyscallState.exiting,
): Uint8Array =>
  frameMessage(EventKind.syscall, (frame) => {
    const words = new Int32Array(54);
    for (const [slot, value] of Object.entries(registers)) words.set([value, value >> 31], 2 * Number(slot));
    frame.u16(24, Arch.x8664).u16(26, state).i32(28, number);
    frame.struct(1, 0, 1).bytes(0, new Uint8Array(words.buffer));
  });
const other = frameMessage(EventKind.sched);
const use = (...events: Uint8Array[]): TraceUse => {
  const trace = writeTrace(path.join(folder, `trace-${made++}`), { events, blockBytes: 300 });
  return useOf(trace);
};
const NOTHING = { ownSegments: null, ownKeys: null, code32: null };
const { pkey_mprotect, modify_ldt, set_thread_area } = Sys;

it.each([
  ['no frame', []],
  ['a key by a call that failed', [call(pkey_mprotect, { [Reg.rax]: -22, [Reg.r10]: 1 })]],
  ['key 0 and no key', [0, -1].map((key) => call(pkey_mprotect, { [Reg.r10]: key }))],
  ['a call that has not returned', [call(pkey_mprotect, { [Reg.r10]: 1 }, SyscallState.entering)]],
  ['modify_ldt that reads', [0, 2].map((operation) => call(modify_ldt, { [Reg.rdi]: operation }))],
])('finds nothing in %s', (_what, events) => expect(use(other, ...events, other)).toMatchObject(NOTHING));

it.each([
  ['ownKeys', call(pkey_mprotect, { [Reg.r10]: 1 })],
  ['ownSegments', call(modify_ldt, { [Reg.rdi]: 1 })],
  ['ownSegments', call(modify_ldt, { [Reg.rdi]: 0x11 })],
  ['ownSegments', call(set_thread_area, {})],
  [
    'code32',
    frameMessage(EventKind.syscall, (frame) => frame.u16(24, Arch.x86).u16(26, SyscallState.entering)),
  ],
  [
    'code32',
    frameMessage(EventKind.sched, (frame: StructBuilder) =>
      frame.u16(4, Arch.x86).struct(1, 0, 1).bytes(0, registersImage().subarray(0, 68)),
    ),
  ],
])('finds the first of %s', (key, frame) => {
  const place = { frameTime: 3, tid: 100 };
  expect(use(other, other, frame, other, frame)).toMatchObject({ ...NOTHING, [key]: place });
});

it('finds what is before a damaged frame', () => {
  const frame = call(set_thread_area, {});
  expect(use(frame, frame.subarray(0, 12))).toMatchObject({ ownSegments: { frameTime: 1 } });
});

it.each(['haswell/ldt', 'skylake-pku/xsave', 'zen2/race', 'zen2/spawn'])(
  'the heads of %s say what its frames do',
  (name) => {
    const source = FileSource.open(path.join(sample(name), 'events'));
    const stream = MessageStream.of(new BlockFile(source, false), 'frame');
    const [head, frame] = [new FrameHead(), new TraceFrame()];
    const decoder = new FrameDecoder(stream.message, 0);
    while (stream.nextOrSkip(FrameHead.words, () => head.read(stream.message))) {
      decoder.decode(frame, stream.ordinal, 0);
      const { arch, kind } = frame;
      expect(head).toMatchObject({ arch, kind });
      const { syscallArch, syscallState, syscallNumber } = frame;
      if (kind === EventKind.syscall)
        expect(head).toMatchObject({ syscallArch, syscallState, syscallNumber });
    }
    expect(stream.ordinal).toBeGreaterThan(100);
    source.close();
  },
);
