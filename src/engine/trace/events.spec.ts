import { describe, expect, it } from 'vitest';
import type { StructBuilder } from '../../../test/trace/message-builder.js';
import { addWrites, frameMessage } from '../../../test/trace/trace-builder.js';
import { MessageBuilder } from '../../../test/trace/message-builder.js';
import { getRegister, Reg } from '../base/registers.js';
import { FrameDecoder } from './events.js';
import { EventKind, TraceFrame } from './frame.js';
import { MessageStream } from './messages.js';

function decode(packed: Uint8Array, frame = new TraceFrame(), dataStart = 0): TraceFrame {
  const chunks = [packed];
  const stream = new MessageStream({ next: () => chunks.shift() ?? null, describe: () => 'events' }, 'frame');
  stream.next();
  new FrameDecoder(stream.message, 832).decode(frame, 7, dataStart);
  return frame;
}

const made = (tag: number, fields?: (frame: StructBuilder) => void): TraceFrame =>
  decode(frameMessage(tag, fields));

const extraOf = (tag: number, fields: (frame: StructBuilder) => void): unknown =>
  made(EventKind.syscall, (frame) => fields(frame.u16(34, tag))).extra;

describe('a frame', () => {
  it('has its common fields and registers', () => {
    const frame = made(EventKind.instructionTrap, (fields) => fields.u64(8, 2 ** 40).i32(0, 31833));
    expect(frame).toMatchObject({
      frameTime: 7,
      tid: 31833,
      ticks: 2 ** 40,
      monotonicSec: 1.5,
      arch: 1,
      kind: 0,
      hasRegisters: true,
    });
    expect(getRegister(frame.registers, Reg.gs)).toBe(0x0101_0101_0101_0101n);
    expect([frame.extraRegisters, frame.memWriteCount]).toEqual([null, 0]);
  });

  it('widens registers of an i386 task', () => {
    const message = new MessageBuilder();
    const fields = message.root(7, 5).i32(0, 1).u16(6, EventKind.sched);
    fields
      .struct(1, 0, 1)
      .bytes(0, new Uint8Array(new Uint32Array(17).map((_, i) => 0xf000_0000 + i).buffer));
    const { registers, arch } = decode(message.packed());
    expect(arch).toBe(0);
    const read = [Reg.rbx, Reg.rax, Reg.orig_rax, Reg.rip, Reg.rsp, Reg.ss, Reg.r8].map((slot) =>
      getRegister(registers, slot),
    );
    expect(read.map(Number)).toEqual([0, 6, 11, 12, 15, 16].map((i) => 0xf000_0000 + i).concat(0));
  });

  it('has memory writes with their places in the data stream', () => {
    const packed = frameMessage(EventKind.exit, (frame) =>
      addWrites(frame, [
        {
          address: 0x7fff_0000_1000,
          size: 0x2000,
          holes: [
            [0, 0x800],
            [0x1000, 0x1000],
          ],
        },
        { address: 0xffff_ffff_ffff_fff8n, size: 0 },
        { address: 0, size: 5 },
      ]),
    );
    const frame = decode(packed, new TraceFrame(), 1000);
    expect(frame.memWriteCount).toBe(3);
    expect(frame.memWrites[0]).toEqual({
      tid: 100,
      addressLow: 0x1000,
      addressHigh: 0x7fff,
      size: 0x2000,
      sizeIsConservative: false,
      holes: [0, 0x800, 0x1000, 0x1000],
      holeBytes: 0x1800,
      dataOffset: 1000,
    });
    expect(frame.memWrites[1]).toMatchObject({
      addressLow: 0xffff_fff8,
      addressHigh: 0xffff_ffff,
      dataOffset: 1000 + 0x800,
    });
    expect(frame.memWrites[2]).toMatchObject({ dataOffset: 1000 + 0x800, size: 5 });
    expect(frame.dataEnd).toBe(1000 + 0x800 + 5);
    const [write] = frame.memWrites;
    decode(
      frameMessage(EventKind.exit, (next) => addWrites(next, [{ address: 1, size: 1 }])),
      frame,
    );
    expect(frame.memWrites[0], 'refilled, not replaced').toBe(write);
    expect(write).toMatchObject({ holes: [], holeBytes: 0, dataOffset: 0 });
  });

  it('has extra registers of the size that CPUID says', () => {
    const image = new Uint8Array(832).fill(3);
    expect(made(EventKind.sched, (frame) => frame.struct(2, 0, 1).bytes(0, image)).extraRegisters).toEqual(
      image,
    );
    const wrong = (): unknown =>
      made(EventKind.sched, (frame) => frame.struct(2, 0, 1).bytes(0, new Uint8Array(831)));
    expect(wrong).toThrow(/831 bytes, expected 832/);
  });
});

describe('a system call', () => {
  it('has its number, state and flags', () => {
    const frame = made(EventKind.syscall, (fields) => fields.u16(24, 1).u16(26, 2).i32(28, -1).bit(256));
    expect(frame).toMatchObject({
      syscallArch: 1,
      syscallState: 2,
      syscallNumber: -1,
      failedDuringPreparation: true,
    });
    expect(frame.extra).toEqual({ kind: 'none' });
  });

  it('has one of five kinds of extra information', () => {
    expect(extraOf(1, (f) => f.u64(40, -2n))).toEqual({ kind: 'writeOffset', offset: -2n });
    expect(extraOf(2, (f) => f.int32s(3, [3, 5, -1]))).toEqual({ kind: 'execFdsToClose', fds: [3, 5, -1] });
    const opened = extraOf(3, (f) => {
      f.structs(3, 2, 3, 1).forEach((fd, i) =>
        fd
          .i32(0, 3 + i)
          .u64(8, 64768)
          .u64(16, 2n ** 60n)
          .bytes(0, `/tmp/${i}`),
      );
    });
    expect(opened).toEqual({
      kind: 'openedFds',
      fds: [0, 1].map((i) => ({ fd: 3 + i, device: 64768n, inode: 2n ** 60n, path: `/tmp/${i}` })),
    });
    const sockets = extraOf(4, (f) =>
      f.bytes(3, new Uint8Array(128).fill(1)).bytes(4, new Uint8Array(128).fill(2)),
    );
    expect(sockets).toEqual({
      kind: 'socketAddrs',
      local: new Uint8Array(128).fill(1),
      remote: new Uint8Array(128).fill(2),
    });
    const ranges = extraOf(5, (f) => f.structs(3, 1, 2, 0)[0].u64(0, 0x1000).u64(8, 0x3000));
    expect(ranges).toEqual({ kind: 'madviseRanges', ranges: [{ start: 0x1000n, end: 0x3000n }] });
  });
});

describe('other events', () => {
  it('signals have a siginfo', () => {
    const siginfo = Uint8Array.from({ length: 128 }, (_, i) => i);
    const signal = (bytes: Uint8Array): TraceFrame =>
      made(EventKind.signalHandler, (f) => f.struct(3, 1, 1).u16(0, 1).bit(16).u16(4, 2).bytes(0, bytes));
    expect(signal(siginfo)).toMatchObject({
      kind: 8,
      siginfoArch: 1,
      deterministic: true,
      disposition: 2,
      siginfo,
    });
    expect(() => signal(siginfo.subarray(1))).toThrow(/siginfo has 127 bytes/);
    expect(() => made(EventKind.signal)).toThrow(/no signal/);
  });

  it('flushes have mprotect records, sched a hook address', () => {
    expect(
      made(EventKind.syscallbufFlush, (f) => f.bytes(3, new Uint8Array(48))).mprotectRecords,
    ).toHaveLength(48);
    expect(() => made(EventKind.syscallbufFlush, (f) => f.bytes(3, new Uint8Array(47)))).toThrow(/cut off/);
    expect(made(EventKind.sched, (f) => f.u64(48, 0x7fff_ffff_f000)).inSyscallbufSyscallHook).toBe(
      0x7fff_ffff_f000n,
    );
  });

  it.each(Object.entries(EventKind).filter(([name]) => !name.startsWith('signal')))('%s', (_name, kind) => {
    expect(made(kind).kind).toBe(kind);
  });
});

describe('a frame is refused with', () => {
  it.each<[string, number, (frame: StructBuilder) => unknown, RegExp]>([
    ['an event that is not defined', 15, () => 0, /event kind 15/],
    ['tid 0', 0, (f) => f.i32(0, 0), /tid is 0/],
    ['a negative tick count', 0, (f) => f.u64(8, -1n), /ticks is 18446744073709551615/],
    ['another architecture', 0, (f) => f.u16(4, 2), /arch is 2/],
    ['a state that is not defined', 11, (f) => f.u16(26, 3), /state of a system call is 3/],
    ['extra information that is not defined', 11, (f) => f.u16(34, 6), /extra information 6/],
    ['a socket address too long', 11, (f) => f.u16(34, 4).bytes(3, new Uint8Array(129)), /129 bytes/],
    [
      'short registers',
      0,
      (f) => f.struct(1, 0, 1).bytes(0, new Uint8Array(215)),
      /registers have 215 bytes/,
    ],
    ['no registers where they are needed', 4, (f) => f.struct(1, 0, 1), /has no registers/],
    ['a huge write', 9, (f) => addWrites(f, [{ address: 0, size: 2 ** 53 }]), /size of a memory write/],
    ['a hole beyond its write', 9, (f) => addWrites(f, [{ address: 0, size: 9, holes: [[5, 5]] }]), /holes/],
    [
      'holes that overlap',
      9,
      (f) =>
        addWrites(f, [
          {
            address: 0,
            size: 99,
            holes: [
              [5, 5],
              [9, 1],
            ],
          },
        ]),
      /holes/,
    ],
  ])('%s', (_name, tag, fields, problem) => {
    const read = (): unknown => made(tag, (frame) => void fields(frame));
    expect(read).toThrow(expect.objectContaining({ code: 'E_TRACE_CORRUPT' }));
    expect(read).toThrow(/^events, decompressed byte \d+, frame 1: /);
    expect(read).toThrow(problem);
  });
});
