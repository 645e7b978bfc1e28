/** String instructions under REP or REPNE (SDM vol. 2, "REP/REPE/REPZ/REPNE/REPNZ"). */
import { Reg, type RegisterWords } from '../base/registers.js';

/** The last iteration of a repeated string instruction. */
export interface LastTurn {
  /** Bytes of the instruction. */
  readonly length: number;
  /** Where it read or wrote, `size` bytes each. */
  readonly addresses: readonly bigint[];
  readonly size: number;
}

const REPEAT: readonly number[] = [0xf2, 0xf3];
const OPERAND_SIZE = 0x66;
const ADDRESS_SIZE = 0x67;
const LEGACY: readonly number[] = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, OPERAND_SIZE, ADDRESS_SIZE, ...REPEAT];
const REX = 0x40;
const REX_W = 8;
const EFLAGS_DIRECTION = 1 << 10;

/**
 * By opcode without its lowest bit, which means that the operand is not a byte: INS, OUTS, MOVS, CMPS, STOS, LODS,
 * SCAS.
 */
const SOURCES: readonly number[] = [0x6e, 0xa4, 0xa6, 0xac];
const DESTINATIONS: readonly number[] = [0x6c, 0xa4, 0xa6, 0xaa, 0xae];

/** Null where `code` does not begin with such an instruction, or its count is not zero. */
export function lastTurn(code: Uint8Array, registers: RegisterWords): LastTurn | null {
  let at = 0;
  const prefixes = new Set<number>();
  for (; at < code.length && LEGACY.includes(code[at]); at++) prefixes.add(code[at]);
  const rex = (code[at] & 0xf0) === REX ? code[at++] : 0;
  const kind = (code[at] ?? 0) & ~1;
  const [reads, writes] = [SOURCES.includes(kind), DESTINATIONS.includes(kind)];
  if (!REPEAT.some((prefix) => prefixes.has(prefix)) || !(reads || writes)) return null;
  const narrow = prefixes.has(ADDRESS_SIZE);
  if (registers[2 * Reg.rcx] !== 0 || (!narrow && registers[2 * Reg.rcx + 1] !== 0)) return null;
  const size = (code[at] & 1) === 0 ? 1 : rex & REX_W ? 8 : prefixes.has(OPERAND_SIZE) ? 2 : 4;
  const back = BigInt(registers[2 * Reg.eflags] & EFLAGS_DIRECTION ? size : -size);
  const pointer = (slot: number): bigint => {
    const high = narrow ? 0n : BigInt(registers[2 * slot + 1]);
    return BigInt.asUintN(narrow ? 32 : 64, ((high << 32n) | BigInt(registers[2 * slot])) + back);
  };
  const addresses = [...(reads ? [pointer(Reg.rsi)] : []), ...(writes ? [pointer(Reg.rdi)] : [])];
  return { length: at + 1, addresses, size };
}
