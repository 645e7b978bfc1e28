import { PAGE_SIZE, gva, offsetBy, type Gva } from '../../base/address.js';
import type { Assembler } from './assembler.js';
import { Area, Fix, REGISTER_SHIFT } from './layout.js';
import { findLoop, type Loop, type LoopInstruction } from './loop.js';
import { int32, LOAD_RCX, STORE_RCX } from './opcodes.js';
import { appendBranch, appendCopy, type Reading } from './reading.js';
import type { Source } from './unit.js';

/** Instructions of all loops of a unit. */
const MAX_INSTRUCTIONS = 512;
/** Branches that the register takes from `Area.left` at a time: at most by so many is `CountedCode.leftNow` too low. */
const MAX_AHEAD = 0x400_0000;
/** A short loop is unrolled: so many turns, of which only the first is checked, and so many instructions in all. */
const MAX_TURNS = 4;
const MAX_UNROLLED = 12;
/** Bytes that a copy has more than the program, about: for each instruction, and for each loop. */
const [ADDED, ADDED_ONCE] = [8, 32];

interface WantedLoop extends Loop {
  /** Where displacements to it are, until it is appended. */
  readonly sites: number[];
  /** Its address; -1: not yet known. */
  start: number;
}

/**
 * A unit's second copies of loops. They count in a register: a turn costs one or two plain instructions more than the
 * program's own, and no memory. `Area.left` and the register together are what is left; the register holds part of it, of
 * which there is enough for another turn as long as it is positive. Only transfers that begin a turn in the other copies
 * lead here, and what leaves the loop restores the register. Where what is left may be too little for a turn, the
 * other copies go on.
 */
export class LoopCopies {
  private readonly waiting: WantedLoop[] = [];
  /** By first instruction and end of the last transfer (see `loopOf`); null: it cannot be copied so. */
  private readonly known = new Map<number, WantedLoop | null>();
  private room = MAX_INSTRUCTIONS;

  /** @param reference appends a displacement to the other copy of an address */
  constructor(
    private readonly code: Assembler,
    private readonly source: Source,
    private readonly reading: Reading,
    private readonly reference: (target: Gva) => void,
  ) {}

  /**
   * Appends a displacement to a loop, of the transfer that ends at an offset of the page.
   * @returns false if it begins no turn of one
   */
  refer(target: Gva, end: number): boolean {
    const head = target - this.source.page;
    if (head < 0 || head >= end) return false;
    const loop = this.loopOf(head, end);
    if (!loop) return false;
    const { code } = this;
    if (loop.start >= 0) code.relative(loop.start);
    else {
      loop.sites.push(code.length);
      code.emit([0, 0, 0, 0]);
    }
    return true;
  }

  /**
   * Appends the loops that were referred to.
   * @returns whether there were any
   */
  append(): boolean {
    const wanted = this.waiting.splice(0);
    for (const loop of wanted) {
      this.keepInPage(loop);
      const copy = new LoopCopy(this.code, this.source, loop, this.reference);
      loop.start = this.code.here;
      for (const site of loop.sites) this.code.patchRelative(site, loop.start);
      copy.append();
    }
    return wanted.length > 0;
  }

  private loopOf(head: number, end: number): WantedLoop | null {
    const key = head * 2 * PAGE_SIZE + end;
    const known = this.known.get(key);
    if (known !== undefined) return known;
    const found = findLoop(this.source, this.reading, head, end);
    const loop = found && found.instructions.length <= this.room ? { ...found, sites: [], start: -1 } : null;
    this.known.set(key, loop);
    if (loop) {
      this.room -= loop.instructions.length;
      this.waiting.push(loop);
    }
    return loop;
  }

  /** An emulator looks up the target of every branch from page to page. */
  private keepInPage(loop: Loop): void {
    const { code } = this;
    const { instructions } = loop;
    const own = instructions[instructions.length - 1].end - instructions[0].offset;
    const size = turnsOf(loop) * (own + instructions.length * ADDED) + ADDED_ONCE;
    if (size <= PAGE_SIZE / 2 && (code.here % PAGE_SIZE) + size > PAGE_SIZE) code.align(PAGE_SIZE);
  }
}

const turnsOf = ({ instructions: { length } }: Loop): number =>
  Math.max(1, Math.min(MAX_TURNS, Math.floor(MAX_UNROLLED / length)));

/** One of them, which is appended once. */
class LoopCopy {
  /** By turn, where the copies of instructions are, by offset in the program's page. */
  private readonly labels: Map<number, number>[] = [];
  private readonly jumps: { readonly at: number; readonly target: number; readonly turn: number }[] = [];
  private readonly turns: number;
  private readonly spare: number;
  private readonly inLoop: number;
  /** Displacement to what is executed where the register is used up, and where that goes back to. */
  private refill = { at: 0, back: 0 };

  constructor(
    private readonly code: Assembler,
    private readonly source: Source,
    private readonly loop: Loop,
    private readonly reference: (target: Gva) => void,
  ) {
    this.turns = turnsOf(loop);
    this.spare = Fix.spare | (loop.counter.slot << REGISTER_SHIFT);
    this.inLoop = this.spare | Fix.counter;
  }

  append(): void {
    const { code, loop } = this;
    const { encoding } = loop.counter;
    const head = this.addressOf(loop.instructions[0].offset);
    code.mark(head, Fix.none);
    this.store(encoding, Area.spare);
    code.mark(head, this.spare);
    code.emit([0x41, 0xb8 | encoding, 0, 0, 0, 0]); // mov r32, 0
    for (let turn = 0; turn < this.turns; turn++) this.appendTurn();
    this.appendRefill();
    this.appendExits();
  }

  private appendTurn(): void {
    const { instructions, check } = this.loop;
    const labels = new Map<number, number>();
    const isFirst = this.labels.push(labels) === 1;
    let isCounted = false;
    instructions.forEach((instruction, index) => {
      labels.set(instruction.offset, this.code.length);
      const { flow } = instruction;
      if (isFirst && index === check) {
        this.check(instruction);
        isCounted = true;
      } else if (flow === 'next') this.copy(instruction, isCounted ? Fix.uncount : Fix.none);
      else if (flow === 'jump') this.jump(instruction);
      else {
        this.branch(instruction, isCounted);
        isCounted = false;
      }
    });
    const last = instructions[instructions.length - 1];
    if (last.flow === 'jump' || this.isOnward(last)) return;
    this.code.mark(this.addressOf(last.end), this.inLoop);
    this.jumpTo(last.end);
  }

  private addressOf(offset: number): Gva {
    return offsetBy(this.source.page, offset);
  }

  private copy(instruction: LoopInstruction, fix: number): void {
    this.code.mark(this.addressOf(instruction.offset), this.inLoop | fix);
    appendCopy(this.code, this.source.bytes, instruction, instruction.memory);
  }

  /** Counts the first branch, and sees to it that there is enough for the others of all turns. */
  private check(instruction: LoopInstruction): void {
    const { code } = this;
    const { twice, counter } = this.loop;
    if (twice) this.copy(instruction, Fix.none);
    const address = this.addressOf(twice ? instruction.end : instruction.offset);
    code.mark(address, this.inLoop);
    code.emit([0x49, 0xff, 0xc8 | counter.encoding]); // dec
    code.mark(address, this.inLoop | Fix.uncount | Fix.flags);
    code.emit([0x0f, 0x8e]); // jle
    const at = code.length;
    code.emit([0, 0, 0, 0]);
    this.refill = { at, back: code.here };
    code.mark(address, this.inLoop | Fix.uncount | Fix.flags);
    appendCopy(code, this.source.bytes, instruction, instruction.memory);
  }

  private branch(instruction: LoopInstruction, isCounted: boolean): void {
    const { code, source } = this;
    const { offset, end, target } = instruction;
    const address = this.addressOf(offset);
    if (!isCounted) {
      code.mark(address, this.inLoop);
      const { encoding } = this.loop.counter;
      const base = encoding === 4 ? [0x64, 0x24] : [0x40 | encoding | (encoding << 3)];
      code.emit([0x4d, 0x8d, ...base, 0xff]); // lea reg, [reg-1]
    }
    code.mark(address, this.inLoop | Fix.uncount);
    if (this.isOnward(instruction)) {
      code.emit([0x0f, 0x81 ^ conditionOf(source.bytes, instruction)]);
      return this.displacementTo(end);
    }
    appendBranch(code, source.bytes, instruction, {
      after: () => code.mark(this.addressOf(end), this.inLoop),
      target: () => code.mark(gva(source.page + target), this.inLoop),
    });
    this.displacementTo(target);
  }

  /** Whether the next turn follows right behind an instruction where it begins one. */
  private isOnward({ end, opcode, target, flow }: LoopInstruction): boolean {
    const { instructions } = this.loop;
    const isLast = end === instructions[instructions.length - 1].end && this.labels.length < this.turns;
    const hasOpposite = flow === 'conditional' && this.source.bytes[opcode] >> 4 !== 0xe;
    return isLast && hasOpposite && target === instructions[0].offset;
  }

  private jump({ offset, target }: LoopInstruction): void {
    this.code.mark(this.addressOf(offset), this.inLoop);
    this.jumpTo(target);
  }

  private jumpTo(target: number): void {
    this.code.emit([0xe9]);
    this.displacementTo(target);
  }

  private displacementTo(target: number): void {
    this.jumps.push({ at: this.code.length, target, turn: this.labels.length - 1 });
    this.code.emit([0, 0, 0, 0]);
  }

  /**
   * What the register has not used up goes back, and it gets more; or the other copies go on. Of the flags only CF matters here:
   * the instruction that follows may keep it (DEC), or add it (ADC).
   */
  private appendRefill(): void {
    const { code, loop } = this;
    const { encoding } = loop.counter;
    const instruction = loop.instructions[loop.check];
    const address = this.addressOf(loop.twice ? instruction.end : instruction.offset);
    const flags = this.spare | Fix.uncount | Fix.flags;
    const loadCarry = (fix: number): void => {
      code.mark(address, fix);
      code.emit([0x0f, 0xba, 0x25]); // bt dword [carry], 0
      code.relative(this.source.area + Area.carry - 1);
      code.emit([0]);
    };
    code.patchRelative(this.refill.at, code.here);
    const group = (operation: number, value: number): void => {
      // cmp, sub reg, imm32
      code.emit([0x49, 0x81, 0xc0 | (operation << 3) | encoding, ...int32(value)]);
    };
    code.mark(address, flags | Fix.counter);
    code.emit([0x0f, 0x92, 0x05]); // setc [carry]
    code.relative(this.source.area + Area.carry);
    code.mark(address, flags | Fix.counter);
    this.field(0x01, encoding, Area.left); // add [left], reg
    code.mark(address, flags);
    this.field(0x8b, encoding, Area.left); // mov reg, [left]
    code.mark(address, flags);
    group(5, loop.branches * this.turns);
    code.mark(address, flags);
    code.emit([0x7e, 0]); // jle out
    const out = code.length - 1;
    code.mark(address, flags);
    group(7, MAX_AHEAD);
    code.mark(address, flags);
    code.emit([0x7e, 0]); // jle behind
    const less = code.length - 1;
    code.mark(address, flags);
    code.emit([0x49, 0xc7, 0xc0 | encoding, ...int32(MAX_AHEAD)]); // mov reg, imm32
    code.patchShort(less);
    code.mark(address, flags);
    this.field(0x29, encoding, Area.left); // sub [left], reg
    loadCarry(flags | Fix.counter);
    code.mark(address, flags | Fix.counter);
    code.emit([0xe9]);
    code.relative(this.refill.back);
    code.patchShort(out);
    code.mark(address, flags);
    code.emit([0x48, 0xff, 0x05]); // inc qword [left]
    code.relative(this.source.area + Area.left);
    loadCarry(this.spare | Fix.flags);
    code.mark(address, this.spare | Fix.flags);
    this.load(encoding, Area.spare);
    code.mark(address, Fix.flags);
    appendCopy(code, this.source.bytes, instruction, instruction.memory);
    code.mark(this.addressOf(instruction.end), Fix.none);
    code.emit([0xe9]);
    this.reference(this.addressOf(instruction.end));
  }

  /** Ways out of the loop, on which flags are kept. */
  private appendExits(): void {
    const { code } = this;
    const exits = new Map<number, number>();
    const head = this.loop.instructions[0].offset;
    for (const { at, target, turn } of this.jumps) {
      const inside = this.labels[target === head ? (turn + 1) % this.turns : turn].get(target);
      let exit = inside ?? exits.get(target);
      if (exit === undefined) {
        exit = code.length;
        exits.set(target, exit);
        this.exit(gva(this.source.page + target));
      }
      code.patchRelative(at, code.start + exit);
    }
  }

  private exit(target: Gva): void {
    const { code } = this;
    const { encoding } = this.loop.counter;
    const { area } = this.source;
    const field = (opcode: readonly number[], at: number, fix: number): void =>
      code.instruction(target, fix, opcode, area + at);
    field(STORE_RCX, Area.rcx, this.inLoop);
    field(LOAD_RCX, Area.left, this.inLoop);
    code.mark(target, this.inLoop | Fix.rcx);
    code.emit([0x4a, 0x8d, 0x0c, 0x01 | (encoding << 3)]); // lea rcx, [rcx+reg]
    field(STORE_RCX, Area.left, this.inLoop | Fix.rcx);
    field(LOAD_RCX, Area.rcx, this.spare | Fix.rcx);
    code.mark(target, this.spare);
    this.load(encoding, Area.spare);
    code.mark(target, Fix.none);
    code.emit([0xe9]);
    this.reference(target);
  }

  private store(encoding: number, field: number): void {
    this.field(0x89, encoding, field);
  }

  private load(encoding: number, field: number): void {
    this.field(0x8b, encoding, field);
  }

  /** An instruction of a register and a field of the data page. */
  private field(opcode: number, encoding: number, field: number): void {
    this.code.emit([0x4c, opcode, (encoding << 3) | 5]);
    this.code.relative(this.source.area + field);
  }
}

/** The low four bits of the opcode of a conditional jump. */
const conditionOf = (bytes: Uint8Array, { opcode }: LoopInstruction): number =>
  bytes[bytes[opcode] === 0x0f ? opcode + 1 : opcode] & 0xf;
