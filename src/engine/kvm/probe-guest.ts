import { gpa, gva, highWord, lowWord, type Gpa, type Gva } from '../base/address.js';
import { RevenantError } from '../base/errors.js';
import { Reg, getRegister, setRegister, type RegisterName } from '../base/registers.js';
import { Exit, exceptionName } from './exit.js';
import { Selector, Vector } from './layout.js';
import type { Machine } from './machine.js';
import { poolHighWord } from './page-tables.js';

const PAGE = 4096;
const PTE_TABLE = 7; // present, writable, user
const PTE_CODE = 5; // present, user
const PTE_NX_HIGH = 0x8000_0000;
const DATA_PAGES = 5;
/** Bytes; longer than any program of the probe. */
const MAX_PROGRAM = 64;
/** Tables, code and data, from the first free page. */
const CODE_OFFSET = 4 * PAGE;
const DATA_OFFSET = 5 * PAGE;
const END_OFFSET = DATA_OFFSET + DATA_PAGES * PAGE;

/** A run that takes longer has hung: the longest program executes a few hundred CPUIDs. */
const BUDGET_MICROS = 200_000;
const TRIES = 10;
/** After a kick. Many: on a busy computer the vCPU may wait long for its turn, and only a stuck one takes them all. */
const KICK_TRIES = 300;

export const CODE: Gva = gva(0x40_0000);
export const DATA: Gva = gva(0x40_1000);
export const DATA_SIZE = DATA_PAGES * PAGE;

/** How one program of the probe ended. */
export interface Outcome {
  /** Exit.* */
  exit: Exit;
  vector: number;
  /** For people: "system call", "#PF at 0x400000, error code 0x7, address 0x400010". */
  text: string;
  rip: bigint;
  errorCode: number;
  cr2: bigint;
  dr6: number;
}

export type Registers = Partial<Record<RegisterName, bigint>>;

/**
 * Two kinds of pages, code and data, in a small address space of their own at the start of the free
 * pool, and the running of programs in them within bounded time.
 */
export class ProbeGuest {
  /** The data pages, as the program sees them at DATA. */
  readonly data: Uint8Array;
  private readonly base: Gpa;
  private readonly words: Uint32Array;
  private readonly code: Uint8Array;
  /** A program neither exited nor could be interrupted: the vCPU is unusable. */
  private stuck = false;

  constructor(private readonly machine: Machine) {
    this.base = machine.firstFree;
    this.words = new Uint32Array(machine.pool, this.base, (4 * PAGE) / 4);
    this.code = new Uint8Array(machine.pool, this.base + CODE_OFFSET, PAGE);
    this.data = new Uint8Array(machine.pool, this.base + DATA_OFFSET, DATA_SIZE);
    new Uint8Array(machine.pool, this.base, END_OFFSET).fill(0); // a session may have been here
    this.writeTables();
  }

  get isStuck(): boolean {
    return this.stuck;
  }

  /** Runs a program from its first byte with these registers (others 0) until it leaves. */
  run(program: Uint8Array, registers: Registers = {}): Outcome {
    if (this.stuck) return failed('not run: the vCPU is stuck');
    const { context } = this.machine;
    this.code.fill(0xcc, 0, MAX_PROGRAM);
    this.code.set(program);
    this.machine.codeWritten(gpa(this.base + CODE_OFFSET), MAX_PROGRAM);
    context.registers.fill(0);
    setRegister(context.registers, Reg.rip, BigInt(CODE));
    setRegister(context.registers, Reg.cs, BigInt(Selector.userCs));
    setRegister(context.registers, Reg.ss, BigInt(Selector.userSs));
    setRegister(context.registers, Reg.eflags, 0x202n);
    setRegister(context.registers, Reg.rsp, BigInt(DATA + DATA_SIZE));
    for (const [name, value] of Object.entries(registers)) {
      setRegister(context.registers, Reg[name as RegisterName], value);
    }
    context.requestCr3(this.base);
    context.requestFsGsBase();
    return this.go();
  }

  /** Continues the program that left last. */
  go(): Outcome {
    let exit: Exit = Exit.Pending;
    for (let i = 0; i < TRIES && exit === Exit.Pending; i++) exit = this.machine.run(BUDGET_MICROS);
    if (exit === Exit.Pending) {
      this.machine.kick();
      for (let i = 0; i < KICK_TRIES && exit === Exit.Pending; i++) exit = this.machine.run(BUDGET_MICROS);
    }
    if (exit === Exit.Pending) {
      this.stuck = true;
      return failed('no exit and no reaction to an interruption');
    }
    const outcome = this.describe(exit);
    if (exit === Exit.Failed) this.machine.restart(); // after a triple fault and the like
    return outcome;
  }

  register(name: RegisterName): bigint {
    return getRegister(this.machine.context.registers, Reg[name]);
  }

  /** Leaves the machine as it was made: memory zero, registers, debug registers and vector state initial. */
  close(): void {
    if (this.stuck) return;
    const { context } = this.machine;
    this.leaveTables();
    new Uint8Array(this.machine.pool, this.base, END_OFFSET).fill(0);
    this.machine.codeWritten(gpa(this.base + CODE_OFFSET), MAX_PROGRAM);
    context.registers.fill(0);
    context.xstate.fill(0);
    context.clearDebugRegisters();
    context.requestFsGsBase();
  }

  /** The vCPU is not to be on page tables that are about to be zeroed. */
  private leaveTables(): void {
    try {
      this.machine.leaveAddressSpace();
    } catch (error) {
      if (!(error instanceof RevenantError)) throw error;
      this.machine.restart();
    }
  }

  private describe(exit: Exit): Outcome {
    const { context } = this.machine;
    const outcome = {
      exit,
      vector: context.vector,
      text: '',
      rip: this.register('rip'),
      errorCode: context.errorCode,
      cr2: (BigInt(context.cr2High) << 32n) | BigInt(context.cr2Low),
      dr6: context.dr6,
    };
    outcome.text = textOf(outcome, exit === Exit.Failed ? this.machine.describeFailure() : '');
    return outcome;
  }

  /** PML4, PDPT, PD and PT: CODE readable and executable, DATA readable and writable. */
  private writeTables(): void {
    const { machine, base, words } = this;
    const poolHigh = poolHighWord(machine.kernelPml4High);
    const entry = (table: number, index: number, target: number, flags: number, high = 0): void => {
      words[(table * PAGE) / 4 + 2 * index] = lowWord(target) | flags;
      words[(table * PAGE) / 4 + 2 * index + 1] = (poolHigh + highWord(target)) | high;
    };
    entry(0, 0, base + PAGE, PTE_TABLE);
    entry(0, 511, 0, machine.kernelPml4Low, machine.kernelPml4High);
    entry(1, 0, base + 2 * PAGE, PTE_TABLE);
    entry(2, 2, base + 3 * PAGE, PTE_TABLE); // 0x400000 = 2 * 2 MiB
    entry(3, 0, base + CODE_OFFSET, PTE_CODE);
    for (let i = 0; i < DATA_PAGES; i++) {
      entry(3, 1 + i, base + DATA_OFFSET + i * PAGE, PTE_TABLE, PTE_NX_HIGH);
    }
  }
}

function failed(text: string): Outcome {
  return { exit: Exit.Failed, vector: -1, text, rip: 0n, errorCode: 0, cr2: 0n, dr6: 0 };
}

function textOf(outcome: Omit<Outcome, 'text'>, failure: string): string {
  const at = `at 0x${outcome.rip.toString(16)}`;
  if (outcome.exit === Exit.Syscall) return `system call ${at}`;
  if (outcome.exit === Exit.Interrupted) return `interrupted ${at}`;
  if (outcome.exit !== Exit.Exception) return failure;
  const name = outcome.vector === Vector.int80 ? 'int $0x80' : exceptionName(outcome.vector);
  if (outcome.vector !== 14) return `${name} ${at}`;
  return `${name} ${at}, error code ${outcome.errorCode}, address 0x${outcome.cr2.toString(16)}`;
}
