/** The process machine: what programs in it can do, and what is left of it. */
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Exit } from '../../src/engine/kvm/exit.js';
import { Command, ControlOffset } from '../../src/engine/kvm/layout.js';
import type { Machine } from '../../src/engine/kvm/machine.js';
import { DATA, type Outcome } from '../../src/engine/kvm/probe-guest.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { examine } from '../../src/machine/examine.js';
import { openProcess, PROCESS_BASE } from '../../src/machine/process.js';
import { emulatedProblem } from '../../scripts/emulated-parts.mjs';
import { runCli } from '../cli/run-cli.js';
import { sample } from '../collections.js';
import { processProblem } from '../machines.js';
import { makeMachine, program, withGuest } from '../kvm/guest.js';
import { openSession } from '../replay/open-session.js';
import { toEnd } from '../replay/to-end.js';
import { isDead, until } from './fixtures.js';

const root = path.resolve(import.meta.dirname, '../..');
const sandbox = path.join(root, 'build/native/Release/revenant-sandbox');
const CODE = 0x400000n;
const SYSCALL = program(0x0f, 0x05, 0xcc);
const VECTOR = { breakpoint: 3, pageFault: 14, int80: 0x80 };

/** Processes of this one that are sandboxes. */
const sandboxesOf = (parent: number): number[] =>
  fs
    .readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const [, comm, ppid] = /^\d+ \((.*)\) \S (\d+)/s.exec(
          fs.readFileSync(`/proc/${name}/stat`, 'latin1'),
        )!;
        return comm === 'revenant-sandbo' && Number(ppid) === parent;
      } catch {
        return false;
      }
    })
    .map(Number);

describe.skipIf(processProblem !== null)(`the process machine (skipped: ${processProblem})`, () => {
  let transport: VcpuTransport;
  let machine: Machine;
  beforeEach(() => {
    transport = openProcess({ memoryMiB: 64 });
    machine = makeMachine(transport);
  });
  afterEach(() => transport.close());

  const run = (code: Uint8Array, registers: Record<string, bigint> = {}): Outcome =>
    withGuest(machine, (guest) => guest.run(code, registers));

  it('is as a processor is, as far as programs can tell', () => {
    const { findings, passed } = examine(transport);
    expect(findings.filter(({ ok }) => !ok)).toEqual([]);
    expect(passed).toBe(true);
  });

  it('executes no system call of a program, whatever its number and arguments', () => {
    const file = path.join(os.tmpdir(), `escaped-${process.pid}`);
    for (let number = 0n; number < 512n; number++) {
      withGuest(machine, (guest) => {
        guest.data.set(Buffer.from(`${file}\0`));
        const rdi = BigInt(DATA);
        const outcome = guest.run(SYSCALL, {
          rax: number,
          rdi,
          rsi: 0o102n,
          rdx: 0o600n,
          r10: 1n,
          r8: 3n,
          r9: 0n,
        });
        expect([number, outcome.exit, guest.register('rax')]).toEqual([number, Exit.Syscall, number]);
      });
    }
    expect(fs.existsSync(file)).toBe(false);
  });

  it('executes none by INT 0x80 or the vsyscall page either', () => {
    const outcome = run(program(0xcd, 0x80, 0xcc), { rax: 1n });
    expect([outcome.exit, outcome.vector]).toEqual([Exit.Exception, VECTOR.int80]);
    const gettimeofday = 0xffff_ffff_ff60_0000n;
    const called = run(program(0xff, 0xd0, 0xcc), { rax: gettimeofday, rdi: 0n, rsi: 0n });
    expect(called).toMatchObject({
      exit: Exit.Exception,
      vector: VECTOR.pageFault,
      rip: gettimeofday,
      cr2: gettimeofday,
    });
  });

  /** Offsets of SYSCALL instructions in the sandbox's program, which a hostile one can jump to. */
  const doors = ((): number[] => {
    const [, offset, address, size] = /LOAD +(\S+) (\S+) \S+ (\S+) \S+ R E/
      .exec(execFileSync('readelf', ['-lW', sandbox], { encoding: 'latin1' }))!
      .map(Number);
    const text = fs.readFileSync(sandbox).subarray(offset, offset + size);
    const found: number[] = [];
    for (
      let at = text.indexOf('\x0f\x05', 0, 'latin1');
      at >= 0;
      at = text.indexOf('\x0f\x05', at + 1, 'latin1')
    )
      found.push(address + at);
    return found;
  })();

  it.each([
    ['open', 2n, {}],
    ['execve', 59n, {}],
    ['kill', 62n, { rdi: BigInt(process.pid), rsi: 9n }],
    ['ptrace', 101n, { rdi: 16n, rsi: BigInt(process.pid) }],
    ['process_vm_writev', 311n, { rdi: BigInt(process.pid) }],
    ['socket', 41n, { rdi: 1n, rsi: 1n }],
    ['memfd_create', 319n, {}],
    [
      'mmap of anonymous memory',
      9n,
      { rdi: 0n, rsi: 4096n, rdx: 7n, r10: 0x22n, r8: 0xffff_ffff_ffff_ffffn },
    ],
    ['mmap of the control block', 9n, { rdi: 0x1000_0000n, rsi: 4096n, rdx: 3n, r10: 0x11n, r8: 3n, r9: 0n }],
    [
      'mmap over the handler',
      9n,
      { rdi: BigInt(PROCESS_BASE), rsi: 4096n, rdx: 7n, r10: 0x11n, r8: 3n, r9: 0x40000n },
    ],
    [
      'mmap that reaches into the handler',
      9n,
      { rdi: BigInt(PROCESS_BASE) - 4096n, rsi: 8192n, rdx: 7n, r10: 0x11n, r8: 3n, r9: 0x40000n },
    ],
    ['munmap of the handler', 11n, { rdi: BigInt(PROCESS_BASE), rsi: 4096n }],
    ['munmap of everything', 11n, { rdi: 0n, rsi: 0x7fff_ffff_f000n }],
    ['prctl', 157n, { rdi: 4n, rsi: 1n }],
    ['arch_prctl', 158n, { rdi: 0x1002n }],
    ['exit_group', 231n, {}],
  ] as [string, bigint, Record<string, bigint>][])(
    "is killed for a jump to its handler's SYSCALL: %s",
    async (_, number, registers) => {
      expect(doors.length).toBeGreaterThan(0);
      const file = path.join(os.tmpdir(), `escaped-${process.pid}`);
      const [pid] = sandboxesOf(process.pid);
      const door = BigInt(PROCESS_BASE + doors[0]);
      const jump = (): Outcome =>
        withGuest(machine, (guest) => {
          guest.data.set(Buffer.from(`${file}\0`));
          const path_ = { rdi: BigInt(DATA), rsi: 0o102n };
          return guest.run(program(0xff, 0xe3), { rbx: door, ...path_, ...registers, rax: number });
        });
      expect(jump).toThrowError(expect.objectContaining({ code: 'E_MACHINE_LOST' }));
      await until(() => isDead(pid));
      expect(fs.existsSync(file)).toBe(false);
    },
  );

  it('survives in the engine what a program stores into the shared pages of the handler', () => {
    // rep stosb over the first pages of the pool, which are the handler's: control block and context page.
    const ring0 = BigInt(PROCESS_BASE) + 0x40_0000n;
    expect(() => {
      const outcome = run(program(0xf3, 0xaa, 0xcc), { rdi: ring0, rcx: 0x38000n, rax: 0xffn });
      expect(outcome.exit).not.toBe(Exit.Pending);
    }).toSatisfy((work: () => void) => {
      try {
        work();
        return true;
      } catch (error) {
        return (error as { code?: string }).code?.startsWith('E_') === true;
      }
    });
  });

  it('has its program neither readable nor writable pages of the engine', () => {
    for (const address of [BigInt(PROCESS_BASE) - 0x1000n, 0x7f00_0000_0000n, 0x5555_5555_5000n]) {
      const outcome = run(program(0x48, 0x8b, 0x07, 0xcc), { rdi: address }); // mov (%rdi), %rax
      expect(outcome).toMatchObject({ vector: VECTOR.pageFault, cr2: address });
    }
  });

  it('gives page faults as a processor does for pages that a program may not write', () => {
    // A store into its own code, which is read-only.
    const outcome = run(program(0x48, 0x89, 0x07, 0xcc), { rdi: CODE });
    expect(outcome).toMatchObject({ vector: VECTOR.pageFault, errorCode: 7, cr2: CODE });
  });

  it.each([false, true])(
    'replays where CPUID cannot be made to fault, every tick counted: %s',
    async (verifyTicks) => {
      const refuses: VcpuTransport = {
        ...transport,
        execute() {
          const command = new Uint32Array(transport.pool, ControlOffset.command, 1)[0];
          return command === Command.setMsrs ? os.constants.errno.EINVAL : transport.execute();
        },
      };
      const { session, close } = openSession(refuses, sample('haswell/xcr0probe'), { verifyTicks });
      try {
        await toEnd(session);
        expect(session.frameTime).toBeGreaterThan(100);
      } finally {
        close();
      }
    },
  );

  const missing = emulatedProblem();
  it.skipIf(missing !== null)('is not started for a trace that it cannot carry', async () => {
    const { code, stderr } = await runCli('replay', sample('haswell/ldt'));
    expect(stderr).not.toMatch(/Continuing on another machine/);
    expect(stderr).toMatch(/machine: QEMU emulator/);
    expect(code).toBe(0);
  });

  it('replays from elsewhere what has mappings where it usually is', async () => {
    const mapped = new Uint8Array(0x8000);
    mapped.fill(1, 0x2000, 0x3000);
    const use = { mapped, ownSegments: null, code32: null, ownKeys: null };
    const elsewhere = openProcess({ memoryMiB: 512, use });
    try {
      expect(elsewhere.reserved!.start).toBeGreaterThan(PROCESS_BASE);
      expect(examine(elsewhere).findings.filter(({ ok }) => !ok)).toEqual([]);
      const { session, close } = openSession(elsewhere, sample('zen2/spawn'));
      try {
        await toEnd(session);
        expect(session.frameTime).toBeGreaterThan(1000);
      } finally {
        close();
      }
    } finally {
      elsewhere.close();
    }
  });

  it('is over with its transport', async () => {
    const [pid] = sandboxesOf(process.pid);
    transport.close();
    await until(() => isDead(pid));
  });

  it('leaves no process when its engine is killed', async () => {
    const addon = path.join(root, 'build/native/Release/revenant.node');
    const text = JSON.stringify([64 << 20, sandbox, PROCESS_BASE]);
    const script = `machine = require('${addon}').openProcess(...${text}); setInterval(() => machine, 1000)`;
    const child = spawn(process.execPath, ['-e', script], { stdio: 'ignore' });
    let sandboxes: number[] = [];
    await until(() => (sandboxes = sandboxesOf(child.pid!)).length > 0 || child.exitCode !== null);
    expect(sandboxes).toHaveLength(1);
    child.kill('SIGKILL');
    await until(() => sandboxes.every(isDead));
  });
});
