import { createRequire } from 'node:module';
import type * as Iced from 'iced-x86';

/** What pushes and calls store, and more than what is not known touches. */
const WORD = 8;

let loaded: typeof Iced | undefined;

/** Bytes that the memory operand of the instruction at the start of `code` covers; a word where none is named. */
export function operandSize(code: Uint8Array): number {
  loaded ??= createRequire(import.meta.url)('iced-x86') as typeof Iced;
  const { Decoder, DecoderOptions, MemorySizeExt } = loaded;
  const decoder = new Decoder(64, code, DecoderOptions.None);
  const instruction = decoder.decode();
  try {
    return Math.max(1, MemorySizeExt.size(instruction.memorySize) || WORD);
  } finally {
    instruction.free();
    decoder.free();
  }
}
