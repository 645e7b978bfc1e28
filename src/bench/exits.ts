/** What leaving the program costs, by what makes it leave: small programs on a machine, without a trace. */
import { gva, PAGE_SIZE, wordsToGva, type Gva } from '../engine/base/address.js';
import { Reg, setSigned } from '../engine/base/registers.js';
import { Exit } from '../engine/kvm/exit.js';
import { GuestMemory } from '../engine/kvm/guest-memory.js';
import { Selector, Vector } from '../engine/kvm/layout.js';
import type { Machine } from '../engine/kvm/machine.js';
import { AddressSpace } from '../engine/mm/address-space.js';
import { Prot } from '../engine/mm/vma.js';
import { median } from './statistics.js';
import { EFLAGS_RESUME, EFLAGS_TRAP, Exception } from '../engine/x86/constants.js';

const CODE = gva(0x40_0000);
const DATA = gva(0x1_0000_0000);
const DATA_SIZE = 2 ** 30;
const FLAGS = 0x202;
const BUDGET_MICROS = 1_000_000;
const WARM_UP = 500;
const EXITS = 5_000;
/** Times that a machine is woken, and for how long it is left alone before: it sleeps after some milliseconds. */
const WAKE_UPS = 25;
const REST_MILLIS = 40;
/** Bytes between two touches, so that none continues a run. */
const APART = 7 * PAGE_SIZE;

interface Kind {
  readonly name: string;
  /** What makes the program leave. */
  readonly vector: number;
  readonly program: readonly number[];
  readonly flags?: number;
  /** Offset in the program of an execution breakpoint. */
  readonly breakpoint?: number;
  /** What is done before the program goes on. */
  readonly answer?: (space: AddressSpace, machine: Machine) => void;
}

function fill(space: AddressSpace, { context }: Machine): void {
  space.fault(wordsToGva(context.cr2Low, context.cr2High), context.errorCode);
}

function resume(_: AddressSpace, { context }: Machine): void {
  context.registers[2 * Reg.eflags] |= EFLAGS_RESUME;
}

const CALLS: Kind = { name: 'a system call', vector: Vector.syscall, program: [0x0f, 0x05, 0xeb, 0xfc] }; // 1: syscall; jmp 1b

const KINDS: readonly Kind[] = [
  CALLS,
  {
    name: 'a page fault, filled',
    vector: 14,
    program: [0x48, 0x89, 0x07, 0x48, 0x01, 0xf7, 0xeb, 0xf8], // 1: mov %rax, (%rdi); add %rsi, %rdi; jmp 1b
    answer: fill,
  },
  { name: 'an exception', vector: Exception.DE, program: [0xf7, 0xf1] }, // div %ecx
  { name: 'a single step', vector: 1, program: [0xeb, 0xfe], flags: FLAGS | EFLAGS_TRAP }, // 1: jmp 1b
  { name: 'a breakpoint passed', vector: 1, program: [0x90, 0xeb, 0xfd], breakpoint: 0, answer: resume }, // 1: nop; jmp 1b
];

/** A machine with a program of a few instructions in an address space of its own. */
class Runner {
  private readonly memory: GuestMemory;
  private readonly space: AddressSpace;

  constructor(private readonly machine: Machine) {
    const { kernelPml4Low: low, kernelPml4High: high, reserved } = machine;
    this.memory = new GuestMemory(machine.pool, machine.firstFree, DATA_SIZE, (page) =>
      machine.codeWritten(page, PAGE_SIZE),
    );
    this.space = new AddressSpace(this.memory, { low, high, reserved });
    this.map(CODE, PAGE_SIZE, Prot.read | Prot.exec);
    this.map(DATA, DATA_SIZE, Prot.read | Prot.write);
  }

  private map(start: Gva, size: number, prot: number): void {
    const zeros = { backing: null, offset: 0, name: '', file: null };
    this.space.map({ start, end: gva(start + size), prot, ...zeros });
  }

  begin({ program, flags = FLAGS, breakpoint }: Kind): void {
    const { context } = this.machine;
    this.space.write(CODE, Uint8Array.from(program));
    const { registers } = context;
    registers.fill(0);
    setSigned(registers, Reg.rip, CODE);
    setSigned(registers, Reg.cs, Selector.userCs);
    setSigned(registers, Reg.ss, Selector.userSs);
    setSigned(registers, Reg.eflags, flags);
    setSigned(registers, Reg.rdi, DATA);
    setSigned(registers, Reg.rsi, APART);
    context.setBreakpoint(0, breakpoint === undefined ? null : gva(CODE + breakpoint));
    context.requestCr3(this.space.root);
    context.requestFsGsBase();
  }

  /** Lets the program leave so many times. Throws if that is not by what makes it leave. */
  leave(times: number, { name, vector, answer }: Kind): void {
    const { machine, space } = this;
    for (let n = 0; n < times; n++) {
      let exit: Exit;
      do exit = machine.run(BUDGET_MICROS);
      while (exit === Exit.Pending);
      if (machine.context.vector !== vector) throw new Error(`${name}: ${machine.describeFailure()}`);
      answer?.(space, machine);
    }
  }

  close(): void {
    this.machine.context.clearDebugRegisters();
    this.machine.leaveAddressSpace();
    this.space.destroy();
    this.memory.close();
  }
}

export interface ExitCost {
  readonly what: string;
  readonly micros: number;
}

/** Lets a program run that has left already a few times, and ends it. */
function measured<T>(machine: Machine, kind: Kind, measure: (runner: Runner) => T): T {
  const runner = new Runner(machine);
  try {
    runner.begin(kind);
    runner.leave(WARM_UP, kind);
    return measure(runner);
  } finally {
    runner.close();
  }
}

/** Microseconds from one exit to the next, the answer included, for each kind of exit. */
export function exitCosts(machine: Machine, now: () => number): ExitCost[] {
  return KINDS.map((kind) =>
    measured(machine, kind, (runner) => {
      const begun = now();
      runner.leave(EXITS, kind);
      return { what: kind.name, micros: ((now() - begun) * 1000) / EXITS };
    }),
  );
}

/** Microseconds to an exit from the moment that a machine that sleeps is to run: the median of some. */
export function wakeUpCost(machine: Machine, now: () => number): ExitCost {
  const nobody = new Int32Array(new SharedArrayBuffer(4));
  const times = measured(machine, CALLS, (runner) =>
    Array.from({ length: WAKE_UPS }, () => {
      Atomics.wait(nobody, 0, 0, REST_MILLIS);
      const begun = now();
      runner.leave(1, CALLS);
      return (now() - begun) * 1000;
    }),
  );
  return { what: 'a wake-up from sleep', micros: median(times) };
}
