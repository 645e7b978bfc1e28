/** Some instructions around an address, for reports. Synchronous, so that an error can include its disassembly. */

import type * as Iced from 'iced-x86';
import { MAX_INSTRUCTION_LENGTH } from './decode.js';
import { iced } from './iced.js';

/** One line of a disassembly. Plain data. */
export interface DisassembledInstruction {
  readonly address: bigint;
  /** Lower-case hexadecimal, no separators. */
  readonly bytes: string;
  /** Intel syntax, "(bad)" for what does not decode. */
  readonly text: string;
  /** Symbol of a branch target or of a RIP-relative operand, or ''. */
  readonly comment: string;
  /** The instruction at rip. */
  readonly current: boolean;
}

export interface CodeSource {
  /** Reads bytes as the program sees them; returns how many are readable. */
  read(address: bigint, into: Uint8Array): number;
  /** `insert+0x1c`, or null. */
  symbolAt(address: bigint): string | null;
  /** Start of the function that covers the address, where known: disassembly in step with the program. */
  functionAt?(address: bigint): bigint | null;
}

export interface DisassembleOptions {
  /** Instructions before and from rip on. */
  readonly before?: number;
  readonly after?: number;
}

/** A function longer than this is not decoded from its start. */
const MAX_FUNCTION_BYTES = 1 << 16;

const RESYNC_BYTES = 64;

/** Reads [start, end); null unless all of it is readable. */
function readAll(source: CodeSource, start: bigint, end: bigint): Uint8Array | null {
  const bytes = new Uint8Array(Number(end - start));
  return source.read(start, bytes) === bytes.length ? bytes : null;
}

/** Offsets of the instructions from `offset` on that end exactly at the end of `bytes`, or null. */
function boundaries(bytes: Uint8Array, offset: number): number[] | null {
  const { Decoder, DecoderOptions, Instruction } = iced();
  const decoder = new Decoder(64, bytes, DecoderOptions.None);
  const instruction = new Instruction();
  const starts: number[] = [];
  decoder.position = offset;
  let at = offset;
  while (at < bytes.length) {
    starts.push(at);
    decoder.decodeOut(instruction);
    if (instruction.isInvalid) break;
    at += instruction.length;
  }
  decoder.free();
  instruction.free();
  return at === bytes.length ? starts : null;
}

/** Whether the instructions at the beginning of `code` end exactly where it ends: another one begins there. */
export const endsInstruction = (code: Uint8Array): boolean => boundaries(code, 0) !== null;

/**
 * Addresses of up to `count` instructions before rip. x86 code cannot be decoded backwards:
 * decoding begins at the function's start, or else well before the shown part, since it soon
 * resynchronizes.
 */
function findBefore(source: CodeSource, rip: bigint, count: number): bigint[] {
  const start = source.functionAt?.(rip);
  if (typeof start === 'bigint' && start <= rip && rip - start <= MAX_FUNCTION_BYTES) {
    const bytes = readAll(source, start, rip);
    const starts = bytes && boundaries(bytes, 0);
    if (starts) return starts.slice(-count).map((offset) => start + BigInt(offset));
  }
  for (let back = BigInt(RESYNC_BYTES + count * 8); back > 0n; back--) {
    const bytes = back <= rip ? readAll(source, rip - back, rip) : null;
    const starts = bytes && boundaries(bytes, 0);
    if (starts) return starts.slice(-count).map((offset) => rip - back + BigInt(offset));
  }
  return [];
}

/** What the operands of an instruction refer to. */
function commentOf(instruction: Iced.Instruction, source: CodeSource): string {
  const { OpKind } = iced();
  if (instruction.op0Kind === OpKind.NearBranch64) return source.symbolAt(instruction.nearBranchTarget) ?? '';
  if (!instruction.isIpRelMemoryOperand) return '';
  return source.symbolAt(instruction.ipRelMemoryAddress) ?? '';
}

/**
 * Disassembles around `rip`. Never throws for unreadable memory or undecodable bytes: the list is shorter then, and
 * empty when nothing at rip can be read.
 */
export function disassembleAround(
  rip: bigint,
  source: CodeSource,
  { before = 6, after = 8 }: DisassembleOptions = {},
): DisassembledInstruction[] {
  const window = new Uint8Array(after * MAX_INSTRUCTION_LENGTH);
  const readable = source.read(rip, window);
  if (readable === 0) return [];
  const first = before > 0 ? (findBefore(source, rip, before)[0] ?? rip) : rip;
  const lead = readAll(source, first, rip) ?? new Uint8Array(0);
  const bytes = new Uint8Array(lead.length + readable);
  bytes.set(lead);
  bytes.set(window.subarray(0, readable), lead.length);
  return format(bytes, rip - BigInt(lead.length), rip, source, after);
}

/** All instructions of `bytes` before rip, and `after` from rip on. */
function format(
  bytes: Uint8Array,
  start: bigint,
  rip: bigint,
  source: CodeSource,
  after: number,
): DisassembledInstruction[] {
  const { Decoder, DecoderOptions, Formatter, FormatterSyntax, Instruction } = iced();
  const decoder = new Decoder(64, bytes, DecoderOptions.None);
  const formatter = new Formatter(FormatterSyntax.Intel);
  const instruction = new Instruction();
  formatter.hexPrefix = '0x';
  formatter.hexSuffix = '';
  formatter.uppercaseHex = false;
  formatter.spaceAfterOperandSeparator = true;
  formatter.branchLeadingZeros = false;
  decoder.ip = start;
  const lines: DisassembledInstruction[] = [];
  for (let rest = after; rest > 0 && decoder.canDecode;) {
    const at = decoder.position;
    decoder.decodeOut(instruction);
    const address = start + BigInt(at);
    // The last bytes read may be half an instruction.
    if (instruction.isInvalid && address > rip && bytes.length - at < MAX_INSTRUCTION_LENGTH) break;
    if (address >= rip) rest--;
    lines.push({
      address,
      bytes: Buffer.from(bytes.subarray(at, at + instruction.length)).toString('hex'),
      text: formatter.format(instruction),
      comment: commentOf(instruction, source),
      current: address === rip,
    });
  }
  for (const object of [decoder, formatter, instruction]) object.free();
  return lines;
}
