/**
 * RSQRTSS, RSQRTPS, RCPSS, RCPPS and their VEX forms: approximations for which the manuals specify
 * only an error bound. Results of Intel, AMD and emulators differ in the last bits, and the tables
 * are not published.
 */
import { iced } from './iced.js';
import { isBoundary } from './instruction-sites.js';

const MAX_PREFIXES = 4;
const RSQRT = 0x52;
const RCP = 0x53;

/**
 * Offsets of such instructions whose opcode is in [from, to).
 * @param bytes with LEAD_BYTES (instruction-sites.ts) before `from`, as far as there are any
 */
export function findApproximations(bytes: Uint8Array, from: number, to: number): number[] {
  const candidates: number[] = [];
  for (let at = from; at < to; at++) {
    const opcode = bytes[at];
    if (opcode !== RSQRT && opcode !== RCP) continue;
    if (bytes[at - 1] === 0x0f || bytes[at - 2] === 0xc5 || bytes[at - 3] === 0xc4) candidates.push(at);
  }
  return candidates.length === 0 ? [] : decodeCandidates(bytes, candidates);
}

function decodeCandidates(bytes: Uint8Array, candidates: readonly number[]): number[] {
  const { Decoder, DecoderOptions, Instruction, Mnemonic } = iced();
  const wanted: readonly number[] = [
    ...[Mnemonic.Rsqrtss, Mnemonic.Rsqrtps, Mnemonic.Rcpss, Mnemonic.Rcpps],
    ...[Mnemonic.Vrsqrtss, Mnemonic.Vrsqrtps, Mnemonic.Vrcpss, Mnemonic.Vrcpps],
  ];
  const decoder = new Decoder(64, bytes, DecoderOptions.None);
  const instruction = new Instruction();
  const begins = (start: number, opcode: number): boolean => {
    if (start < 0) return false;
    decoder.position = start;
    decoder.decodeOut(instruction);
    const here = !instruction.isInvalid && wanted.includes(instruction.mnemonic);
    return here && start + instruction.length > opcode + 1 && isBoundary(bytes, start);
  };
  const found: number[] = [];
  for (const opcode of candidates) {
    for (let prefixes = MAX_PREFIXES; prefixes > 0; prefixes--) {
      if (!begins(opcode - prefixes, opcode)) continue;
      found.push(opcode - prefixes);
      break;
    }
  }
  decoder.free();
  instruction.free();
  return found;
}
