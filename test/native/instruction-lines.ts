/** Instructions executed by native/completion, for specs that compute the answers themselves. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const program = path.resolve(import.meta.dirname, '../../build/native/Release/completion-tests');
export const isBuilt = fs.existsSync(program);

export type Words = Record<string, string>;
export interface Answer {
  verdict: string;
  changed: Words;
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
export const number = (value: bigint, bytes = 8): string =>
  Buffer.from(
    BigInt.asUintN(8 * bytes, value)
      .toString(16)
      .padStart(2 * bytes, '0'),
    'hex',
  )
    .reverse()
    .toString('hex');
export const value = (text: string | undefined): bigint =>
  BigInt(
    `0x${Buffer.from(text ?? '00', 'hex')
      .reverse()
      .toString('hex')}`,
  );

/** Executes one line after the other: test/native/completion/lines.h. */
export function execute(lines: readonly Words[]): Answer[] {
  const input = lines
    .map((line) =>
      Object.entries(line)
        .map((word) => word.join('='))
        .join(' '),
    )
    .join('\n');
  const output = execFileSync(program, ['lines'], {
    input: `${input}\n`,
    encoding: 'latin1',
    maxBuffer: 2 ** 28,
  });
  return output
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [verdict, ...words] = line.split(' ');
      return { verdict, changed: Object.fromEntries(words.map((word) => word.split('='))) as Words };
    });
}

/** A generator of the same numbers in every run. */
export function numbers(seed: bigint): () => bigint {
  let state = seed;
  return () => {
    state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n);
    let mixed = BigInt.asUintN(64, (state ^ (state >> 30n)) * 0xbf58476d1ce4e5b9n);
    mixed = BigInt.asUintN(64, (mixed ^ (mixed >> 27n)) * 0x94d049bb133111ebn);
    return mixed ^ (mixed >> 31n);
  };
}

export const bytesFrom = (next: () => bigint, count: number): Buffer =>
  Buffer.from(Array.from({ length: count / 8 }, () => number(next())).join(''), 'hex');

/** VEX of three bytes with registers below 8 and ModRM naming registers, or memory at RAX. */
export function vex(
  fields: { map: number; pp: number; w?: number; l?: number; opcode: number },
  [reg, vvvv, rm]: readonly [number, number, number | 'memory'],
  ...behind: number[]
): string {
  const { map, pp, w = 0, l = 0, opcode } = fields;
  const modrm = rm === 'memory' ? reg << 3 : 0xc0 | (reg << 3) | rm;
  const bytes = [0xc4, 0xe0 | map, (w << 7) | ((~vvvv & 15) << 3) | (l << 2) | pp, opcode, modrm, ...behind];
  return hex(Uint8Array.from(bytes));
}
export const NO_SOURCE = 0;
export const [NP, P66, F3, F2] = [0, 1, 2, 3];
export const ARENA = 0x10000000n;

/** The numbers of so many bytes that a text has; and the text of numbers. */
export const words = (text: string, bytes: number): bigint[] =>
  Array.from({ length: text.length / (2 * bytes) }, (_, i) =>
    value(text.slice(2 * bytes * i, 2 * bytes * (i + 1))),
  );
export const joined = (list: readonly bigint[], bytes: number): string =>
  list.map((word) => number(word, bytes)).join('');
