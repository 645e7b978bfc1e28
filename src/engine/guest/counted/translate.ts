import { PAGE_SIZE, USER_END, type Gva, offsetBy, gva } from '../../base/address.js';
import { iced } from '../../x86/iced.js';
import { isSilent } from '../../x86/instruction-sites.js';
import { Assembler, isInReach } from './assembler.js';
import { ChangeSites } from './changes.js';
import { appendCheck } from './check-code.js';
import { appendCount, appendWayOut } from './count.js';
import { comparedBranch, type ComparedBranch } from './compared-branch.js';
import { Area, Fix, Leave } from './layout.js';
import { appendLookUp } from './look-up.js';
import { LoopCopies } from './loop-copies.js';
import { INT3 } from './opcodes.js';
import { appendPopFlags } from './pop-flags.js';
import {
  ADDRESS_SIZE,
  appendBranch,
  appendCopy,
  FS,
  GS,
  Reading,
  signed,
  type RelativeOperand,
} from './reading.js';
import type { Exit, Source, Unit } from './unit.js';

/** Instructions of the program in one unit, about. */
const MAX_INSTRUCTIONS = 512;

/** Copies what control reaches in a page from its entry on. Direct transfers within the page stay within the copies. */
export function translate(source: Source): Unit {
  return new Translation(source).run();
}

interface Reference {
  readonly at: number;
  readonly target: number;
}

/** Out of a pair that is not to be counted. */
interface WayOut {
  /** Where the displacement to it is. */
  readonly at: number;
  /** Where the program is until the comparison is done. */
  readonly address: Gva;
  readonly offset: number;
  readonly branch: number;
  readonly memory: RelativeOperand;
}

class Translation {
  private readonly code: Assembler;
  private readonly starts = new Map<number, number>();
  private readonly passing = new Map<number, number>();
  private readonly waiting: number[] = [];
  private readonly jumps: Reference[] = [];
  private readonly constants: Reference[] = [];
  private readonly exits: Exit[] = [];
  private readonly returns: number[] = [];
  private readonly ways: WayOut[] = [];
  private readonly changes: ChangeSites | null;
  private straddles = false;
  private left = MAX_INSTRUCTIONS;
  private readonly reading: Reading;
  private readonly loops: LoopCopies;

  constructor(private readonly source: Source) {
    this.code = new Assembler(source.at);
    this.reading = new Reading(source);
    this.loops = new LoopCopies(this.code, source, this.reading, (target) => this.reference(target));
    this.changes = source.watched && new ChangeSites(this.code, source.area, source.watched);
  }

  run(): Unit {
    try {
      this.waiting.push(this.source.entry);
      do this.copyWaiting();
      while (this.loops.append());
      this.finish();
    } finally {
      this.reading.free();
      this.changes?.free();
    }
    const { code, starts, passing, exits, returns, straddles } = this;
    return { code, starts, passing, exits, returns, straddles };
  }

  private copyWaiting(): void {
    for (let offset = this.waiting.pop(); offset !== undefined; offset = this.waiting.pop())
      if (this.left > 0 && !this.starts.has(offset) && this.source.known(offset) === 0) this.straight(offset);
  }

  /** Copies from an offset to where control does not go on. */
  private straight(from: number): void {
    const { source, reading } = this;
    for (let offset = from; ;) {
      const address = offsetBy(source.page, offset);
      const isElsewhere = offset >= PAGE_SIZE || this.starts.has(offset) || source.known(offset) !== 0;
      if (isElsewhere || this.left-- <= 0) return this.jump(address, address);
      const stop = source.stopAt(address);
      const isAlways = stop?.length === 0;
      if (isAlways) {
        this.leave(offset, Leave.stop);
        this.passing.set(offset, this.code.length);
      }
      const end = reading.decode(offset);
      if (end < 0) return this.leave(offset, Leave.odd);
      if (end > PAGE_SIZE) this.straddles = true;
      if (!isAlways) {
        this.starts.set(offset, this.code.length + 1);
        if (stop) appendCheck(this.code, source.area, address, stop);
      }
      const pair = this.comparedBranch(offset, end);
      if (pair) this.pair(offset, pair);
      else if (!this.copy(offset, end)) return;
      offset = pair?.end ?? end;
    }
  }

  /** @returns whether control continues after it */
  private copy(offset: number, end: number): boolean {
    const { FlowControl, Mnemonic } = iced();
    const { reading } = this;
    const { instruction } = reading;
    const address = offsetBy(this.source.page, offset);
    switch (instruction.flowControl) {
      case FlowControl.Next:
        return this.plain(offset, end, address);
      case FlowControl.ConditionalBranch:
        return this.conditional(offset, end, address);
      case FlowControl.UnconditionalBranch: {
        const target = instruction.mnemonic === Mnemonic.Jmp ? reading.directTarget(offset) : null;
        if (target === null) return this.odd(offset);
        this.jump(target, address, end);
        return false;
      }
      case FlowControl.Call: {
        if (instruction.mnemonic === Mnemonic.Syscall) return this.inPlace(address);
        const target = instruction.mnemonic === Mnemonic.Call ? reading.directTarget(offset) : null;
        if (target === null) return this.odd(offset);
        this.push(address, end);
        this.changes?.compare(target);
        this.jump(target, target);
        return false;
      }
      case FlowControl.Return:
        return instruction.mnemonic === Mnemonic.Ret ? this.return(offset, end, address) : this.odd(offset);
      case FlowControl.IndirectBranch:
      case FlowControl.IndirectCall:
        return this.indirect(offset, end, address);
      case FlowControl.Interrupt:
      case FlowControl.Exception:
        return this.inPlace(address);
      default:
        return this.odd(offset);
    }
  }

  private plain(offset: number, end: number, address: Gva): boolean {
    const { code, reading } = this;
    const hidden = reading.hiddenKind(offset);
    // What the service completes in place is stepped over there.
    if (hidden !== null) return isSilent(hidden) ? this.odd(offset) : this.refused(address);
    if (reading.isPopFlags(offset)) {
      appendPopFlags(code, this.source.area, address, end - offset > 1);
      return true;
    }
    if (reading.isDelicate) return this.odd(offset);
    const memory = reading.relativeOperand(code.here);
    if (memory === 'odd') return this.odd(offset);
    const stores = this.changes?.storesOf(reading.instruction) ?? 'elsewhere';
    if (stores === 'string')
      this.changes?.stepIfOverlapping(this.source.bytes.subarray(offset, end), address);
    code.mark(address, Fix.none);
    this.emitCopy(offset, end, memory);
    if (stores !== 'elsewhere') this.changes?.compare(offsetBy(this.source.page, end));
    return true;
  }

  private emitCopy(offset: number, end: number, memory: RelativeOperand): void {
    appendCopy(this.code, this.source.bytes, { offset, end }, memory);
  }

  /** The pair that begins with the instruction at an offset, if it may be counted as one; or null. */
  private comparedBranch(offset: number, behind: number): ComparedBranch | null {
    const { source, reading, code } = this;
    const pair = comparedBranch(source.bytes, offset, behind);
    if (!pair || source.stopAt(offsetBy(source.page, behind)) !== null) return null;
    const target = source.page + pair.target;
    if (target < 0 || target >= USER_END || reading.hiddenKind(offset) !== null) return null;
    return reading.relativeOperand(code.here) === 'odd' ? null : pair;
  }

  /**
   * Counts between the flags of before and those of the comparison, which are no more and not yet of use: by one instruction
   * that keeps neither. Where it may raise an exception, the comparison is executed before that, too.
   */
  private pair(offset: number, pair: ComparedBranch): void {
    const { code, source } = this;
    const { branch, end, twice, condition, target } = pair;
    const relative = this.reading.relativeOperand(code.here);
    const memory = relative === 'odd' ? null : relative;
    const branchAt = offsetBy(source.page, branch);
    const address = twice ? branchAt : offsetBy(source.page, offset);
    if (twice) {
      code.mark(offsetBy(source.page, offset), Fix.none);
      this.emitCopy(offset, branch, memory);
    }
    code.mark(address, Fix.none);
    code.emit([0x48, 0xff, 0x0d]); // dec qword [left]
    code.relative(source.area + Area.left);
    code.mark(address, Fix.uncount | Fix.flags);
    code.emit([0x0f, 0x88]); // js
    this.ways.push({ at: code.length, address, offset, branch, memory });
    code.emit([0, 0, 0, 0]);
    code.mark(address, Fix.uncount | Fix.flags);
    this.emitCopy(offset, branch, memory);
    code.mark(branchAt, Fix.uncount);
    code.emit([0x0f, 0x80 | condition]);
    this.branchTo(gva(source.page + target), end);
    this.left--;
  }

  /** Where nothing is left: the comparison, and out, before the branch. */
  private finishWays(): void {
    const { code, source } = this;
    for (const { at, address, offset, branch, memory } of this.ways) {
      code.patchRelative(at, code.here);
      code.mark(address, Fix.uncount | Fix.flags);
      this.emitCopy(offset, branch, memory);
      code.mark(offsetBy(source.page, branch), Fix.uncount, Leave.limit);
      code.emit([INT3]);
    }
  }

  private conditional(offset: number, end: number, address: Gva): boolean {
    const { bytes } = this.source;
    const { code } = this;
    const { reading } = this;
    const target = reading.directTarget(offset);
    if (target === null) return this.odd(offset);
    const after = offsetBy(this.source.page, end);
    const wayOut = appendCount(code, this.source.area, address);
    code.mark(address, Fix.uncount);
    appendBranch(
      code,
      bytes,
      { offset, opcode: reading.opcodeAt(offset) },
      {
        after: () => code.mark(after, Fix.none),
        target: () => code.mark(target, Fix.none),
      },
    );
    this.branchTo(target, end);
    code.mark(after, Fix.none);
    code.emit([0xeb, 0x08]);
    appendWayOut(code, this.source.area, address, wayOut);
    return true;
  }

  private return(offset: number, end: number, address: Gva): boolean {
    if (this.reading.isSized(offset)) return this.odd(offset);
    const { code } = this;
    const { bytes } = this.source;
    const pops = bytes[this.reading.opcodeAt(offset)] === 0xc2 ? bytes[end - 2] | (bytes[end - 1] << 8) : 0;
    appendLookUp(code, this.source.area, address, () => code.emit([0x48, 0x8b, 0x0c, 0x24])); // mov rcx, [rsp]
    code.mark(address, Fix.none);
    const size = 8 + pops;
    code.emit([0x48, 0x8d, 0xa4, 0x24, size & 0xff, (size >> 8) & 0xff, size >> 16, 0]); // lea rsp, [rsp+size]
    this.jumpToFound();
    return false;
  }

  private indirect(offset: number, end: number, address: Gva): boolean {
    const { instruction } = this.reading;
    if (instruction.isJmpFarIndirect || instruction.isCallFarIndirect || this.reading.isSized(offset))
      return this.odd(offset);
    if (instruction.isIpRelMemoryOperand && instruction.memoryBase !== iced().Register.RIP)
      return this.odd(offset);
    const isCall = instruction.flowControl === iced().FlowControl.IndirectCall;
    const load = this.loadOfOperand(offset, end);
    if (load === null) return this.odd(offset);
    appendLookUp(this.code, this.source.area, address, load);
    if (isCall) {
      this.push(address, end);
      this.changes?.compare(address, Fix.target);
    }
    this.jumpToFound();
    return false;
  }

  /** MOV rcx, with the operand of the indirect transfer; null where it is out of reach. */
  private loadOfOperand(offset: number, end: number): (() => void) | null {
    const { bytes } = this.source;
    const { code, reading } = this;
    const { instruction } = reading;
    const opcode = reading.opcodeAt(offset);
    const before = bytes.subarray(offset, opcode);
    const rex = before.length > 0 ? before[before.length - 1] : 0;
    const kept = [...before].filter((byte) => byte === FS || byte === GS || byte === ADDRESS_SIZE);
    const modrm = (bytes[opcode + 1] & 0xc7) | (1 << 3);
    const head = [...kept, 0x48 | (rex >> 4 === 4 ? rex & 3 : 0), 0x8b, modrm];
    const rest = bytes.subarray(opcode + 2, end);
    if (!instruction.isIpRelMemoryOperand) return () => code.emit([...head, ...rest]);
    const target = signed(instruction.ipRelMemoryAddress);
    if (!isInReach(target - code.here - 64) || !isInReach(target - code.here)) return null;
    return () => {
      code.emit(head);
      code.relative(target);
    };
  }

  private jumpToFound(): void {
    this.code.mark(0, Fix.target);
    this.code.emit([0xff, 0x25]); // jmp [jump]
    this.code.relative(this.source.area + Area.jump);
  }

  /**
   * Pushes the address that a call comes back to, by one instruction, so that a fault leaves nothing done. What is there is
   * copied, too.
   */
  private push(address: Gva, back: number): void {
    this.code.mark(address, Fix.none);
    this.code.emit([0xff, 0x35]);
    this.constants.push({ at: this.code.length, target: this.source.page + back });
    this.code.emit([0, 0, 0, 0]);
    if (back >= PAGE_SIZE) return;
    this.returns.push(back);
    this.waiting.push(back);
  }

  /** JMP to the copy of `target`; it replaces the program's code at `origin`, a transfer if it has an `end`. */
  private jump(target: Gva, origin: Gva, end = -1): void {
    this.code.mark(origin, Fix.none);
    this.code.emit([0xe9]);
    this.branchTo(target, end);
  }

  /** A displacement, of the program's transfer that ends at an offset of the page. */
  private branchTo(target: Gva, end: number): void {
    if (!this.loops.refer(target, end)) this.reference(target);
  }

  /** A displacement to the copy of `target`, which is made, too, if it lies in the page. */
  private reference(target: Gva): void {
    this.jumps.push({ at: this.code.length, target });
    this.code.emit([0, 0, 0, 0]);
    const offset = target - this.source.page;
    if (offset >= 0 && offset < PAGE_SIZE) this.waiting.push(offset);
  }

  /** The instruction is executed where it is: it leaves the guest, or its page holds something else for the processor. */
  private inPlace(address: Gva): boolean {
    this.code.mark(address, Fix.none);
    this.code.emit([0xe9]);
    this.code.relative(address);
    return false;
  }

  /** UD2 instead: who handles the exception does what the instruction would have done. */
  private refused(address: Gva): boolean {
    this.code.mark(address, Fix.none);
    this.code.emit([0x0f, 0x0b]);
    return false;
  }

  /** A check before it would not be executed by who comes there directly: whoever asked for the stop is to find out. */
  private odd(offset: number): boolean {
    const isStop = this.source.stopAt(offsetBy(this.source.page, offset)) !== null;
    this.leave(offset, isStop ? Leave.stop : Leave.odd);
    return false;
  }

  private leave(offset: number, leave: number): void {
    // A stop's INT3 is already here, and nothing enters behind it.
    if (this.passing.delete(offset)) return;
    this.starts.set(offset, -(this.code.length + 1));
    this.code.mark(this.source.page + offset, Fix.none, leave);
    this.code.emit([INT3]);
  }

  /** The exits, and the words that the unit reads. */
  private finish(): void {
    const { code } = this;
    this.finishWays();
    this.changes?.finish();
    const slots = new Map<number, number[]>();
    const stubs = new Map<number, { jump: number; stub: number }>();
    for (const { at, target } of this.jumps) {
      const copy = this.copyOf(target);
      if (copy !== 0) {
        code.patchRelative(at, copy);
        continue;
      }
      let exit = stubs.get(target);
      if (!exit) {
        exit = { jump: code.length, stub: 0 };
        code.mark(target, Fix.none);
        code.emit([0xff, 0x25, 0, 0, 0, 0]); // jmp [slot]
        exit.stub = code.length;
        code.mark(target, Fix.none, Leave.direct);
        code.emit([INT3]);
        stubs.set(target, exit);
      }
      code.patchRelative(at, code.start + exit.jump);
    }
    code.align(8);
    for (const [target, { jump, stub }] of stubs) {
      code.patchRelative(jump + 2, code.here);
      this.exits.push({ slot: code.length, stub, target: gva(target) });
      code.word(code.start + stub);
    }
    for (const { at, target } of this.constants) slots.set(target, [...(slots.get(target) ?? []), at]);
    for (const [target, places] of slots) {
      for (const at of places) code.patchRelative(at, code.here);
      code.word(target);
    }
  }

  private copyOf(target: number): number {
    const offset = target - this.source.page;
    if (offset < 0 || offset >= PAGE_SIZE) return 0;
    const start = this.starts.get(offset);
    return start === undefined ? this.source.known(offset) : this.code.start + Math.abs(start) - 1;
  }
}
