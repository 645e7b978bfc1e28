/** Runs: interruption, vector state, hostile registers, the cost of an exit. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Reg, getRegister, setRegister } from '../../src/engine/base/registers.js';
import { Exit } from '../../src/engine/kvm/exit.js';
import type { Machine } from '../../src/engine/kvm/machine.js';
import { DATA, ProbeGuest } from '../../src/engine/kvm/probe-guest.js';
import { programs } from '../../src/engine/kvm/probe-programs.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { describeMachines, makeMachine, program, transportOf, withGuest } from './guest.js';

/** Of XCR0. */
const AVX = 4n;

describeMachines(specsOf);

function specsOf(kind: 'emulated' | 'process'): void {
  let transport: VcpuTransport;
  let machine: Machine;
  beforeAll(async () => {
    transport = await transportOf(kind);
    machine = makeMachine(transport);
  });
  afterAll(() => transport?.close());

  const CODE = 0x400000n;

  /** Runs with a small budget until the guest left, kicking after the first time. */
  function interrupt(): Exit {
    let exit: Exit = machine.run(1000);
    expect(exit).toBe(Exit.Pending);
    machine.kick();
    for (let i = 0; i < 100 && exit === Exit.Pending; i++) exit = machine.run(10_000);
    return exit;
  }

  it('continues exactly where it was interrupted', () => {
    withGuest(machine, (guest) => {
      // xor %eax, %eax; 1: inc %rax; cmp %rcx, %rax; jne 1b; int3
      const count = 300_000_000n;
      const loop = program(0x31, 0xc0, 0x48, 0xff, 0xc0, 0x48, 0x39, 0xc8, 0x75, 0xf8, 0xcc);
      guest.run(loop, { rcx: count, rip: CODE + 10n }); // places the code
      const { registers } = machine.context;
      setRegister(registers, Reg.rip, CODE);
      setRegister(registers, Reg.r15, 0x1234_5678_9abc_def0n);
      let interruptions = 0;
      let exit = interrupt();
      while (exit === Exit.Interrupted && interruptions < 3) {
        interruptions++;
        exit = interrupt();
      }
      expect(exit).toBe(Exit.Interrupted);
      const reached = getRegister(registers, Reg.rax);
      expect(reached).toBeLessThan(count);
      // On a busy machine the rest takes longer than one go.
      let outcome = guest.go();
      while (outcome.exit === Exit.Interrupted) outcome = guest.go();
      expect(outcome.vector).toBe(3);
      expect(getRegister(registers, Reg.rax)).toBe(count);
      expect(getRegister(registers, Reg.r15)).toBe(0x1234_5678_9abc_def0n);
    });
  });

  it('hangs neither on an endless loop nor in JavaScript', () => {
    withGuest(machine, (guest) => {
      const outcome = guest.run(programs.endless);
      expect(outcome.exit).toBe(Exit.Interrupted);
      expect(guest.isStuck).toBe(false);
    });
  });

  it('carries vector state through XSAVE and XRSTOR', (context) => {
    context.skip((machine.xcr0 & AVX) === 0n, 'this processor has no AVX');
    withGuest(machine, (guest) => {
      // vpcmpeqd %ymm1, %ymm1, %ymm1; syscall; vpxor %ymm1, %ymm1, %ymm1; syscall;
      // vmovups %ymm1, (%rdi); syscall
      const code = program(
        ...[0xc5, 0xf5, 0x76, 0xc9, 0x0f, 0x05, 0xc5, 0xf5, 0xef, 0xc9, 0x0f, 0x05],
        ...[0xc5, 0xfc, 0x11, 0x0f, 0x0f, 0x05],
      );
      expect(guest.run(code, { rdi: BigInt(DATA) }).exit).toBe(Exit.Syscall);
      machine.saveXstate();
      const image = machine.context.xstate.slice();
      expect([...image.subarray(176, 192)]).toEqual(Array(16).fill(0xff));
      expect([...image.subarray(592, 608)]).toEqual(Array(16).fill(0xff));
      expect(guest.go().exit).toBe(Exit.Syscall);
      machine.context.xstate.set(image);
      machine.context.requestXrstor();
      expect(guest.go().exit).toBe(Exit.Syscall);
      expect([...guest.data.subarray(0, 32)]).toEqual(Array(32).fill(0xff));
    });
  });

  it('keeps the vector of the exit over saveXstate', () => {
    withGuest(machine, (guest) => {
      guest.run(program(0x0f, 0x0b)); // ud2
      machine.saveXstate();
      expect(machine.context.vector).toBe(6);
      expect(getRegister(machine.context.registers, Reg.rip)).toBe(CODE);
    });
  });

  it('survives registers that no program has', () => {
    withGuest(machine, (guest) => {
      const selector = guest.run(programs.nops, { ds: 0x50n });
      expect(selector.vector).toBe(3); // not asked to load it
      machine.context.requestSegments();
      const refused = guest.run(programs.nops, { ds: 0x50n });
      expect(refused.exit).toBe(Exit.Failed);
      expect(refused.text).toMatch(
        kind === 'process' ? /a segment that the process cannot have/ : /#GP while entering the program/,
      );
      // The guest was recreated after that.
      const system = guest.run(programs.nops, { cs: 0x10n, ss: 0x18n, eflags: 0x3ff02n & ~0x100n });
      expect(system.exit).toBe(Exit.Exception);
      expect(guest.register('cs')).toBe(0x33n); // CPL 3 all the same
      const nowhere = guest.run(programs.nops, { rip: 1n << 63n, r15: 7n });
      expect(nowhere.exit === Exit.Failed || nowhere.vector === 13).toBe(true);
      expect(guest.run(programs.syscall).exit).toBe(Exit.Syscall);
    });
  });

  /**
   * Only the engine can cause a triple fault. KVM reports it; an emulated machine ends. Returns a guest that works, in
   * another machine if need be.
   */
  async function fault(guest: ProbeGuest, code: Uint8Array, mayWork = false): Promise<ProbeGuest> {
    try {
      const outcome = guest.run(code);
      if (!(mayWork && outcome.exit === Exit.Syscall)) expect(outcome.text).toMatch(/triple fault/);
      return guest;
    } catch (error) {
      expect(error).toMatchObject({ code: 'E_MACHINE_LOST' });
      transport.close();
      transport = await transportOf(kind);
      machine = makeMachine(transport);
      return new ProbeGuest(machine);
    }
  }

  it('reports a triple fault and can be used again, or is lost to it', async (context) => {
    context.skip(kind === 'process', 'a process has no interrupt table');
    new Uint8Array(machine.pool, 0x12700, 0x200).fill(0); // the IDT
    const guest = await fault(new ProbeGuest(machine), program(0x0f, 0x0b));
    expect(guest.run(programs.syscall).exit).toBe(Exit.Syscall);
    guest.close();
  });

  it('waits on the page tables of the program, unless requested to leave them', async (context) => {
    context.skip(kind === 'process', 'a process has no page tables of its own');
    const root = (): Uint8Array => new Uint8Array(machine.pool, machine.firstFree, 4096);
    const wait = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 50));
    let guest = new ProbeGuest(machine);
    guest.run(programs.syscall);
    const tables = root().slice();
    machine.leaveAddressSpace();
    root().fill(0);
    await wait();
    root().set(tables);
    expect(guest.run(programs.syscall).exit).toBe(Exit.Syscall);
    root().fill(0);
    await wait();
    root().set(tables); // too late: the vCPU is lost, or had no reason to check
    guest = await fault(guest, programs.syscall, true);
    expect(guest.run(programs.syscall).exit).toBe(Exit.Syscall);
    guest.close();
  });

  it('measures an exit', () => {
    withGuest(machine, (guest) => {
      guest.run(program(0x0f, 0x05, 0xeb, 0xfc)); // 1: syscall; jmp 1b
      let best = Infinity;
      for (let round = 0; round < 10; round++) {
        const started = process.hrtime.bigint();
        for (let i = 0; i < 500; i++) machine.run(1_000_000);
        best = Math.min(best, Number(process.hrtime.bigint() - started) / 500_000);
      }
      console.log(`${best.toFixed(1)} us an exit, handshake included (${transport.description})`);
    });
  });
}
