import fs from 'node:fs';
import path from 'node:path';
import type { StructBuilder } from './message-builder.js';
import { MessageBuilder, streamFile } from './message-builder.js';

/** Makes trace directories, field by field. */

export const registersImage = (fill = 1): Uint8Array => new Uint8Array(216).fill(fill);

/** A Header message with the sizes of the current schema. */
export function headerMessage(fields: (header: StructBuilder) => void = () => {}): Uint8Array {
  const message = new MessageBuilder();
  const header = message.root(9, 3);
  header.i32(20, 1000 ^ 442);
  fields(header);
  return message.packed();
}

/** A Frame message: tid, ticks, registers, event tag; more by `fields`. */
export function frameMessage(tag: number, fields: (frame: StructBuilder) => void = () => {}): Uint8Array {
  const message = new MessageBuilder();
  const frame = message.root(7, 5).i32(0, 100).u16(4, 1).u16(6, tag).u64(8, 5).f64(16, 1.5);
  frame.struct(1, 0, 1).bytes(0, registersImage());
  fields(frame);
  return message.packed();
}

export interface WriteFields {
  address: bigint | number;
  size: number;
  holes?: [number, number][];
}

export function addWrites(frame: StructBuilder, writes: WriteFields[]): void {
  frame.structs(0, writes.length, 3, 1).forEach((made, i) => {
    const { address, size, holes = [] } = writes[i];
    made.i32(0, 100).u64(8, address).u64(16, size);
    if (holes.length === 0) return;
    made.structs(0, holes.length, 2, 0).forEach((hole, j) => hole.u64(0, holes[j][0]).u64(8, holes[j][1]));
  });
}

export interface TraceParts {
  version?: string | Uint8Array | null;
  events?: Uint8Array[];
  mmaps?: Uint8Array[];
  tasks?: Uint8Array[];
  data?: Uint8Array;
  blockBytes?: number;
}

/** Writes a trace directory; `version: null` makes it an incomplete one. */
export function writeTrace(directory: string, parts: TraceParts = {}): string {
  fs.mkdirSync(directory, { recursive: true });
  const write = (name: string, bytes: Uint8Array | string): void =>
    fs.writeFileSync(path.join(directory, name), bytes);
  if (parts.version === null) write('incomplete', '85\n');
  else write('version', parts.version ?? Buffer.concat([Buffer.from('85\n'), headerMessage()]));
  for (const name of ['events', 'mmaps', 'tasks'] as const) {
    write(name, streamFile(Buffer.concat(parts[name] ?? []), parts.blockBytes));
  }
  write('data', streamFile(parts.data ?? new Uint8Array(0), parts.blockBytes));
  return directory;
}
