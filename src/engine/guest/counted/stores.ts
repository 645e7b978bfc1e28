/** Instructions that store, for copies of code that look behind each of them whether watched memory has changed. */
import type * as Iced from 'iced-x86';
import { USER_END } from '../../base/address.js';
import type { Predicate, PredicateStep } from '../../base/predicate.js';
import { Reg } from '../../base/registers.js';
import { iced } from '../../x86/iced.js';
import { isRepeatedString } from '../../x86/decode.js';
import type { WatchedPiece } from '../stops/value-watches.js';

/** `elsewhere`: not to what is watched. `string`: perhaps, many times. */
export type StoreKind = 'elsewhere' | 'perhaps' | 'string';

const EFLAGS_DIRECTION = 0x400n;
const ADDRESS_SIZE = 0x67;
const LEGACY: ReadonlySet<number> = new Set([
  0x26,
  0x2e,
  0x36,
  0x3e,
  0x64,
  0x65,
  0x66,
  ADDRESS_SIZE,
  0xf2,
  0xf3,
]);

/** What instructions store, by iced. */
export class Stores {
  private readonly factory: Iced.InstructionInfoFactory;

  constructor(private readonly pieces: readonly WatchedPiece[]) {
    this.factory = new (iced().InstructionInfoFactory)();
  }

  of(instruction: Iced.Instruction): StoreKind {
    const { OpAccess } = iced();
    const info = this.factory.info(instruction);
    let kind: StoreKind = 'elsewhere';
    try {
      for (const used of info.usedMemory()) {
        const { access } = used;
        const isStore =
          access !== OpAccess.Read && access !== OpAccess.CondRead && access !== OpAccess.NoMemAccess;
        if (isStore && this.mayBeWatched(used)) kind = 'perhaps';
        used.free();
      }
    } finally {
      info.free();
    }
    const isString = instruction.hasRepPrefix || instruction.hasRepnePrefix;
    return kind === 'perhaps' && isString && instruction.isStringInstruction ? 'string' : kind;
  }

  free(): void {
    this.factory.free();
  }

  /** Unless the address is in the instruction, and another. */
  private mayBeWatched(used: Iced.UsedMemory): boolean {
    const { MemorySizeExt, Register } = iced();
    const { base, index, segment, displacement, memorySize } = used;
    const size = MemorySizeExt.size(memorySize);
    const isKnown = base === Register.None && index === Register.None && size > 0;
    if (!isKnown || segment === Register.FS || segment === Register.GS) return true;
    const address = BigInt.asUintN(64, displacement);
    if (address >= BigInt(USER_END)) return true;
    const start = Number(address);
    return this.pieces.some((piece) => start < piece.address + piece.length && piece.address < start + size);
  }
}

/** What holds where a repeated string instruction is about to store to what is watched; or may be. */
export function overlapPredicates(code: Uint8Array, pieces: readonly WatchedPiece[]): Predicate[] {
  if (!isRepeatedString(code)) return [];
  let at = 0;
  let isNarrow = false;
  let isWord = false;
  for (; LEGACY.has(code[at]); at++) {
    isNarrow ||= code[at] === ADDRESS_SIZE;
    isWord ||= code[at] === 0x66;
  }
  const rex = code[at] >> 4 === 4 ? code[at++] : 0;
  const size = (code[at] & 1) === 0 ? 1n : rex & 8 ? 8n : isWord ? 2n : 4n;
  if (isNarrow) return [[{ op: 'constant', value: 1n }]];
  const value = (constant: bigint): PredicateStep => ({ op: 'constant', value: constant });
  const register = (slot: number): PredicateStep => ({ op: 'register', slot });
  const backwards: Predicate = [register(Reg.eflags), value(EFLAGS_DIRECTION), { op: 'and' }];
  return [
    backwards,
    ...pieces.map(({ address, length }): Predicate => [
      register(Reg.rdi),
      value(BigInt(address + length)),
      { op: 'lessUnsigned' },
      value(BigInt(address)),
      register(Reg.rdi),
      register(Reg.rcx),
      value(size),
      { op: 'multiply' },
      { op: 'add' },
      { op: 'lessUnsigned' },
      { op: 'and' },
    ]),
  ];
}
