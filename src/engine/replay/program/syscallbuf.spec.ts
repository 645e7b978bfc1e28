import { describe, expect, it } from 'vitest';
import { gpa, type Gva } from '../../base/address.js';
import { Sys } from '../../base/linux.js';
import { Reg, getUnsigned, newRegisters, setSigned } from '../../base/registers.js';
import { GuestMemory } from '../../kvm/guest-memory.js';
import { AddressSpace } from '../../mm/address-space.js';
import { Prot } from '../../mm/vma.js';
import { FdTable } from '../../task/fd-table.js';
import { Task, ThreadGroup } from '../../task/task.js';
import type { MemWrite, TraceFrame } from '../../trace/frame.js';
import type { ReplayCore } from '../state/core.js';
import { RECORD_ONLY_CODE, RR_PAGE, RR_PAGE_BREAKPOINT_VALUE } from '../../guest/rr-abi.js';
import { finishFlush, initPreload, prepareFlush, resetBuffer } from './syscallbuf.js';
import { noteBuffered } from '../run/untraced.js';

const GLOBALS = 0x10_0000 as Gva;
const BUFFER = 0x20_0000 as Gva;
const PARAMETERS = 0x30_0000 as Gva;
const RIP = 0x40_0000;
/** What writers of two ages say in their headers (rr-traces.md 2.8). */
const WRITERS = {
  '5.6.0': { usesGlobalsInReplay: true, syscallbufFdsDisabledSize: 1024, syscallbufHdrSize: 30 },
  HEAD: { usesGlobalsInReplay: false, syscallbufFdsDisabledSize: 16384, syscallbufHdrSize: 32 },
};

function setUp(writer: keyof typeof WRITERS, image: Buffer) {
  const { usesGlobalsInReplay, ...sizes } = WRITERS[writer];
  const memory = new GuestMemory(new ArrayBuffer(2 ** 21), gpa(0x40000), 2 ** 20);
  const space = new AddressSpace(memory, { low: 0, high: 0 });
  for (const [start, pages] of [
    [GLOBALS, 12] as const,
    [BUFFER, 2] as const,
    [PARAMETERS, 1] as const,
    [RR_PAGE, 1] as const,
  ]) {
    const end = (start + pages * 4096) as Gva;
    space.map({ start, end, prot: Prot.read, backing: null, offset: 0, name: '', file: null });
  }
  const task = new Task(7, 1, space, new FdTable(), new ThreadGroup(7, null));
  task.threadLocals = memory.allocate();
  task.syscallbuf = BUFFER;
  task.syscallbufSize = 8192;
  const registers = newRegisters();
  setSigned(registers, Reg.rip, RIP);
  setSigned(registers, Reg.rdi, PARAMETERS);
  const core = {
    header: { ...sizes, quirks: { usesGlobalsInReplay } },
    trace: { readWrite: (_: MemWrite, offset: number, into: Uint8Array) => image.copy(into, 0, offset) },
    registers: () => registers,
    threadLocals: () => new DataView(memory.bytes.buffer, task.threadLocals, 4096),
    applyMemWrites: () => {},
    copyFromTrace: (_task: Task, start: number, _write: MemWrite, offset: number, size: number) =>
      space.write(start as Gva, image.subarray(offset, offset + size)),
  } as unknown as ReplayCore;
  const frame = {
    frameTime: 1,
    registers,
    memWriteCount: 1,
    memWrites: [{ size: image.length }],
  } as unknown as TraceFrame;
  space.write((PARAMETERS + 64) as Gva, Buffer.from(new BigUint64Array([BigInt(GLOBALS), 0x1234n]).buffer));
  return { core, frame, registers, space, task };
}

/** A buffer image: header of `size` bytes that counts the records, then the records. */
function image(size: number, records: string): Buffer {
  const header = Buffer.alloc(size, 0xee);
  header.writeUInt32LE(records.length);
  return Buffer.concat([header, Buffer.from(records)]);
}

describe.each([
  { writer: '5.6.0' as const, value: (GLOBALS + 24016 + 1024) as Gva, inReplay: 1 },
  { writer: 'HEAD' as const, value: RR_PAGE_BREAKPOINT_VALUE, inReplay: 0 },
])('the syscall buffer of a trace by $writer', ({ writer, value, inReplay }) => {
  const size = WRITERS[writer].syscallbufHdrSize;

  it('sets the in-replay flag in the globals only if the library reads it there', () => {
    const { core, frame, space, task } = setUp(writer, image(size, ''));
    initPreload(core, task, frame);
    expect(task.preload).toMatchObject({ globals: GLOBALS, breakpointInstruction: 0x1234 });
    expect(space.readExactly(GLOBALS, 1, 'test')[0]).toBe(inReplay);
  });

  it('copies records after the live header, and sets the breakpoint value where the library reads it', () => {
    const { core, frame, registers, space, task } = setUp(writer, image(size, 'sixteen bytes...'));
    initPreload(core, task, frame);
    prepareFlush(core, task, frame);
    expect(space.readU32(BUFFER, 'test')).toBe(0);
    expect(Buffer.from(space.readExactly((BUFFER + size) as Gva, 16, 'test')).toString()).toBe(
      'sixteen bytes...',
    );
    expect(space.readU64(value, 'test')).toBe(2n);
    finishFlush(core, task, frame);
    expect(space.readU64(value, 'test')).toBe(2n ** 64n - 1n);
    expect(getUnsigned(registers, Reg.rip)).toBe(RIP + 3);
  });

  it('has each call noticed while the task has output that the recorder does not follow', () => {
    const { core, frame, registers, space, task } = setUp(writer, Buffer.alloc(0));
    initPreload(core, task, frame);
    const shown: string[] = [];
    Object.assign(core, {
      canonicaliseSyscall: () => {},
      output: (stream: number, bytes: Uint8Array) => shown.push(`${stream}:${Buffer.from(bytes).toString()}`),
    });
    const slot = (): string =>
      Buffer.from(space.readExactly((RR_PAGE + 12) as Gva, 2, 'test')).toString('hex');
    space.write((RR_PAGE + 12) as Gva, RECORD_ONLY_CODE);
    space.write((PARAMETERS + 256) as Gva, Buffer.from('hello'));
    task.fds.attach(5, { kind: 'stream', stream: 2, unframed: true });
    /** The library makes the call that the buffer's only record is of. */
    const flush = (number: number, result: number, args: number[], made = number): void => {
      const record = Buffer.alloc(16);
      record.writeBigInt64LE(BigInt(result));
      record.writeUInt16LE(number, 8);
      space.write((BUFFER + size) as Gva, record);
      setSigned(registers, Reg.rax, made);
      args.forEach((value, index) => setSigned(registers, [Reg.rdi, Reg.rsi, Reg.rdx][index], value));
      noteBuffered(core, task);
      expect(getUnsigned(registers, Reg.rax)).toBe(0);
    };
    const prepare = (): void =>
      prepareFlush(core, task, { ...frame, memWrites: [{ size }] } as unknown as TraceFrame);
    Object.assign(core, { copyFromTrace: () => 0, trace: { readWrite: () => {} } });
    prepare();
    expect(slot()).toBe('0f05');
    flush(Sys.write, 4, [5, PARAMETERS + 256, 5]);
    flush(Sys.write, -11, [5, PARAMETERS + 256, 5]);
    flush(Sys.write, 5, [6, PARAMETERS + 256, 5]);
    flush(Sys.close, 5, [5, PARAMETERS + 256, 5], Sys.write);
    expect(shown).toEqual(['2:hell']);
    flush(Sys.dup, 6, [5]);
    flush(Sys.close, 0, [5]);
    prepare();
    expect(slot()).toBe('0f05');
    flush(Sys.close, 0, [6]);
    prepare();
    expect(slot()).toBe('31c0');
  });

  it('adopts a buffered rseq registration only where one can be', () => {
    const { core, frame, task } = setUp(writer, image(size, ''));
    initPreload(core, task, frame);
    const locals = core.threadLocals(task);
    locals.setBigUint64(128, 0x5000n, true);
    locals.setUint32(136, 32, true);
    locals.setUint32(140, 0x53053053, true);
    finishFlush(core, task, frame);
    expect(task.rseq).toEqual(writer === 'HEAD' ? { pointer: 0x5000, signature: 0x53053053 } : null);
  });

  it('is emptied with its records, as many as the live header counts', () => {
    const { core, space, task } = setUp(writer, image(size, ''));
    space.write(BUFFER, Buffer.from(Uint32Array.of(8, 1, 1).buffer));
    space.write((BUFFER + size) as Gva, Buffer.from('recorded, kept'));
    resetBuffer(core, task);
    expect(Buffer.from(space.readExactly((BUFFER + size) as Gva, 14, 'test')).toString()).toBe(
      `${'\0'.repeat(8)}, kept`,
    );
    expect(Buffer.from(space.readExactly(BUFFER, 12, 'test'))).toEqual(Buffer.alloc(12));
  });
});

describe('a flush without a buffer image', () => {
  it('is refused, and so is an image larger than the buffer', () => {
    const { core, frame, task } = setUp('5.6.0', image(30, 'x'.repeat(10_000)));
    expect(() => prepareFlush(core, task, frame)).toThrow(/for a buffer of 8192/);
    expect(() => prepareFlush(core, task, { ...frame, memWriteCount: 0 } as TraceFrame)).toThrow(
      /without a buffer image/,
    );
  });
});
