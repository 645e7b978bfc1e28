/** Copies of code that count, against single steps of the code itself (test/guests/counted.S). */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { evaluateAgent, type AgentContext } from '../../src/debugger/agent/expression.js';
import { predicateOf } from '../../src/debugger/agent/predicate.js';
import { PacketError } from '../../src/debugger/packet/fields.js';
import { PAGE_SIZE, hex, type Gva } from '../../src/engine/base/address.js';
import { silentLogger } from '../../src/engine/base/log.js';
import type { Predicate } from '../../src/engine/base/predicate.js';
import { REGISTER_NAMES, Reg, getRegister, ripOf, setRegister } from '../../src/engine/base/registers.js';
import { CountedRun } from '../../src/engine/guest/counted/counted-run.js';
import { GuestCore } from '../../src/engine/guest/guest-core.js';
import type { VectorState } from '../../src/engine/guest/vector-state.js';
import { GuestMemory } from '../../src/engine/kvm/guest-memory.js';
import { Selector } from '../../src/engine/kvm/layout.js';
import type { Machine } from '../../src/engine/kvm/machine.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { Prot } from '../../src/engine/mm/vma.js';
import { ReplayRunner, Stop } from '../../src/engine/replay/run/runner.js';
import type { ReplayCore } from '../../src/engine/replay/state/core.js';
import { SingleStep } from '../../src/engine/replay/ticks/single-step.js';
import type { Task } from '../../src/engine/task/task.js';
import { makeMachine } from '../kvm/guest.js';
import { machinesHere } from '../machines.js';
import { randomExpression, randomNumbers, randomValue } from './random-expression.js';

const CODE = 0x40_0000 as Gva;
const DATA = 0x60_0000 as Gva;
const STACK_END = 0x7fff_0000_0000;
/** Offset and bytes of test/guests/counted.S. */
const SEGMENTS: readonly (readonly [number, string])[] = [
  [
    0x0,
    'b907000000e811010000488d1d2f01000089c883e001ff14c348c7c000184000ffd0e2e19c4158ff25230100000f0b48' +
      'c7c20300000048895424f831c0ffc048035424f84d11c983f80572f1c605ae17000011e8a8170000c6050100000022b0' +
      '019c9db9090000008d49fde302ebf96877004000c30f0bb928000000488d3598000000498d7f40f3a4488d0506000000' +
      '49890741ff27e8620f0000b90b00000083e90175fb498d9f80000000b90d0000008d49ff394b047411f6c101740549ff' +
      'c1ebeeff0b83c201ebe7b90600000083c002e2fbb905000000488d141a488d343e4f8d04084f8d141a4f8d242c4f8d34' +
      '3e488d6d0183e90175dfb8ffffff7f83c0019c31c99d0f90c1669c669dfd9cfc9dfc31ffb83c0000000f05f6c1017508' +
      '4981c267452301c34983ea55410f94c3c34f8d641401f9c2000049c1cc03f8c33a014000000000003101400000000000' +
      '2f0040',
  ],
  [0xffd, '4181c503020100c3'],
  [0x1800, 'b377720349ffc64983d5004983fd047f0750e80200000058c3488b6c240848872c2448872c24c3'],
];
/** Loops that carry CF from turn to turn, as additions of long numbers do; what they leave of it is in rsi. */
const CARRIES: typeof SEGMENTS = [
  [
    0x0,
    // mov ecx, 9; or rdx, -1; stc; 1: adc rax, rdx; lea rbx, [rbx+1]; dec ecx; jnz 1b; sbb rsi, rsi
    'b9090000004883cafff94811d0488d5b01ffc975f54819f6' +
      // mov ecx, 9; 1: shl rdx, 1; dec ecx; jnz 1b; sbb rdi, rdi
      'b90900000048d1e2ffc975f94819ff' +
      // mov ecx, 9; stc; 1: inc rbx; dec ecx; jnz 1b; adc rbx, 0; mov eax, 60; syscall
      'b909000000f948ffc3ffc975f94883d300b83c0000000f05',
  ],
];
const BUDGET_MICROS = 1_000_000;

const kinds = machinesHere(128);

let machine: Machine;

const vectors = { differs: false, load: () => {}, save: () => new Uint8Array(0) } as unknown as VectorState;

/** The program at its first instruction. */
class Program {
  readonly memory = new GuestMemory(machine.pool, machine.firstFree, 64 * 2 ** 20, (page) =>
    machine.codeWritten(page, PAGE_SIZE),
  );
  readonly core = new GuestCore({ machine, memory: this.memory, vectors, log: silentLogger });
  readonly space = this.core.newAddressSpace();
  readonly runner = new ReplayRunner(this.core as ReplayCore);
  readonly counted = new CountedRun(this.core, 0);
  readonly stepper = new SingleStep(machine, this.runner);
  readonly task = { space: this.space, ticks: 0, preload: {}, group: { tgid: 1 } } as unknown as Task;
  readonly registers = machine.context.registers;

  constructor(segments: typeof SEGMENTS) {
    const map = (start: number, size: number, prot: number): void =>
      this.space.map({
        start: start as Gva,
        end: (start + size) as Gva,
        prot,
        backing: null,
        offset: 0,
        name: '',
        file: null,
      });
    map(CODE, 2 * PAGE_SIZE, Prot.read | Prot.write | Prot.exec);
    map(DATA, PAGE_SIZE, Prot.read | Prot.write);
    map(STACK_END - 4 * PAGE_SIZE, 4 * PAGE_SIZE, Prot.read | Prot.write);
    for (const [offset, bytes] of segments)
      this.space.write((CODE + offset) as Gva, Buffer.from(bytes, 'hex'));
    this.registers.fill(0);
    setRegister(this.registers, Reg.rip, BigInt(CODE));
    setRegister(this.registers, Reg.cs, BigInt(Selector.userCs));
    setRegister(this.registers, Reg.eflags, 2n);
    setRegister(this.registers, Reg.r15, BigInt(DATA));
    setRegister(this.registers, Reg.rsp, BigInt(STACK_END - 256));
    machine.context.requestCr3(this.space.root);
    machine.context.requestFsGsBase();
  }

  /** One step of the program's own code; false at its end. */
  step(): boolean {
    const stop = this.stepper.stepNow(this.task);
    if (stop === Stop.syscall) return false;
    expect([Stop.step, Stop.served]).toContain(stop);
    return true;
  }

  /** In copies, up to the branch behind `branches` others, to the end, or as long as `budget` allows. */
  run(branches: number, budget = BUDGET_MICROS): Stop {
    const { runner, counted, task } = this;
    counted.limit(branches);
    for (;;) {
      runner.counted = counted;
      const stop = runner.run(task, budget);
      if (stop === Stop.pending && !runner.interrupted) {
        runner.hold(machine.halt(), task);
        runner.counted = null;
        return Stop.pending;
      }
      runner.counted = null;
      if (stop !== Stop.odd) return stop;
      // Steps are no business of the copies' count.
      if (!this.step()) return Stop.syscall;
      if (counted.stops.has(ripOf(this.registers))) return Stop.breakpoint;
    }
  }

  /** What the program can see. */
  state(): string {
    const parts = REGISTER_NAMES.map((name) => `${name}=${hex(getRegister(this.registers, Reg[name]))}`);
    const stack = new Uint8Array(512);
    this.space.read((STACK_END - 512) as Gva, stack);
    return [...parts, Buffer.from(stack).toString('hex')]
      .filter((part) => !/^(orig_rax|fs|gs|ds|es|ss|cs|fs_base|gs_base)=/.test(part))
      .join(' ')
      .replace(/eflags=0x([0-9a-f]+)/, (_, flags: string) => `eflags=${parseInt(flags, 16) & 0xcd5}`);
  }

  close(): void {
    machine.leaveAddressSpace();
    this.space.destroy();
    this.memory.close();
  }
}

function withProgram<T>(work: (program: Program) => T, segments = SEGMENTS): T {
  const program = new Program(segments);
  try {
    return work(program);
  } finally {
    program.close();
  }
}

/** The states before each conditional branch, and at each instruction. */
function stepThrough(segments = SEGMENTS): { branches: string[]; all: Set<string>; last: string } {
  return withProgram((program) => {
    const branches: string[] = [];
    const all = new Set<string>();
    for (;;) {
      const state = program.state();
      all.add(state);
      const { ticks } = program.task;
      const goesOn = program.step();
      if (program.task.ticks > ticks) branches.push(state);
      if (!goesOn) return { branches, all, last: program.state() };
    }
  }, segments);
}

describe.each(kinds)('in %s', (_, open) => {
  let transport: VcpuTransport;
  beforeAll(async () => {
    transport = await open();
    machine = makeMachine(transport);
  });
  afterAll(() => transport?.close());

  describe('copies of code', () => {
    const stepped: { branches: string[]; all: Set<string>; last: string } = {
      branches: [],
      all: new Set(),
      last: '',
    };
    beforeAll(() => Object.assign(stepped, stepThrough()));

    it('do what the code does, to its end', () => {
      expect(stepped.branches.length).toBeGreaterThan(30);
      withProgram((program) => {
        expect(program.run(1_000_000)).toBe(Stop.syscall);
        expect(program.state()).toBe(stepped.last);
        expect(program.counted.executed + program.task.ticks).toBe(stepped.branches.length);
      });
    });

    it('stop on each conditional branch, with the registers of the program', () => {
      withProgram((program) => {
        stepped.branches.forEach((state, index) => {
          expect(program.run(index === 0 ? 0 : 1), `branch ${index}`).toBe(Stop.overrun);
          expect(program.state(), `branch ${index}`).toBe(state);
        });
      });
    });

    it.each([
      ['', SEGMENTS],
      [', in loops that carry CF', CARRIES],
    ])('stop after any number of branches%s', (_, segments) => {
      const { branches: states } = segments === SEGMENTS ? stepped : stepThrough(segments);
      states.forEach((state, branches) => {
        withProgram((program) => {
          expect(program.run(branches), `branch ${branches}`).toBe(Stop.overrun);
          expect(program.state(), `branch ${branches}`).toBe(state);
          expect(program.counted.executed + program.task.ticks, `branch ${branches}`).toBe(branches);
        }, segments);
      });
    });

    it('stop where they are asked to', () => {
      withProgram((program) => {
        // In loops, behind branches and returns, and at the begin of functions in both pages.
        const stops = [0x3d, 0x128, 0x22, 0x1800, 0x1819].map((offset) => CODE + offset);
        program.counted.stops = new Map(stops.map((stop) => [stop, []]));
        const seen: number[] = [];
        for (;;) {
          const stop = program.run(1_000_000);
          if (stop === Stop.syscall) break;
          expect(stop).toBe(Stop.breakpoint);
          const rip = ripOf(program.registers);
          expect(stops).toContain(rip);
          expect(stepped.all).toContain(program.state());
          seen.push(rip);
          program.step();
        }
        expect(seen.filter((rip) => rip === CODE + 0x3d)).toHaveLength(5);
        expect(seen.filter((rip) => rip === CODE + 0x128)).toHaveLength(4);
        expect(seen.filter((rip) => rip === CODE + 0x22)).toHaveLength(7);
        expect(seen.filter((rip) => rip === CODE + 0x1800)).toHaveLength(8);
        expect(program.state()).toBe(stepped.last);
      });
    });

    describe('with a stop that comes and goes', () => {
      /** 1: call *(%r15); dec %ebx; jnz 1b; syscall; and 0x10: nop; ret */
      const CALLS = '41ff17ffcb75f90f05';
      const CALLED = CODE + 0x10;
      const begin = (program: Program, turns: number): void => {
        program.space.write(CODE, Buffer.from(CALLS, 'hex'));
        program.space.write(CALLED as Gva, Uint8Array.from([0x90, 0xc3]));
        const pointer = new DataView(new ArrayBuffer(8));
        pointer.setBigUint64(0, BigInt(CALLED), true);
        program.space.write(DATA, new Uint8Array(pointer.buffer));
        setRegister(program.registers, Reg.rbx, BigInt(turns));
      };

      it('live on', () => {
        withProgram((program) => {
          begin(program, 100);
          const places = [CALLED, CODE + 3];
          for (let passed = 0; passed < 200; passed++) {
            if (passed === 20) program.runner.exits = 0;
            const at = places[passed % 2];
            program.counted.stops = new Map([[at, []]]);
            expect(program.run(1_000_000)).toBe(Stop.breakpoint);
            expect(ripOf(program.registers)).toBe(at);
            expect(getRegister(program.registers, Reg.rbx)).toBe(BigInt(100 - Math.floor(passed / 2)));
          }
          program.counted.stops = new Map();
          expect(program.run(1_000_000)).toBe(Stop.syscall);
          // One each: of 180 stops, and of the system call.
          expect(program.runner.exits).toBe(181);
        });
      });

      it('go on without it where it is met in vain', () => {
        withProgram((program) => {
          begin(program, 1000);
          program.counted.stops = new Map([[CALLED, []]]);
          expect(program.run(1_000_000)).toBe(Stop.breakpoint);
          program.counted.stops = new Map();
          expect(program.run(1_000_000)).toBe(Stop.syscall);
          expect(program.runner.exits).toBeLessThan(20);
          expect(getRegister(program.registers, Reg.rbx)).toBe(0n);
        });
      });

      it('leave for it wherever the program is interrupted', () => {
        withProgram((program) => {
          // 1: inc %rcx; jmp 1b
          program.space.write(CODE, Buffer.from('48ffc1ebfb', 'hex'));
          setRegister(program.registers, Reg.rcx, 0n);
          program.counted.stops = new Map([[CODE + 3, []]]);
          for (let passed = 1n; passed <= 300n; passed++) {
            while (program.run(2 ** 40, 1) === Stop.pending);
            expect(ripOf(program.registers)).toBe(CODE + 3);
            expect(getRegister(program.registers, Reg.rcx)).toBe(passed);
          }
        });
      });
    });

    it('give their pages back', () => {
      const before = withProgram((program) => program.memory.pagesInUse);
      const after = withProgram((program) => {
        program.run(1_000_000);
        program.space.codeKeeper?.changes(0 as Gva, STACK_END as Gva);
        return program.memory.pagesInUse;
      });
      expect(after).toBeLessThanOrEqual(before + 64);
    });
  });

  describe('a program that is interrupted in its copies', () => {
    it('is always between two of its own instructions', () => {
      withProgram((program) => {
        // An endless loop in place of the program: 1: add $3, %rcx; xchg %rax, %rcx; jz 1b; call 2f; jmp 1b; 2: ret
        const loop = '4883c103489174f8e802000000ebf1c3';
        program.space.write(CODE, Buffer.from(loop, 'hex'));
        const places = new Set<number>();
        for (let turns = 0; turns < 200; turns++) {
          const left = 2 ** 40;
          expect(program.run(left, 1 + ((turns * 37) % 400))).toBe(Stop.pending);
          const at = ripOf(program.registers) - CODE;
          places.add(at);
          expect([0, 4, 6, 8, 13, 15]).toContain(at);
          // rax and rcx change places each turn, and each branch is one turn.
          const sum = getRegister(program.registers, Reg.rax) + getRegister(program.registers, Reg.rcx);
          const counted = program.counted.executed;
          program.task.ticks += counted;
          const added = sum / 3n;
          const behindAdd = at === 4 || at === 6 ? 1n : 0n;
          expect(BigInt(program.task.ticks) - (added - behindAdd)).toBe(0n);
        }
        expect(places.size).toBeGreaterThan(2);
      });
    });

    it('has its registers, CF and count in and around a loop that counts in a register', () => {
      withProgram((program) => {
        // 0: mov ecx, 5; stc; 6: lea rax, [rax+3]; dec ecx; jnz 6b; sbb rdx, rdx; sub r12, rdx; inc rbx; jmp 0b
        const loop = 'b905000000f9488d4003ffc975f84819d24929d448ffc3ebe7';
        program.space.write(CODE, Buffer.from(loop, 'hex'));
        const value = (register: number): number => Number(getRegister(program.registers, register));
        for (let turns = 0; turns < 200; turns++) {
          expect(program.run(2 ** 40, 1 + ((turns * 37) % 400))).toBe(Stop.pending);
          program.task.ticks += program.counted.executed;
          const at = ripOf(program.registers) - CODE;
          expect([0, 5, 6, 10, 12, 14, 17, 20, 23]).toContain(at);
          expect(program.task.ticks).toBe(value(Reg.rax) / 3 - (at === 10 || at === 12 ? 1 : 0));
          expect(value(Reg.r12) - value(Reg.rbx)).toBe(at === 20 ? 1 : 0);
          expect([value(Reg.r8), value(Reg.r9), value(Reg.r13)]).toEqual([0, 0, 0]);
        }
      });
    });
  });

  describe('a program that is interrupted between a comparison and its branch', () => {
    it.each([
      // 1: mov $255, %ah; sahf; cmp $5, %ebx (or (%r15)); jne 1b
      ['with a register', 'b4ff9e83fb0575f8', [0, 2, 3, 6]],
      ['with memory', 'b4ff9e41833f0575f7', [0, 2, 3, 7]],
    ])('has its own flags: %s', (_, loop, offsets) => {
      withProgram((program) => {
        program.space.write(CODE, Buffer.from(loop, 'hex'));
        const seen = new Map<number, Set<string>>();
        for (let turns = 0; turns < 100; turns++) {
          expect(program.run(2 ** 40, 1 + ((turns * 37) % 400))).toBe(Stop.pending);
          const flags = getRegister(program.registers, Reg.eflags) & 0x1d5n;
          const at = ripOf(program.registers) - CODE;
          seen.set(at, (seen.get(at) ?? new Set()).add(flags.toString(16)));
        }
        expect(offsets).toEqual(expect.arrayContaining([...seen.keys()]));
        // Those of SAHF at the comparison, else of 0 - 5; none before the first turn.
        for (const [at, flags] of seen)
          for (const each of flags) expect(at === offsets[2] ? ['d5'] : ['91', '0'], `${at}`).toContain(each);
        expect(seen.get(offsets[2])?.size ?? 1).toBe(1);
      });
    });

    it('leaves on the branch that is too many, with the flags of the comparison', () => {
      withProgram((program) => {
        program.space.write(CODE, Buffer.from('b4ff9e83fb0575f8', 'hex'));
        for (const branches of [0, 1, 5, 100_000]) {
          expect(program.run(branches)).toBe(Stop.overrun);
          expect(program.counted.executed).toBe(branches);
          expect(ripOf(program.registers)).toBe(CODE + 6);
          expect(getRegister(program.registers, Reg.eflags) & 0xd5n).toBe(0x91n);
        }
      });
    });
  });

  describe('a condition that copies of code test', () => {
    /** NOP, SYSCALL. */
    const PROGRAM = Uint8Array.from([0x90, 0x0f, 0x05]);
    const UNMAPPED = 0x1234_5000n;

    /** Where the program goes with a condition on its first instruction. */
    const stopOf = (program: Program, predicate: Predicate): Stop => {
      setRegister(program.registers, Reg.rip, BigInt(CODE));
      const before = program.state();
      program.counted.stops = new Map([[CODE, [predicate]]]);
      const stop = program.run(1_000_000);
      if (stop === Stop.breakpoint) expect(program.state()).toBe(before);
      return stop;
    };

    it('has the value that the debugger computes, whatever it is', () => {
      const random = randomNumbers(4711);
      withProgram((program) => {
        program.space.write(CODE, PROGRAM);
        program.space.write(
          DATA,
          Uint8Array.from({ length: 64 }, () => random(256)),
        );
        const names = [Reg.rax, Reg.rbx, Reg.rcx, Reg.rdx, Reg.rsi, Reg.rdi, Reg.rbp, Reg.r8, Reg.r13];
        for (let turn = 0; turn < 150; turn++) {
          for (const slot of names) setRegister(program.registers, slot, randomValue(random));
          // Carry, parity, zero, sign, direction and overflow; interrupts are enabled wherever programs run.
          setRegister(program.registers, Reg.eflags, BigInt(0x202 | (random(0x1000) & 0xcd5)));
          const code = randomExpression(random, DATA);
          const predicate = predicateOf(code, (slot) => slot);
          if (!predicate) throw new Error(`none: ${Buffer.from(code).toString('hex')}`);
          const context: AgentContext = {
            register: (number) =>
              number === Reg.rip ? BigInt(CODE) : getRegister(program.registers, number),
            memory: (address, size) => {
              const bytes = new Uint8Array(8);
              if (program.space.read(Number(address) as Gva, bytes.subarray(0, size)) !== size)
                throw new PacketError('no memory');
              return new DataView(bytes.buffer).getBigUint64(0, true);
            },
          };
          let value: bigint | null = null;
          try {
            value = evaluateAgent(code, context);
          } catch (error) {
            if (!(error instanceof PacketError)) throw error;
          }
          const is = (wanted: bigint): Predicate => [
            ...predicate,
            { op: 'constant', value: wanted },
            { op: 'equal' },
          ];
          const what = Buffer.from(code).toString('hex');
          // What cannot be computed stops: whoever asked has to look.
          expect(stopOf(program, is(value ?? 0n)), what).toBe(Stop.breakpoint);
          // So does a quotient that only more than 64 bits could hold.
          if (value !== null && !/05|07/.test(what))
            expect(stopOf(program, is(value ^ 1n)), what).toBe(Stop.syscall);
        }
      });
    });

    it('needs pages that the program has not touched yet, and others that are not there', () => {
      const load = (address: bigint): Predicate => [
        { op: 'constant', value: address },
        { op: 'load', size: 4 },
      ];
      withProgram((program) => {
        program.space.write(CODE, PROGRAM);
        expect(stopOf(program, load(BigInt(DATA)))).toBe(Stop.syscall);
        program.space.write((DATA + 4) as Gva, Uint8Array.from([1]));
        expect(stopOf(program, load(BigInt(DATA + 4)))).toBe(Stop.breakpoint);
        for (const address of [UNMAPPED, 2n ** 63n, 2n ** 64n - 8n])
          expect(stopOf(program, load(address)), address.toString(16)).toBe(Stop.breakpoint);
      });
    });

    it('is tested at each passage of a loop, and where the program is interrupted', () => {
      withProgram((program) => {
        // 1: add $1, %rcx; mov %rsp, -8(%rsp); cmp $200000, %rcx; jne 1b; syscall
        const loop = '4883c10148896424f84881f9400d030075ee0f05';
        program.space.write(CODE, Buffer.from(loop, 'hex'));
        setRegister(program.registers, Reg.rcx, 0n);
        const at = CODE + 9;
        const rcxIs = (value: bigint): Predicate => [
          { op: 'register', slot: Reg.rcx },
          { op: 'constant', value },
          { op: 'equal' },
        ];
        program.counted.stops = new Map([[at, [rcxIs(199_999n), rcxIs(777n)]]]);
        for (const wanted of [777n, 199_999n]) {
          let stop: Stop = Stop.pending;
          for (let turns = 0; stop === Stop.pending; turns++)
            stop = program.run(2 ** 40, 1 + ((turns * 37) % 400));
          expect(stop).toBe(Stop.breakpoint);
          expect(ripOf(program.registers)).toBe(at);
          expect(getRegister(program.registers, Reg.rcx)).toBe(wanted);
          program.step();
        }
        expect(program.run(2 ** 40)).toBe(Stop.syscall);
      });
    });
  });
});
