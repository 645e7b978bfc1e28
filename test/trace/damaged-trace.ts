import fs from 'node:fs';
import path from 'node:path';
import { RevenantError } from '../../src/engine/base/errors.js';
import { TraceReader } from '../../src/engine/trace/reader.js';
import type { Random } from './mutate.js';
import { changes, changeWords, decompressed, messagesOf, recompressed } from './mutate.js';

const MAX_READ = 1 << 22;
const STREAMS = ['events', 'mmaps', 'tasks', 'data'];
const MESSAGES = ['events', 'mmaps', 'tasks'];
const FILES = ['version', ...STREAMS];

const pick = <T>(random: Random, from: readonly T[]): T => from[random(from.length)];

/** Copies of a valid trace with one defect each, made repeatedly in one folder, and read. */
export class DamagedTrace {
  readonly trace: string;
  readonly #originals: Map<string, Buffer>;
  readonly #plain: Map<string, Buffer>;
  readonly #messages: Map<string, Buffer[]>;
  readonly #buffer = new Uint8Array(1 << 16);

  /** @param folder an empty one; `trace` will be in it */
  constructor(sample: string, folder: string) {
    this.trace = path.join(folder, 'trace');
    this.#originals = new Map(FILES.map((name) => [name, fs.readFileSync(path.join(sample, name))]));
    this.#plain = new Map(STREAMS.map((name) => [name, decompressed(this.#originals.get(name)!)]));
    this.#messages = new Map(MESSAGES.map((name) => [name, messagesOf(this.#plain.get(name)!)]));
    fs.mkdirSync(this.trace);
    for (const name of fs.readdirSync(sample)) {
      if (name.startsWith('mmap_')) fs.copyFileSync(path.join(sample, name), path.join(this.trace, name));
    }
  }

  /** Writes the sample with one defect; returns its description. */
  damage(random: Random): string {
    for (const [name, bytes] of this.#originals) this.#write(name, bytes);
    const change = pick(random, Object.keys(changes));
    switch (random(5)) {
      case 0: {
        const name = pick(random, FILES);
        this.#write(name, changes[change](Buffer.from(this.#originals.get(name)!), random));
        return `${change} in ${name}`;
      }
      case 1: {
        const [to, from] = [pick(random, FILES), pick(random, FILES)];
        this.#write(to, this.#originals.get(from)!);
        if (random(3) === 0) fs.rmSync(path.join(this.trace, pick(random, FILES)));
        return `${from} in place of ${to}`;
      }
      case 2: {
        const name = pick(random, STREAMS);
        this.#write(name, recompressed(changes[change](Buffer.from(this.#plain.get(name)!), random), random));
        return `${change} in decompressed ${name}`;
      }
      default: {
        const name = pick(random, MESSAGES);
        this.#write(name, recompressed(changeWords(this.#messages.get(name)!, random), random));
        return `words of a message of ${name}`;
      }
    }
  }

  /** Reads all that the trace offers. Returns how it ended; throws what must not happen. */
  outcome(what: string): string {
    try {
      this.#readAll();
      return 'read to the end';
    } catch (error) {
      if (error instanceof RevenantError && error.code !== 'E_INTERNAL') return error.code;
      throw new Error(`${what}: ${String(error)}`, { cause: error });
    }
  }

  #write(name: string, bytes: Buffer): void {
    fs.writeFileSync(path.join(this.trace, name), bytes);
  }

  #readAll(): void {
    const reader = TraceReader.open(this.trace);
    const buffer = this.#buffer;
    try {
      for (let frame = reader.advance(); frame !== null; frame = reader.advance()) {
        reader.peek(1 + (frame.frameTime % 4));
        reader.nextTaskEvent(frame.frameTime);
        for (let map = reader.nextMapping(frame.frameTime); map; map = reader.nextMapping(frame.frameTime)) {
          if (map.source.kind !== 'file') continue;
          const file = reader.openBacking(map);
          file.read(Math.min(map.fileOffsetBytes, file.size), buffer);
        }
        for (const write of frame.memWrites.slice(0, frame.memWriteCount)) {
          // Holes take no place in the file: a write may be larger than anybody wants to read.
          const end = Math.min(write.size, MAX_READ);
          for (let at = 0; at < end; at += buffer.length) {
            reader.readWrite(write, at, buffer.subarray(0, Math.min(buffer.length, end - at)));
          }
          const last = Math.min(write.size, 4096);
          reader.readWrite(write, write.size - last, buffer.subarray(0, last));
        }
      }
    } finally {
      reader.close();
    }
  }
}
