/** Machine code of predicates, for copies of code: whether a stop is meant is found out where the program runs. */
import type { Gva } from '../../base/address.js';
import { invariant } from '../../base/errors.js';
import type { BinaryOperation, Predicate, PredicateStep } from '../../base/predicate.js';
import { Reg } from '../../base/registers.js';
import type { Assembler } from './assembler.js';
import { Area, Fix, Leave, NEGATED, watchedField } from './layout.js';
import { INT3, int32, JRCXZ, LOAD_RAX, LOAD_RCX, POPF, STORE_RAX, STORE_RCX } from './opcodes.js';
import { pieceOf, type WatchedPiece } from '../stops/value-watches.js';

/** Registers as instructions encode them, by slot. */
const ENCODING: ReadonlyMap<number, number> = new Map([
  ...([Reg.rax, Reg.rcx, Reg.rdx, Reg.rbx, Reg.rsp, Reg.rbp, Reg.rsi, Reg.rdi] as const).map(
    (slot, index) => [slot, index] as const,
  ),
  ...([Reg.r8, Reg.r9, Reg.r10, Reg.r11, Reg.r12, Reg.r13, Reg.r14, Reg.r15] as const).map(
    (slot, index) => [slot, index + 8] as const,
  ),
]);

/** Those that a check changes, and where it keeps them. */
const KEPT: ReadonlyMap<number, number> = new Map<number, number>([
  [Reg.rsp, Area.stack],
  [Reg.eflags, Area.flags],
  [Reg.rax, Area.checkRax],
  [Reg.rcx, Area.checkRcx],
  [Reg.rdx, Area.checkRdx],
]);

const [PUSH_RAX, PUSH_RCX, PUSH_RDX] = [0x50, 0x51, 0x52];
const [POP_RAX, POP_RCX, POP_RDX] = [0x58, 0x59, 0x5a];
const PUSHFQ = 0x9c;
const TEST_RAX = [0x48, 0x85, 0xc0];
const CLEAR_EDX = [0x31, 0xd2];
const CLEAR_EAX = [0x31, 0xc0];
const COMPARE = [0x48, 0x39, 0xc8]; // cmp rax, rcx
const MOVE_RDX = [0x48, 0x89, 0xd0]; // mov rax, rdx

const compared = (set: number): number[] => [...CLEAR_EDX, ...COMPARE, 0x0f, set, 0xc2, ...MOVE_RDX];
/** Processors take the low six bits of rcx only. */
const shifted = (tooFar: readonly number[], shift: readonly number[]): number[] => [
  ...[0x48, 0x83, 0xf9, 0x3f], // cmp rcx, 63
  ...[0x76, tooFar.length], // jbe behind
  ...tooFar,
  ...shift,
];

/** rax = rax OP rcx; rdx is free. Division raises #DE where there is no quotient. */
const BINARY: Readonly<Record<BinaryOperation, readonly number[]>> = {
  add: [0x48, 0x01, 0xc8],
  subtract: [0x48, 0x29, 0xc8],
  multiply: [0x48, 0x0f, 0xaf, 0xc1],
  and: [0x48, 0x21, 0xc8],
  or: [0x48, 0x09, 0xc8],
  xor: [0x48, 0x31, 0xc8],
  divideSigned: [0x48, 0x99, 0x48, 0xf7, 0xf9],
  remainderSigned: [0x48, 0x99, 0x48, 0xf7, 0xf9, ...MOVE_RDX],
  divideUnsigned: [...CLEAR_EDX, 0x48, 0xf7, 0xf1],
  remainderUnsigned: [...CLEAR_EDX, 0x48, 0xf7, 0xf1, ...MOVE_RDX],
  shiftLeft: shifted(CLEAR_EAX, [0x48, 0xd3, 0xe0]),
  shiftRightUnsigned: shifted(CLEAR_EAX, [0x48, 0xd3, 0xe8]),
  shiftRightSigned: shifted([0xb9, 0x3f, 0, 0, 0], [0x48, 0xd3, 0xf8]), // mov ecx, 63
  equal: compared(0x94),
  lessSigned: compared(0x9c),
  lessUnsigned: compared(0x92),
};

const LOADS = {
  1: [0x0f, 0xb6, 0x00],
  2: [0x0f, 0xb7, 0x00],
  4: [0x8b, 0x00],
  8: [0x48, 0x8b, 0x00],
} as const;

/** What a check is for. */
export interface CheckPurpose {
  /** Why it leaves where a predicate holds. */
  readonly leave: Leave;
  /** Bits of `Fix` besides its own, for all of its instructions. */
  readonly fix?: number;
  /** Watched memory, which it looks at anew where no predicate holds. */
  readonly pieces?: readonly WatchedPiece[];
}

/**
 * Appends a check: control goes on behind it with all registers as they were if none of the predicates holds, and leaves
 * by INT3 if one does. It computes on a stack of its own, in the data page: what is below the program's stack
 * pointer may be in use. Any exception in it is for the caller, who finds the program's registers by `Fix`.
 * @param area of the copies
 * @param address the program's instruction that is executed next
 */
export function appendCheck(
  code: Assembler,
  area: number,
  address: Gva,
  predicates: readonly Predicate[],
  purpose: CheckPurpose = { leave: Leave.stop },
): void {
  new Check(code, area, address, purpose).append(predicates);
}

/**
 * Appends what looks behind a store whether watched memory has changed: by instructions that keep flags and stack, so that
 * it costs little where it has not.
 * @param fix bits of `Fix` for where the program is
 * @returns where the displacements to a check (CheckPurpose) are, which is to come back to behind this
 */
export function appendComparison(
  code: Assembler,
  area: number,
  address: Gva,
  pieces: readonly WatchedPiece[],
  fix: number,
): number[] {
  const field = (opcode: readonly number[], at: number): void => {
    code.emit(opcode);
    code.relative(area + at);
  };
  code.mark(address, fix);
  field(STORE_RCX, Area.rcx);
  code.mark(address, fix);
  field(STORE_RAX, Area.rax);
  code.mark(address, fix | Fix.rcx | Fix.rax | Fix.watch);
  const changes: number[] = [];
  pieces.forEach((piece, index) => {
    appendLoad(code, piece);
    field(LOAD_RAX, watchedField(index) + NEGATED);
    code.emit([0x48, 0x8d, 0x0c, 0x01]); // lea rcx, [rcx+rax]
    code.emit([JRCXZ, 5, 0xe9]); // jmp
    changes.push(code.length);
    code.emit([0, 0, 0, 0]);
  });
  appendReload(code, area);
  return changes;
}

/** Registers back, on the way from a comparison to its check. */
export function appendRestored(code: Assembler, area: number, address: Gva, fix: number): void {
  code.mark(address, fix | Fix.rcx | Fix.rax | Fix.watch);
  appendReload(code, area);
}

function appendReload(code: Assembler, area: number): void {
  code.emit(LOAD_RAX);
  code.relative(area + Area.rax);
  code.emit(LOAD_RCX);
  code.relative(area + Area.rcx);
}

/** rcx = what is watched there. */
function appendLoad(code: Assembler, { address, length }: WatchedPiece): void {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(address), true);
  code.emit([0x48, 0xb9, ...bytes]); // mov rcx, imm64
  code.emit(LOADS_RCX[length as keyof typeof LOADS_RCX]);
}

const LOADS_RCX = {
  1: [0x0f, 0xb6, 0x09],
  2: [0x0f, 0xb7, 0x09],
  4: [0x8b, 0x09],
  8: [0x48, 0x8b, 0x09],
} as const;

/** A check has kept all that it changes. */
const KEPT_ALL = Fix.stack | Fix.scratch;

class Check {
  constructor(
    private readonly code: Assembler,
    private readonly area: number,
    private readonly address: Gva,
    private readonly purpose: CheckPurpose,
  ) {}

  append(predicates: readonly Predicate[]): void {
    const { code, address } = this;
    const { fix = Fix.none, leave } = this.purpose;
    code.mark(address, fix);
    this.relative([0x48, 0x89, 0x25], Area.stack); // mov [stack], rsp
    code.mark(address, fix);
    this.stackTo(Area.checkStack);
    code.mark(address, fix | Fix.stack);
    code.emit([PUSHFQ, PUSH_RAX, PUSH_RCX, PUSH_RDX]);
    code.mark(address, fix | KEPT_ALL);
    const hits = predicates.map((predicate) => {
      this.steps(predicate);
      code.emit([POP_RAX, ...TEST_RAX]);
      return this.jump([0x0f, 0x85]); // jne
    });
    this.lookAgain();
    this.end();
    code.mark(address, fix);
    code.emit([0xeb, 0]); // jmp
    const over = code.length - 1;
    for (const hit of hits) code.patchRelative(hit, code.here);
    code.mark(address, fix | KEPT_ALL);
    this.end();
    code.mark(address, fix, leave);
    code.emit([INT3]);
    code.patchShort(over);
  }

  /** What is watched was this, from now on. */
  private lookAgain(): void {
    this.purpose.pieces?.forEach((piece, index) => {
      appendLoad(this.code, piece);
      this.relative(STORE_RCX, watchedField(index));
      this.code.emit([0x48, 0xf7, 0xd9]); // neg rcx
      this.relative(STORE_RCX, watchedField(index) + NEGATED);
    });
  }

  private end(): void {
    this.stackTo(Area.checkRdx);
    this.code.emit([POP_RDX, POP_RCX, POP_RAX, POPF]);
    this.relative([0x48, 0x8b, 0x25], Area.stack); // mov rsp, [stack]
  }

  private stackTo(field: number): void {
    this.relative([0x48, 0x8d, 0x25], field); // lea rsp, [field]
  }

  private steps(predicate: Predicate): void {
    const { code } = this;
    const starts: number[] = [];
    const jumps: { at: number; to: number }[] = [];
    // The one before may have left values on it.
    this.stackTo(Area.checkRdx);
    for (const step of predicate) {
      starts.push(code.here);
      if (step.op === 'jump') {
        if (step.conditional) code.emit([POP_RAX, ...TEST_RAX]);
        jumps.push({ at: this.jump(step.conditional ? [0x0f, 0x85] : [0xe9]), to: step.to });
      } else this.step(step);
    }
    starts.push(code.here);
    for (const { at, to } of jumps) code.patchRelative(at, starts[to]);
  }

  private step(step: Exclude<PredicateStep, { op: 'jump' }>): void {
    const { code } = this;
    switch (step.op) {
      case 'constant':
        return this.constant(step.value);
      case 'register':
        return this.register(step.slot);
      case 'load':
        return this.onTop(LOADS[step.size]);
      case 'earlier':
        return this.earlier(step.address, step.size);
      case 'not':
        return this.onTop([...CLEAR_EDX, ...TEST_RAX, 0x0f, 0x94, 0xc2, ...MOVE_RDX]); // sete dl
      case 'complement':
        return this.onTop([0x48, 0xf7, 0xd0]);
      case 'extend':
        return this.extend(step.bits, step.signed);
      case 'duplicate':
        return code.emit([0xff, 0x34, 0x24]); // push [rsp]
      case 'pick':
        return code.emit([0xff, 0xb4, 0x24, ...int32(8 * step.depth)]); // push [rsp+8*depth]
      case 'drop':
        return code.emit([POP_RAX]);
      case 'swap':
        return code.emit([POP_RCX, POP_RAX, PUSH_RCX, PUSH_RAX]);
      case 'rotate':
        return code.emit([POP_RDX, POP_RCX, POP_RAX, PUSH_RDX, PUSH_RAX, PUSH_RCX]);
      default:
        code.emit([POP_RCX]);
        return this.onTop(BINARY[step.op]);
    }
  }

  private constant(value: bigint): void {
    const signed = BigInt.asIntN(64, value);
    if (signed === BigInt.asIntN(32, value)) return this.code.emit([0x68, ...int32(Number(signed))]); // push
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigInt64(0, signed, true);
    this.code.emit([0x48, 0xb8, ...bytes, PUSH_RAX]); // mov rax, imm64
  }

  private earlier(address: Gva, size: 1 | 2 | 4 | 8): void {
    const { pieces = [] } = this.purpose;
    const index = pieceOf(pieces, address, size);
    invariant(index >= 0, 'what was there earlier is known of watched memory');
    this.relative([0x48, 0x8d, 0x05], watchedField(index) + address - pieces[index].address); // lea rax
    this.code.emit([...LOADS[size], PUSH_RAX]);
  }

  private register(slot: number): void {
    const kept = KEPT.get(slot);
    if (slot === Reg.rip) return this.constant(BigInt(this.address));
    if (kept !== undefined) return this.relative([0xff, 0x35], kept); // push [kept]
    const number = ENCODING.get(slot) ?? 0;
    this.code.emit(number >= 8 ? [0x41, 0x50 | (number - 8)] : [0x50 | number]);
  }

  private extend(bits: number, signed: boolean): void {
    if (bits >= 64) return;
    if (bits === 0) return this.onTop(CLEAR_EAX);
    const count = 64 - bits;
    this.onTop([0x48, 0xc1, 0xe0, count, 0x48, 0xc1, signed ? 0xf8 : 0xe8, count]);
  }

  /** Instructions on the topmost value, in rax. */
  private onTop(instructions: readonly number[]): void {
    this.code.emit([POP_RAX, ...instructions, PUSH_RAX]);
  }

  /** @returns where its displacement is */
  private jump(opcode: readonly number[]): number {
    this.code.emit([...opcode, 0, 0, 0, 0]);
    return this.code.length - 4;
  }

  private relative(opcode: readonly number[], field: number): void {
    this.code.emit(opcode);
    this.code.relative(this.area + field);
  }
}
