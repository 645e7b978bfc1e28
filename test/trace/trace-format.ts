import { spawnSync } from 'node:child_process';
import path from 'node:path';

/** Messages of the trace format, encoded by Cap'n Proto's own tool from trace-format.capnp. */

const schema = path.join(import.meta.dirname, 'trace-format.capnp');

export const hasCapnp = spawnSync('capnp', ['--version']).status === 0;

/** A value of the schema: structs are objects, Data are bytes or text, enumerants and void are `Word`s. */
export type Value =
  boolean | number | bigint | string | Uint8Array | Word | readonly Value[] | { [field: string]: Value };

/** Goes into the tool's text as it is. */
export class Word {
  constructor(readonly text: string) {}
}
export const VOID = new Word('void');

/** The text form that `capnp encode` reads. */
export function textOf(value: Value): string {
  if (value instanceof Word) return value.text;
  if (typeof value === 'string') return textOf(Buffer.from(value));
  if (value instanceof Uint8Array && value.length === 0) return '""';
  if (value instanceof Uint8Array) return `0x"${Buffer.from(value).toString('hex')}"`;
  if (Array.isArray(value)) return `[${value.map(textOf).join(', ')}]`;
  if (typeof value !== 'object') return String(value);
  const fields = Object.entries(value as Record<string, Value>);
  return `(${fields.map(([name, field]) => `${name} = ${textOf(field)}`).join(', ')})`;
}

/** Packed messages with roots of this type, one after the other. */
export function encode(type: string, ...values: Value[]): Uint8Array {
  const input = values.map(textOf).join('\n');
  const { status, stdout, stderr } = spawnSync('capnp', ['encode', '--packed', schema, type], { input });
  if (status !== 0) throw new Error(`capnp encode ${type}: ${stderr.toString()}`);
  return stdout;
}
