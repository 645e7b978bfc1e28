import fs from 'node:fs';
import { Decoder, DecoderOptions, Instruction } from 'iced-x86';
import { describe, expect, it } from 'vitest';
import { instructionLength } from './instruction-length.js';

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** Where our length is another than iced's, of the instructions that iced knows. */
function differences(bytes: Uint8Array, offsets: Iterable<number>): { found: string[]; compared: number } {
  const decoder = new Decoder(64, bytes, DecoderOptions.None);
  const instruction = new Instruction();
  const found: string[] = [];
  let compared = 0;
  for (const at of offsets) {
    decoder.position = at;
    decoder.decodeOut(instruction);
    if (instruction.isInvalid) continue;
    compared++;
    const ours = instructionLength(bytes, at);
    if (ours !== instruction.length)
      found.push(`${hex(bytes.subarray(at, at + 15))}: iced ${instruction.length}, ours ${ours}`);
  }
  instruction.free();
  decoder.free();
  return { found, compared };
}

/** Records of 16 bytes: each head with every byte, and every ModRM, after it. */
function forms(head: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(16 * 0x1_0000);
  for (let pair = 0; pair < 0x1_0000; pair++)
    bytes.set([...head, pair >> 8, pair & 0xff, 0x25, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77], 16 * pair);
  return bytes;
}

function* every(step: number, end: number): Generator<number> {
  for (let at = 0; at < end; at += step) yield at;
}

describe('instructionLength', () => {
  const xop = [8, 9, 10].map((map) => [0x8f, 0xe0 | map, 0x78]);
  const vex3 = [1, 2, 3].flatMap((map) => [0x78, 0x79, 0xf9, 0x7d].map((last) => [0xc4, 0xe0 | map, last]));
  const evex = [1, 2, 3, 5, 6].flatMap((map) =>
    [0x7c, 0x7d, 0xfd, 0x7e].map((p) => [0x62, 0xf0 | map, p, 0x48]),
  );
  it.each(
    [
      ...[[], [0x66], [0x67], [0xf2], [0xf3], [0x48], [0x66, 0x48], [0xf2, 0x41], [0x66, 0x67]],
      ...[[0x0f], [0x66, 0x0f], [0xf2, 0x0f], [0xf3, 0x0f], [0x48, 0x0f], [0xf3, 0x48, 0x0f]],
      ...[
        [0x0f, 0x38],
        [0x66, 0x0f, 0x38],
        [0xf2, 0x0f, 0x38],
        [0x0f, 0x3a],
        [0x66, 0x0f, 0x3a],
      ],
      ...[
        [0xc5, 0xf8],
        [0xc5, 0xf9],
        [0xc5, 0xfe],
        [0xc5, 0xff],
      ],
      ...vex3,
      ...evex,
      ...xop,
    ].map((head) => [hex(Uint8Array.from(head)), head] as const),
  )('is as iced has it, after %s', (_, head) => {
    const bytes = forms(head);
    const { found } = differences(bytes, every(16, bytes.length));
    expect([...found.slice(0, 20), found.length]).toEqual([0]);
  });

  it('is as iced has it at every byte of a program', () => {
    const bytes = fs.readFileSync(process.execPath).subarray(0x100_0000, 0x108_0000);
    const { found, compared } = differences(bytes, every(1, bytes.length - 15));
    expect(compared).toBeGreaterThan(100_000);
    expect(found).toEqual([]);
  });

  it('is 0 for what is no instruction, or not whole', () => {
    expect(instructionLength(Uint8Array.of(0x06), 0)).toBe(0);
    expect(instructionLength(Uint8Array.of(0x0f, 0x04, 0, 0), 0)).toBe(0);
    expect(instructionLength(Uint8Array.of(0xb8, 1, 2, 3), 0)).toBe(0);
    expect(instructionLength(Uint8Array.of(0x0f), 0)).toBe(0);
    expect(instructionLength(Uint8Array.of(0x8b), 0)).toBe(0);
    expect(instructionLength(new Uint8Array(0), 0)).toBe(0);
    expect(instructionLength(new Uint8Array(16).fill(0x66), 0)).toBe(0);
    expect(instructionLength(Uint8Array.of(0x90), 0)).toBe(1);
  });
});
