/** What the kernel put on the stack of a new program: argc, arguments, environment, auxiliary vector. */
import { gva, offsetBy, type Gva } from '../base/address.js';
import { nameOf } from '../base/names.js';
import type { AddressSpace } from '../mm/address-space.js';
import type { ThreadGroup } from './task.js';

const MAX_WORDS = 1 << 15;
const MAX_STRING = 1 << 17;
const AT_NULL = 0n;

interface InitialStack {
  readonly environment: Gva[];
  /** Address of the auxiliary vector. */
  readonly auxv: Gva;
}

function wordsFrom(space: AddressSpace, at: Gva, count: number): BigUint64Array {
  const bytes = new Uint8Array(8 * count);
  const read = space.read(at, bytes);
  return new BigUint64Array(bytes.buffer, 0, Math.floor(read / 8));
}

function parse(space: AddressSpace, start: Gva): InitialStack | null {
  const words = wordsFrom(space, start, MAX_WORDS);
  if (words.length === 0 || words[0] > BigInt(words.length)) return null;
  let index = Number(words[0]) + 2;
  const environment: Gva[] = [];
  while (index < words.length && words[index] !== 0n) environment.push(gva(Number(words[index++])));
  return index < words.length ? { environment, auxv: gva(start + 8 * (index + 1)) } : null;
}

/** The bytes of the auxiliary vector, its end included; empty if there is none. */
export function auxvBytes(space: AddressSpace, start: Gva): Uint8Array {
  const stack = parse(space, start);
  if (!stack) return new Uint8Array(0);
  const words = wordsFrom(space, stack.auxv, 128);
  let count = 0;
  while (count + 1 < words.length && words[count] !== AT_NULL) count += 2;
  return new Uint8Array(words.buffer.slice(0, 8 * (count + 2)));
}

export function readAuxv(space: AddressSpace, start: Gva): Map<number, bigint> {
  const bytes = auxvBytes(space, start);
  const words = new BigUint64Array(bytes.buffer);
  const values = new Map<number, bigint>();
  for (let index = 0; index + 1 < words.length; index += 2)
    values.set(Number(words[index]), words[index + 1]);
  return values;
}

export function readEnvironment(space: AddressSpace, start: Gva): Map<string, string> {
  const values = new Map<string, string>();
  for (const at of parse(space, start)?.environment ?? []) {
    const text = readString(space, at);
    const equals = text.indexOf('=');
    if (equals > 0) values.set(text.slice(0, equals), text.slice(equals + 1));
  }
  return values;
}

/**
 * The working directory of a thread group: the last chdir's, else PWD of its environment; null if neither is known.
 */
export function workingDirectory(group: ThreadGroup): string | null {
  if (group.directory !== null) return group.directory;
  const [task] = group.tasks;
  if (!task || !group.program) return null;
  const initial = readEnvironment(task.space, group.program.initialStack).get('PWD');
  return initial?.startsWith('/') ? initial : null;
}

/** A NUL-terminated string, as far as it can be read. */
export function readString(space: AddressSpace, at: Gva, limit = MAX_STRING): string {
  const chunk = new Uint8Array(256);
  let text = Buffer.alloc(0);
  while (text.length < limit) {
    const piece = chunk.subarray(0, space.read(offsetBy(at, text.length), chunk));
    const end = piece.indexOf(0);
    text = Buffer.concat([text, end < 0 ? piece : piece.subarray(0, end)]);
    if (end >= 0 || piece.length < chunk.length) break;
  }
  return nameOf(text);
}
