/** Registers of tasks by gdb's numbers: reads and writes of single registers or all of them. */
import type { DebugTarget, MutableTarget } from '../../engine/target.js';
import type { XstateLayout } from '../../engine/x86/xstate-layout.js';
import { fromHex, PacketError, toHex } from '../packet/fields.js';
import type { RegisterState } from './access.js';
import type { TargetDescription } from './description.js';

/** Reads one register of a task, as the target's bytes. */
export type RegisterReader = (target: DebugTarget, tid: number, number: number) => Uint8Array;

const NO_WORDS = new Uint32Array(0);
const NO_IMAGE = new Uint8Array(0);

export class RegisterBank {
  constructor(
    private readonly description: TargetDescription,
    private readonly layout: XstateLayout,
  ) {}

  private state(target: DebugTarget, tid: number): RegisterState {
    return { words: target.registers(tid), image: target.vectorState(tid), layout: this.layout };
  }

  private register(number: number): TargetDescription['registers'][number] {
    const register = this.description.registers[number];
    if (!register) throw new PacketError(`there is no register ${number}`);
    return register;
  }

  /** Fetches only the part of the state that the register is in: vector state may cost an exit of the vCPU. */
  readonly read: RegisterReader = (target, tid, number) => {
    const register = this.register(number);
    const general = register.part === 'general';
    return register.read({
      words: general ? target.registers(tid) : NO_WORDS,
      image: general ? NO_IMAGE : target.vectorState(tid),
      layout: this.layout,
    });
  };

  readHex(target: DebugTarget, tid: number, number: number): string {
    return toHex(this.read(target, tid, number));
  }

  /** All registers in order: the reply to `g`. */
  readAll(target: DebugTarget, tid: number): string {
    const state = this.state(target, tid);
    return this.description.registers.map((register) => toHex(register.read(state))).join('');
  }

  /**
   * Whether writing `hex` would change nothing. To continue at an address gdb writes rip even if
   * unchanged, and -1 to orig_rax so that the kernel restarts no system call: for a replay this is
   * not a change either.
   */
  isIdle(target: DebugTarget, tid: number, number: number, hex: string): boolean {
    const { name } = this.register(number);
    if (name === 'orig_rax' && target.kind === 'replay') return true;
    return this.readHex(target, tid, number) === hex.toLowerCase();
  }

  /** Throws PacketError if the value has another size than the register. */
  write(target: MutableTarget, tid: number, number: number, hex: string): void {
    const register = this.register(number);
    const bytes = fromHex(hex);
    if (bytes.length !== register.size) {
      throw new PacketError(`${register.name} has ${register.size} bytes, not ${bytes.length}`);
    }
    const state = this.state(target, tid);
    register.write(state, bytes);
    if (register.part === 'general') target.setRegisters(tid, state.words);
    else target.setVectorState(tid, state.image);
  }

  /**
   * As `G` has them. A shorter image sets the first registers, as gdb's stubs have it. What does not change is not
   * written: storing a component makes it present.
   */
  writeAll(target: MutableTarget, tid: number, hex: string): void {
    const bytes = fromHex(hex);
    const state = this.state(target, tid);
    let at = 0;
    for (const register of this.description.registers) {
      if (at + register.size > bytes.length) break;
      const value = bytes.subarray(at, at + register.size);
      if (Buffer.compare(register.read(state), value) !== 0) register.write(state, value);
      at += register.size;
    }
    target.setRegisters(tid, state.words);
    target.setVectorState(tid, state.image);
  }

  /** The number of a register by its name. */
  numberOf(name: string): number {
    const number = this.description.numbers.get(name);
    if (number === undefined) throw new PacketError(`there is no register ${name}`);
    return number;
  }
}
