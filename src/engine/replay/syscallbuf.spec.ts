import { describe, expect, it } from 'vitest';
import { gpa, type Gva } from '../base/address.js';
import { Reg, getUnsigned, newRegisters, setSigned } from '../base/registers.js';
import { GuestMemory } from '../kvm/guest-memory.js';
import { AddressSpace } from '../mm/address-space.js';
import { Prot } from '../mm/vma.js';
import { FdTable } from '../task/fd-table.js';
import { Task, ThreadGroup } from '../task/task.js';
import type { MemWrite, TraceFrame } from '../trace/frame.js';
import type { ReplayCore } from './core.js';
import { RR_PAGE, RR_PAGE_BREAKPOINT_VALUE } from './layout.js';
import { finishFlush, initPreload, prepareFlush, resetBuffer } from './syscallbuf.js';

const GLOBALS = 0x10_0000 as Gva;
const BUFFER = 0x20_0000 as Gva;
const PARAMETERS = 0x30_0000 as Gva;
const RIP = 0x40_0000;
/** What writers of two ages say in their headers (notes 2.8). */
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

  it('tells the library in its globals that it is replayed only where it looks there', () => {
    const { core, frame, space, task } = setUp(writer, image(size, ''));
    initPreload(core, task, frame);
    expect(task.preload).toMatchObject({ globals: GLOBALS, breakpointInstruction: 0x1234 });
    expect(space.readExactly(GLOBALS, 1, 'test')[0]).toBe(inReplay);
  });

  it('puts records behind the live header, and the breakpoint value where the library reads it', () => {
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
