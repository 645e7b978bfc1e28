import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { StructBuilder } from '../../../test/trace/message-builder.js';
import { MessageBuilder } from '../../../test/trace/message-builder.js';
import type { TraceParts } from '../../../test/trace/trace-builder.js';
import { addWrites, frameMessage, writeTrace } from '../../../test/trace/trace-builder.js';
import { EventKind } from './frame.js';
import { MAX_PEEK, TraceReader, type BackingFile, type OpenOptions } from './reader.js';
import { listFiles } from './source.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'reader-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));
let made = 0;

const write = (parts: TraceParts): string => writeTrace(path.join(folder, `trace-${made++}`), parts);
const open = (parts: TraceParts): TraceReader => TraceReader.open(write(parts));
const sampleFolder = path.resolve(import.meta.dirname, '../../../traces/zen2/hello-static');

const frames = (count: number): Uint8Array[] =>
  Array.from({ length: count }, (_, i) => frameMessage(EventKind.sched, (frame) => frame.u64(8, i + 1)));

function mmap(frameTime: number, fields: (map: StructBuilder) => void = () => {}): Uint8Array {
  const message = new MessageBuilder();
  const map = message.root(11, 3).u64(0, frameTime).u64(8, 0x1000).u64(16, 0x3000);
  fields(map);
  return message.packed();
}

const backedBy = (name: string) => (map: StructBuilder) => void map.u16(68, 2).bytes(1, name);

function taskEvent(
  frameTime: number,
  tag: number,
  fields: (event: StructBuilder) => void = () => {},
): Uint8Array {
  const message = new MessageBuilder();
  fields(message.root(5, 4).u64(0, frameTime).i32(8, 42).u16(24, tag));
  return message.packed();
}

const code = (expected: string): Error => expect.objectContaining({ code: expected }) as Error;

describe('frames', () => {
  it('come in order, from a ring', () => {
    const reader = open({ events: frames(20), blockBytes: 300 });
    expect(reader.frameTime).toBe(0);
    for (let i = 1; i <= 20; i++) {
      expect(reader.advance()).toMatchObject({ frameTime: i, ticks: i });
      expect(reader.frameTime).toBe(i);
    }
    expect([reader.advance(), reader.advance()]).toEqual([null, null]);
    expect(reader.frameTime).toBe(20);
    reader.close();
  });

  it('can be peeked at without being consumed', () => {
    const reader = open({ events: frames(10) });
    expect([1, 4, 2].map((k) => reader.peek(k)?.ticks)).toEqual([1, 4, 2]);
    const current = reader.advance();
    expect([4, 1].map((k) => reader.peek(k)?.ticks)).toEqual([5, 2]);
    expect(current?.ticks, 'the current frame is not overwritten').toBe(1);
    for (let i = 2; i <= 8; i++) reader.advance();
    expect([1, 2, 3, 4].map((k) => reader.peek(k)?.ticks)).toEqual([9, 10, undefined, undefined]);
    expect(reader.advance()?.ticks).toBe(9);
    expect(() => reader.peek(MAX_PEEK + 1)).toThrow(code('E_INTERNAL'));
    reader.close();
  });

  it('that are damaged do not hide those before them', () => {
    const reader = open({ events: [...frames(3), frameMessage(15)] });
    expect(reader.advance()?.ticks).toBe(1);
    expect(reader.peek(3)).toBeNull();
    expect([reader.advance()?.ticks, reader.advance()?.ticks]).toEqual([2, 3]);
    for (const _ of [1, 2])
      expect(() => reader.advance()).toThrow(/events: block at byte 0.*frame 4: event kind 15/);
    reader.close();
  });

  it('in a damaged block are named, with file and offset', () => {
    const trace = write({ events: frames(3) });
    const file = path.join(trace, 'events');
    fs.truncateSync(file, fs.statSync(file).size - 1);
    expect(() => TraceReader.open(trace).advance()).toThrow(
      /events: block at byte 0: the file ends inside it .*\. Frame 1 cannot be read\./,
    );
  });

  it('of a sample are those of the format description', () => {
    const reader = TraceReader.open(sampleFolder);
    expect(reader.advance()).toMatchObject({
      ticks: 1,
      kind: EventKind.syscall,
      syscallNumber: 157,
      syscallState: 1,
    });
    let end = 0;
    for (let frame = reader.peek(1); frame !== null; frame = reader.peek(1)) {
      reader.advance();
      for (let map = reader.nextMapping(frame.frameTime); map; map = reader.nextMapping(frame.frameTime));
      end = frame.dataEnd;
    }
    expect(reader.peekMapping(), 'no mapping is left over').toBeNull();
    expect(end).toBe(decompressedSize('data'));
    reader.close();
  });
});

function decompressedSize(name: string): number {
  const file = fs.readFileSync(path.join(sampleFolder, name));
  let size = 0;
  for (let at = 0; at < file.length; at += 8 + file.readUInt32LE(at)) size += file.readUInt32LE(at + 4);
  return size;
}

describe('records', () => {
  it('are consumed by their frame', () => {
    const reader = open({ mmaps: [mmap(2), mmap(2, (map) => map.i32(44, 0x122).bit(560)), mmap(5)] });
    expect(reader.nextMapping(1)).toBeNull();
    expect(reader.nextMapping(2)).toMatchObject({ start: 0x1000, end: 0x3000, source: { kind: 'zero' } });
    expect(reader.nextMapping(2)).toMatchObject({ flags: 0x122, skipMonitoringMappedFd: true });
    expect(reader.nextMapping(2)).toBeNull();
    expect(reader.nextMapping(5)).not.toBeNull();
    expect(reader.nextMapping(5)).toBeNull();
  });

  it('have all their fields', () => {
    const reader = open({
      mmaps: [
        mmap(1, (map) => {
          map
            .bytes(0, '/bin/true')
            .u64(24, 64768)
            .u64(32, 2n ** 63n)
            .i32(40, 5)
            .i32(44, 2)
            .u64(48, 0x4000);
          map
            .i32(56, 0o100755)
            .i32(60, 1)
            .i32(64, 2)
            .u64(72, 12345)
            .u64(80, -1n)
            .u16(68, 2)
            .bytes(1, 'mmap_pack_0_true');
          map.structs(2, 1, 1, 0)[0].i32(0, 77).i32(4, 3);
        }),
      ],
      tasks: [
        taskEvent(1, 0, (event) => event.i32(12, 41).i32(16, 0x1200011).i32(20, 1)),
        taskEvent(2, 1, (event) => {
          event
            .bytes(0, '/bin/true')
            .texts(1, ['true', '', 'x y'])
            .u64(16, 0x401000)
            .u64(32, 2n ** 40n)
            .bytes(2, '/lib/ld.so');
          event.struct(3, 0, 1).bytes(0, Uint8Array.of(1, 2, 3));
        }),
        taskEvent(3, 2, (event) => event.i32(12, 768)),
        taskEvent(4, 3),
      ],
    });
    expect(reader.nextMapping(1)).toEqual({
      frameTime: 1,
      start: 0x1000,
      end: 0x3000,
      fsname: '/bin/true',
      device: 64768n,
      inode: 2n ** 63n,
      prot: 5,
      flags: 2,
      fileOffsetBytes: 0x4000,
      statMode: 0o100755,
      statUid: 1,
      statGid: 2,
      statSize: 12345,
      statMTime: -1,
      source: { kind: 'file', backingFileName: 'mmap_pack_0_true' },
      extraFds: [{ tid: 77, fd: 3 }],
      skipMonitoringMappedFd: false,
    });
    expect(reader.peekTaskEvent()).toEqual({
      frameTime: 1,
      tid: 42,
      kind: 'clone',
      parentTid: 41,
      flags: 0x1200011,
      ownNsTid: 1,
    });
    expect(reader.nextTaskEvent(2), 'skips the earlier one').toEqual({
      frameTime: 2,
      tid: 42,
      kind: 'exec',
      fileName: '/bin/true',
      cmdLine: ['true', '', 'x y'],
      exeBase: 0x401000n,
      interpBase: 2n ** 40n,
      interpName: '/lib/ld.so',
      pacData: Uint8Array.of(1, 2, 3),
    });
    expect(reader.nextTaskEvent(2)).toBeNull();
    expect(reader.nextTaskEvent(3)).toEqual({ frameTime: 3, tid: 42, kind: 'exit', exitStatus: 768 });
    expect(reader.nextTaskEvent(9)).toBeNull();
  });

  it.each<[string, Uint8Array, RegExp]>([
    ['a kernel address', mmap(1, (map) => map.u64(16, 2n ** 47n + 0x1000n)), /not a range of pages/],
    ['an end before its start', mmap(1, (map) => map.u64(8, 0x4000)), /not a range of pages/],
    ['half a page', mmap(1, (map) => map.u64(16, 0x2800)), /not a range of pages/],
    ['a start above 2^53', mmap(1, (map) => map.u64(8, -0x1000n)), /start is .* out of range/],
    ['a huge file offset', mmap(1, (map) => map.u64(48, 2n ** 60n)), /fileOffsetBytes/],
    ['an undefined source', mmap(1, (map) => map.u16(68, 3)), /source 3/],
  ])('of mappings are refused with %s', (_name, record, problem) => {
    const reader = open({ mmaps: [record] });
    for (const _ of [1, 2]) expect(() => reader.nextMapping(1)).toThrow(problem);
    expect(() => reader.nextMapping(1)).toThrow(code('E_TRACE_CORRUPT'));
  });

  it('have to be in order, and task events defined', () => {
    const reader = open({ mmaps: [mmap(5), mmap(4)], tasks: [taskEvent(1, 4)] });
    reader.nextMapping(5);
    expect(() => reader.nextMapping(5)).toThrow(/belongs to frame 4, the one before it to frame 5/);
    expect(() => reader.peekTaskEvent()).toThrow(/task event 4/);
  });
});

describe('data', () => {
  const events = [
    frameMessage(EventKind.exit, (frame) => addWrites(frame, [{ address: 0, size: 3 }])),
    frameMessage(EventKind.exit, (frame) => addWrites(frame, [{ address: 0, size: 9, holes: [[2, 4]] }])),
  ];
  const data = Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8]);

  it('belongs to writes in order', () => {
    const reader = open({ events, data });
    reader.advance();
    const frame = reader.advance();
    const into = new Uint8Array(9);
    reader.readWrite(frame!.memWrites[0], 0, into);
    expect([...into]).toEqual([4, 5, 0, 0, 0, 0, 6, 7, 8]);
  });

  it('that is missing is noticed at the frame that needs it', () => {
    const reader = open({ events, data: data.subarray(0, 7) });
    reader.advance();
    expect(() => reader.advance()).toThrow(
      /data: the stream has 7 bytes, but the writes of frame 2 end at byte 8/,
    );
    expect(() => open({ data }).advance()).toThrow(/events: it is empty, but `data` is not/);
  });

  it('that cannot be decompressed is reported with the frame', () => {
    const trace = write({ events, data });
    fs.writeFileSync(path.join(trace, 'data'), Uint8Array.from([4, 0, 0, 0, 8, 0, 0, 0, 255, 255, 255, 255]));
    const reader = TraceReader.open(trace);
    const frame = reader.advance();
    const read = (): void => reader.readWrite(frame!.memWrites[0], 0, new Uint8Array(3));
    expect(read).toThrow(/data: block at byte 0.*needed at frame 1\./);
  });
});

describe('a trace of a recorder that was killed', () => {
  const events = frames(10);

  it('ends with the last whole frame', () => {
    const trace = write({ version: null, events, blockBytes: 400 });
    const file = path.join(trace, 'events');
    fs.truncateSync(file, fs.statSync(file).size - 2);
    const reader = TraceReader.open(trace);
    expect(reader.incomplete).toBe(true);
    expect(reader.header).toMatchObject({ ok: false, rrcallBase: 1000 });
    let count = 0;
    while (reader.advance() !== null) count++;
    expect(count).toBeGreaterThan(3);
    expect(count).toBeLessThan(10);
    expect([reader.peek(1), reader.nextMapping(1), reader.nextTaskEvent(1)]).toEqual([null, null, null]);
  });

  it('ends before the frame whose data was not written', () => {
    const needy = frameMessage(EventKind.exit, (frame) => addWrites(frame, [{ address: 0, size: 3 }]));
    const reader = open({ version: null, events: [...events, needy], data: new Uint8Array(2) });
    for (let i = 0; i < 10; i++) expect(reader.advance()).not.toBeNull();
    expect(reader.advance()).toBeNull();
  });

  it('may be empty', () => {
    expect(open({ version: null }).advance()).toBeNull();
  });

  it('which was closed after all is not one', () => {
    const trace = write({ events });
    fs.writeFileSync(path.join(trace, 'incomplete'), '85\n');
    expect(TraceReader.open(trace).incomplete).toBe(false);
    fs.truncateSync(path.join(trace, 'events'), fs.statSync(path.join(trace, 'events')).size - 2);
    expect(() => TraceReader.open(trace).advance()).toThrow(code('E_TRACE_CORRUPT'));
  });
});

describe('opening', () => {
  it('reports what is missing', () => {
    expect(() => TraceReader.open(path.join(folder, 'nowhere'))).toThrow(code('E_TRACE_MISSING'));
    expect(() => TraceReader.open(folder)).toThrow(/neither a file `version` nor a file `incomplete`/);
    for (const name of ['events', 'mmaps', 'tasks', 'data']) {
      const trace = write({});
      fs.rmSync(path.join(trace, name));
      expect(() => TraceReader.open(trace)).toThrow(code('E_TRACE_MISSING'));
      expect(() => TraceReader.open(trace)).toThrow(new RegExp(`${name}: ENOENT`));
    }
  });
});

describe('backing files', () => {
  const reading = (name: string, prepare: (trace: string) => void = () => {}): (() => Uint8Array) => {
    const trace = write({ mmaps: [mmap(1, backedBy(name))] });
    prepare(trace);
    const reader = TraceReader.open(trace);
    const record = reader.nextMapping(1)!;
    return () => {
      const file = reader.openBacking(record);
      expect(reader.openBacking(record)).toBe(file);
      const into = new Uint8Array(4);
      return into.subarray(0, file.read(1, into));
    };
  };
  const inside = (trace: string): void => fs.writeFileSync(path.join(trace, 'file'), 'abc');

  it('are read from the trace directory, through links that stay in it', () => {
    expect(Buffer.from(reading('file', inside)()).toString()).toBe('bc');
    const linked = reading(
      'link',
      (trace) => (inside(trace), fs.symlinkSync('file', path.join(trace, 'link'))),
    );
    expect(Buffer.from(linked()).toString()).toBe('bc');
  });

  it.each(['/etc/hostname', '../file', 'a/../../file', '', 'a\0b'])('outside it are refused: %j', (name) => {
    expect(reading(name)).toThrow(code('E_TRACE_PATH'));
  });

  it('through links out of the folder are refused', () => {
    fs.writeFileSync(path.join(folder, 'x'), 'secret');
    for (const target of ['..', folder]) {
      const linked = reading('link/x', (trace) => fs.symlinkSync(target, path.join(trace, 'link')));
      expect(linked).toThrow(code('E_TRACE_PATH'));
    }
    expect(reading('link', (trace) => fs.symlinkSync('/etc/hostname', path.join(trace, 'link')))).toThrow(
      code('E_TRACE_PATH'),
    );
    expect(reading('link', (trace) => fs.symlinkSync('link', path.join(trace, 'link')))).toThrow(/ELOOP/);
  });

  describe('outside of the trace', () => {
    /** A trace whose backing file is a link, in a separate folder with a folder beside it. */
    const linked = (target: string, options: OpenOptions = {}): (() => string) => {
      const around = path.join(folder, `around-${made++}`);
      const trace = writeTrace(path.join(around, 'trace'), { mmaps: [mmap(1, backedBy('link'))] });
      for (const name of [
        'common/mmap_pack_0_it',
        'common/mmap_pack_it',
        'common/deep/mmap_pack_1_it',
        'key',
      ]) {
        fs.mkdirSync(path.dirname(path.join(around, name)), { recursive: true });
        fs.writeFileSync(path.join(around, name), 'abc');
      }
      fs.symlinkSync('../key', path.join(around, 'common/mmap_pack_7_key'));
      fs.symlinkSync(target.replace('AROUND', around), path.join(trace, 'link'));
      const folders = options.fileFolders?.map((name) => path.join(around, name));
      const reader = TraceReader.open(trace, { ...options, fileFolders: folders });
      const record = reader.nextMapping(1)!;
      return () => {
        const into = new Uint8Array(9);
        return Buffer.from(into.subarray(0, reader.openBacking(record).read(0, into))).toString();
      };
    };

    it.each(['../common/mmap_pack_0_it', 'AROUND/common/mmap_pack_0_it'])(
      'what `rr pack --pack-dir` puts beside it is read: %s',
      (target) => {
        expect(linked(target)()).toBe('abc');
      },
    );

    it.each([
      ['a file beside the trace', '../key'],
      ['a file in the shared folder that rr does not make', '../common/mmap_pack_it'],
      ['a link there to another file', '../common/mmap_pack_7_key'],
      ['a folder further down', '../common/deep/mmap_pack_1_it'],
      ['any other file', '/etc/hostname'],
    ])('%s is not', (_what, target) => {
      expect(linked(target)).toThrow(code('E_TRACE_PATH'));
      expect(linked(target)).toThrow(/a symbolic link to ".*", outside the trace directory/);
    });

    it('files of folders that the user names are', () => {
      expect(linked('../key', { fileFolders: ['.'] })()).toBe('abc');
      expect(linked('../common/mmap_pack_7_key', { fileFolders: ['.'] })()).toBe('abc');
      expect(linked('../key', { fileFolders: ['common'] })).toThrow(code('E_TRACE_PATH'));
      expect(linked('../common/mmap_pack_7_key', { fileFolders: ['common'] })).toThrow(code('E_TRACE_PATH'));
      expect(() => linked('../key', { fileFolders: ['none'] })).toThrow(/No folder at .*none: ENOENT/);
    });

    it('names that begin as a folder do not lie in it', () => {
      const around = path.join(folder, `prefix-${made++}`);
      const trace = writeTrace(path.join(around, 'trace'), { mmaps: [mmap(1, backedBy(`${around}/ab/x`))] });
      for (const name of ['a', 'ab']) fs.mkdirSync(path.join(around, name));
      fs.writeFileSync(path.join(around, 'ab/x'), 'abc');
      const open = (name: string): BackingFile => {
        const reader = TraceReader.open(trace, { fileFolders: [path.join(around, name)] });
        return reader.openBacking(reader.nextMapping(1)!);
      };
      expect(() => open('a')).toThrow(code('E_TRACE_PATH'));
      expect(open('ab').size).toBe(3);
    });

    it('any file is where the trace is said to be of this machine', () => {
      const told: string[] = [];
      expect(linked('../key', { onForeignFile: (text) => told.push(text) })()).toBe('abc');
      expect(told).toEqual([
        expect.stringMatching(/^"link" is not the file that was recorded: size was 0, is 3\./),
      ]);
    });
  });

  it('have names of any bytes', () => {
    const bytes = Buffer.from('caf\xe9 \xff', 'latin1');
    const trace = write({ mmaps: [mmap(1, (map) => void map.u16(68, 2).bytes(1, bytes))] });
    fs.writeFileSync(Buffer.concat([Buffer.from(`${trace}/`), bytes]), 'abc');
    const reader = TraceReader.open(trace);
    const file = reader.openBacking(reader.nextMapping(1)!);
    expect(file.size).toBe(3);
    expect(file.name).toBe('caf\udce9 \udcff');
    expect(listFiles(trace)).toContainEqual({ name: file.name, size: 3 });
    expect(reading('absent\x1b')).toThrow(/"absent\\x1b"/);
  });

  it('that are missing or no files are refused', () => {
    expect(reading('absent')).toThrow(code('E_TRACE_MISSING'));
    expect(reading('folder', (trace) => fs.mkdirSync(path.join(trace, 'folder')))).toThrow(
      code('E_TRACE_CORRUPT'),
    );
  });

  it('may be many', () => {
    const names = Array.from({ length: 300 }, (_, i) => `file-${i}`);
    const trace = write({ mmaps: names.map((name) => mmap(1, backedBy(name))) });
    for (const name of names) fs.writeFileSync(path.join(trace, name), name);
    const descriptors = (): number => fs.readdirSync('/proc/self/fd').length;
    const before = descriptors();
    const reader = TraceReader.open(trace);
    const files = names.map(() => reader.openBacking(reader.nextMapping(1)!));
    for (const file of [...files, ...files.toReversed()]) {
      const into = new Uint8Array(20);
      expect(Buffer.from(into.subarray(0, file.read(0, into))).toString()).toBe(file.name);
    }
    expect(descriptors() - before).toBeLessThan(150);
    reader.close();
    expect(descriptors()).toBe(before);
  });

  it('by convention may be absent', () => {
    const trace = write({});
    fs.writeFileSync(path.join(trace, 'cloned_data_1_2'), 'abc');
    const reader = TraceReader.open(trace);
    expect(reader.openAuxiliary('cloned_data_1_2')?.size).toBe(3);
    expect(reader.openAuxiliary('cloned_data_1_3')).toBeNull();
  });
});
