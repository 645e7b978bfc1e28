/** Programs that know the process machine and try to get out of it, and engines that are killed under it. */
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findEntry } from '../../src/engine/kvm/cpuid.js';
import { Exit } from '../../src/engine/kvm/exit.js';
import { ControlOffset, Ring0, Selector } from '../../src/engine/kvm/layout.js';
import type { Machine } from '../../src/engine/kvm/machine.js';
import { nativeConfig } from '../../src/engine/kvm/native-config.js';
import { CODE, DATA, DATA_SIZE, type Outcome, type ProbeGuest } from '../../src/engine/kvm/probe-guest.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { PageFault } from '../../src/engine/x86/constants.js';
import { openProcess, PROCESS_BASE } from '../../src/machine/process.js';
import { program, makeMachine, withGuest } from '../kvm/guest.js';
import { processProblem } from '../machines.js';
import { seeded } from '../trace/mutate.js';
import { isDead, until } from './fixtures.js';

const root = path.resolve(import.meta.dirname, '../..');
const folder = path.join(root, 'build/native/Release');
const sandbox = path.join(folder, 'revenant-sandbox');
/** A program that took the handler over may never stop. */
const BUDGET_MICROS = 10_000;
const FLAGS = 0x202n;
/** A call that would leave a file behind: open(DATA, O_CREAT | O_RDWR). */
const OPEN = 2n;
const OPEN_32 = 5n;
const CREATE = 0o102n;

/** Processes whose program is the file of that name. */
const processesOf = (name: string): number[] =>
  fs
    .readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .filter((pid) => {
      try {
        return path.basename(fs.readlinkSync(`/proc/${pid}/exe`)) === name;
      } catch {
        return false;
      }
    })
    .map(Number);

/** Addresses at which the sandbox's program, as it lies in the process, has these bytes. */
function addressesOf(bytes: string): bigint[] {
  const image = fs.readFileSync(sandbox);
  const headers = Number(image.readBigUInt64LE(32));
  const found: bigint[] = [];
  for (let i = 0; i < image.readUInt16LE(56); i++) {
    const at = headers + i * 56;
    if (image.readUInt32LE(at) !== 1 || !(image.readUInt32LE(at + 4) & 1)) continue;
    const [offset, address, , size] = [8, 16, 24, 32].map((field) =>
      Number(image.readBigUInt64LE(at + field)),
    );
    const text = image.subarray(offset, offset + size);
    for (let hit = text.indexOf(bytes, 0, 'latin1'); hit >= 0; hit = text.indexOf(bytes, hit + 1, 'latin1'))
      found.push(BigInt(PROCESS_BASE + address + hit));
  }
  return found;
}

describe.skipIf(processProblem !== null)(`programs that try to get out (skipped: ${processProblem})`, () => {
  const target = path.join(os.tmpdir(), `escaped-${process.pid}`);
  let transport: VcpuTransport;
  let machine: Machine;
  let isHostile = false;
  beforeEach(() => open());
  afterEach(() => {
    transport.close();
    expect(fs.existsSync(target)).toBe(false);
  });

  const open = (): void => {
    const opened = openProcess({ memoryMiB: 64 });
    transport = { ...opened, run: (budget) => opened.run(isHostile ? BUDGET_MICROS : budget) };
    machine = makeMachine(transport);
  };

  /** What the engine may say of a hostile program: any exit, or an error that names the machine or the guest. */
  function survive(work: (guest: ProbeGuest) => Outcome): Outcome | null {
    let outcome: Outcome | null = null;
    isHostile = true;
    try {
      outcome = withGuest(machine, work);
    } catch (error) {
      expect((error as { code?: string }).code).toMatch(/^E_(?!INTERNAL)/);
    }
    isHostile = false;
    // After Exit.Failed it may be running still.
    if (outcome === null || outcome.exit === Exit.Failed) {
      transport.close();
      open();
    }
    return outcome;
  }

  const run = (code: Uint8Array, registers: Record<string, bigint> = {}): Outcome =>
    withGuest(machine, (guest) => {
      guest.data.set(Buffer.from(`${target}\0`));
      return guest.run(code, registers);
    });

  it('executes none by SYSENTER', () => {
    const registers = { rax: OPEN_32, rbx: BigInt(DATA), rcx: CREATE, rbp: BigInt(DATA + 4096) };
    expect(run(program(0x0f, 0x34, 0xcc), registers).exit).toBe(Exit.Exception);
  });

  it.each([
    ['INT 0x80', [0xcd, 0x80]],
    ['SYSENTER', [0x0f, 0x34]],
    ['SYSCALL', [0x0f, 0x05]],
  ])('executes none in 32-bit code that it jumps to: %s', (_, call) => {
    const far = [0x68, Selector.user32Cs, 0, 0, 0, 0x68, 0x0c, 0, 0x40, 0, 0x48, 0xcb]; // push; push; lretq
    expect(far.length).toBe(0x0c);
    const outcome = run(program(...far, ...call, 0xcc), {
      rax: OPEN_32,
      rbx: BigInt(DATA),
      rcx: CREATE,
      rbp: BigInt(DATA + 4096),
    });
    expect(outcome.exit).not.toBe(Exit.Pending);
    expect(fs.existsSync(target)).toBe(false);
  });

  it('stays in its handler whatever the bases of FS and GS are', () => {
    const bases = { rbx: 0x7fff_ffff_f000n, rcx: BigInt(PROCESS_BASE) };
    // wrfsbase %rbx; wrgsbase %rcx; syscall
    const code = program(0xf3, 0x48, 0x0f, 0xae, 0xd3, 0xf3, 0x48, 0x0f, 0xae, 0xd9, 0x0f, 0x05, 0xcc);
    withGuest(machine, (guest) => {
      expect(guest.run(code, { rax: OPEN, ...bases }).exit).toBe(Exit.Syscall);
      expect([guest.register('fs_base'), guest.register('gs_base')]).toEqual([bases.rbx, bases.rcx]);
    });
  });

  it('stays in its handler with any flags', () => {
    // The flags of a user program: AC, ID, NT, DF, OF and others; then a fault, a call, and INT3.
    const code = program(0x53, 0x9d, 0x48, 0x89, 0x07, 0x0f, 0x05, 0xcc); // push rbx; popf; mov rax, (rdi); syscall
    withGuest(machine, (guest) => {
      const outcome = guest.run(code, { rbx: 0x24_4ed7n, rdi: BigInt(DATA + 64), rax: OPEN });
      expect(outcome.exit).toBe(Exit.Syscall);
      guest.run(code, { rbx: 0x4_0202n, rdi: BigInt(DATA + 4096 * 3 + 1), rax: OPEN }); // AC, and misaligned
    });
  });

  describe('when protection keys forbid its memory', () => {
    const WRPKRU = [0x0f, 0x01, 0xef];
    /** Key 0 not to be read, not to be written, both; the other keys too, or not. */
    const VALUES = [0x1n, 0x2n, 0x3n, 0xffff_fffcn, 0xffff_fffdn, 0xffff_ffffn];
    const hasKeys = (): boolean => ((findEntry(nativeConfig(transport).cpuid, 7)?.ecx ?? 0) & (1 << 4)) !== 0;
    const WITHOUT = 'the processor has no protection keys, or the system does not use them';

    it.each([
      ['a system call', [0x0f, 0x05]],
      ['a breakpoint', [0xcc]],
      ['an invalid instruction', [0x0f, 0x0b]],
      ['a load', [0x48, 0x8b, 0x07]],
      ['a store', [0x48, 0x89, 0x07]],
      ['a load of a page that is not mapped', [0x48, 0x8b, 0x06]],
      ['a store into the handler', [0x48, 0x89, 0x03]],
      ['a jump into the handler', [0xff, 0xe3]],
      ['a jump to its system call', [0xff, 0xe5]],
      ['its own loop, which is interrupted', [0xeb, 0xfe]],
    ])('it stays in its handler: %s', (_, then) => {
      if (!hasKeys()) return;
      for (const rax of VALUES) {
        survive((guest) => {
          guest.data.set(Buffer.from(`${target}\0`));
          const rdi = BigInt(DATA + 64);
          const rsi = BigInt(DATA + (1 << 24));
          const [rbx, rbp] = [BigInt(PROCESS_BASE + 0x1000), addressesOf('\x0f\x05')[0]];
          return guest.run(program(...WRPKRU, ...then, 0xcc), { rax, rdi, rsi, rbx, rbp });
        });
        // And what comes after it is as always.
        expect(run(program(0x0f, 0x05, 0xcc), { rax: OPEN }).exit).toBe(Exit.Syscall);
      }
    });

    it('is told of accesses that are forbidden, and of those only', ({ skip }) => {
      if (!hasKeys()) skip(WITHOUT);
      const access = (rax: bigint, then: readonly number[]): Outcome | null =>
        survive((guest) => guest.run(program(...WRPKRU, ...then, 0xcc), { rax, rdi: BigInt(DATA + 64) }));
      const [load, store] = [
        [0x48, 0x8b, 0x07],
        [0x48, 0x89, 0x07],
      ];
      const { present, write, user, key } = PageFault;
      for (const [rax, then, errorCode] of [
        [1n, load, present | user | key],
        [1n, store, present | user | key | write],
        [2n, store, present | user | key | write],
      ] as const) {
        // Before Linux 6.12 the kernel ends a process whose signal stack is forbidden.
        const outcome = access(rax, then);
        if (outcome) expect(outcome).toMatchObject({ exit: Exit.Exception, vector: 14, errorCode });
      }
      expect(access(0n, store)).toMatchObject({ exit: Exit.Exception, vector: 3 });
      expect(access(0xffff_fffcn, store)).toMatchObject({ exit: Exit.Exception, vector: 3 });
    });
  });

  it('finds no page that it may write and that leads out', () => {
    const pages: number[] = [];
    for (let at = 0; at < 0x7000; at += 0x1000) pages.push(at); // its program
    for (let at = 0x10_0000; at < 0x30_0000; at += 0x4_0000) pages.push(at, at + 0x3_f000); // stacks
    for (let at = 0x40_0000; at < 0x44_0000; at += 0x1000) pages.push(at); // the first pages of the pool
    pages.push(0x1000_0000, 0x1020_0000, 0x4fff_f000); // what is mapped
    pages.push(0x1_0000_0000, 0x1_0004_0000, 0x1_03ff_f000); // the pool, as it is read
    const fill = program(0xf3, 0xaa, 0x0f, 0x05, 0xcc); // rep stosb; syscall
    for (const page of pages)
      for (const rax of [OPEN, 0xffn])
        survive((guest) => {
          guest.data.set(Buffer.from(`${target}\0`));
          return guest.run(fill, { rdi: BigInt(PROCESS_BASE + page), rcx: 4096n, rax, rsi: CREATE });
        });
  });

  it('gains nothing by a context page and a control block of its own making', () => {
    const random = seeded(7);
    // rep movsb from its data to where rdi says; syscall
    const copy = program(0xf3, 0xa4, 0x0f, 0x05, 0xcc);
    for (let round = 0; round < 60; round++)
      survive((guest) => {
        for (let i = 0; i < 4096; i++) guest.data[i] = random(3) ? random(256) : random(2) * 255;
        const page = random(2) ? 0 : Ring0.context;
        const from = random(4096);
        return guest.run(copy, {
          rdi: BigInt(PROCESS_BASE + 0x40_0000 + page + from),
          rsi: BigInt(DATA),
          rcx: BigInt(1 + random(Math.min(4096 - from, round % 2 ? 8 : 4096))),
          rax: OPEN,
        });
      });
  });

  /** struct ucontext at DATA + 512, as rt_sigreturn takes it, whose registers are `words` from r8 on. */
  function forge(guest: ProbeGuest, registers: Record<string, bigint>, mask: bigint, fpstate = 0n): bigint {
    const order = 'r8 r9 r10 r11 r12 r13 r14 r15 rdi rsi rbp rbx rdx rax rcx rsp rip eflags cs err'.split(
      ' ',
    );
    const view = new DataView(guest.data.buffer, guest.data.byteOffset);
    const at = 512;
    const forged: Record<string, bigint> = {
      rsp: BigInt(DATA + DATA_SIZE),
      rip: BigInt(CODE + 8),
      eflags: FLAGS,
      cs: BigInt(Selector.userCs) | (BigInt(Selector.userSs) << 48n),
      rdi: BigInt(DATA),
      rsi: CREATE,
      rax: OPEN,
      ...registers,
    };
    order.forEach((name, index) => view.setBigUint64(at + 40 + 8 * index, forged[name] ?? 0n, true));
    view.setBigUint64(at + 40 + 8 * 23, fpstate, true);
    view.setBigUint64(at + 40 + 256, mask, true);
    return BigInt(DATA + at);
  }

  const restorers = addressesOf('\xb8\x0f\0\0\0\x0f\x05');
  const NONE = 0n;
  const ALL = 0xffff_ffff_ffff_ffffn;

  /** The kernel reads the frame where the handler has mapped it: mov (%rsp), %rax; jmp *%rbx. Then syscall. */
  const sigreturn = program(0x48, 0x8b, 0x04, 0x24, 0xff, 0xe3, 0xcc, 0xcc, 0x0f, 0x05, 0xcc);

  it('sees the system call that a signal frame of its own making leads to', () => {
    withGuest(machine, (guest) => {
      const frame = forge(guest, { rbx: 0x1234n }, NONE);
      const outcome = guest.run(sigreturn, { rbx: restorers[0], rsp: frame });
      expect([outcome.exit, guest.register('rbx')]).toEqual([Exit.Syscall, 0x1234n]);
    });
  });

  it.each([
    ['a system call with all signals blocked', {}, ALL],
    ['a system call', {}, NONE],
    ['32-bit code', { cs: 0x23n | (0x2bn << 48n) }, NONE],
    ['every flag', { eflags: 0xffff_ffffn }, NONE],
    ['code segments of the kernel', { cs: 0x10n | (0x18n << 48n) }, NONE],
    ['an address of the kernel', { rip: 0xffff_ffff_8100_0000n }, NONE],
    ['an address that is none', { rip: 0x8000_0000_0000_0000n }, NONE],
  ] as [string, Record<string, bigint>, bigint][])(
    'gains nothing by a signal frame of its own making: %s',
    (_, registers, mask) => {
      expect(restorers.length).toBeGreaterThan(0);
      for (const fpstate of [0n, BigInt(DATA + 2048), 0xffff_ffff_8100_0000n, BigInt(PROCESS_BASE)])
        survive((guest) => {
          guest.data.set(Buffer.from(`${target}\0`));
          const frame = forge(guest, registers, mask, fpstate);
          return guest.run(sigreturn, { rbx: restorers[0], rsp: frame });
        });
    },
  );

  it('gains nothing by signal frames of garbage', () => {
    const random = seeded(11);
    for (let round = 0; round < 40; round++)
      survive((guest) => {
        for (let i = 0; i < 4096; i++) guest.data[i] = random(256);
        return guest.run(sigreturn, { rbx: restorers[0], rsp: BigInt(DATA + 512) });
      });
  });

  it('does not choose how the next sandbox starts', () => {
    // What engine and sandbox share behind the control block's lines (native/process/area.h), which ask for a new one.
    const area = new Uint8Array(transport.pool).subarray(ControlOffset.completed + 8, 0x1000);
    for (const garbage of [0xff, 0x01]) {
      area.fill(garbage);
      new DataView(transport.pool).setUint32(ControlOffset.completeSeq, garbage, true);
      machine.restart();
      const outcome = run(program(0x0f, 0x05, 0xcc), { rax: OPEN, rdi: BigInt(DATA), rsi: CREATE });
      expect(outcome.exit).toBe(Exit.Syscall);
    }
  });

  it('gains nothing by jumps into its handler', () => {
    const random = seeded(13);
    const doors = addressesOf('\x0f\x05');
    for (let round = 0; round < 150; round++) {
      const at = random(3)
        ? BigInt(PROCESS_BASE + random(0x4000))
        : doors[random(doors.length)] - BigInt(random(16));
      const value = (): bigint =>
        [
          BigInt(DATA + random(DATA_SIZE)),
          BigInt(random(512)),
          BigInt(PROCESS_BASE + random(0x50_0000)),
          ALL,
        ][random(4)];
      survive((guest) => {
        guest.data.set(Buffer.from(`${target}\0`));
        const names = 'rax rcx rdx rsi rdi rbp r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');
        const registers = Object.fromEntries(names.map((name) => [name, value()]));
        return guest.run(program(0xff, 0xe3), { ...registers, rbx: at });
      });
    }
  });
});

describe.skipIf(processProblem !== null)(`engines that are killed (skipped: ${processProblem})`, () => {
  it('leave no process, whenever it is', async () => {
    // A program of a name of its own, to be found by whoever its parent is.
    const name = `sandbox-${process.pid}`;
    const copy = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'revenant-')), name);
    fs.copyFileSync(sandbox, copy);
    const script = `
      const addon = require(${JSON.stringify(path.join(folder, 'revenant.node'))});
      process.stdout.write('ready');
      for (;;) addon.openProcess(${64 << 20}, ${JSON.stringify(copy)}, ${PROCESS_BASE}).close();`;
    const random = seeded(17);
    try {
      for (let round = 0; round < 12; round++) {
        const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
        await new Promise((resolve) => child.stdout.once('data', resolve));
        await new Promise((resolve) => setTimeout(resolve, random(40)));
        child.kill('SIGKILL');
        await until(() => isDead(child.pid!) && processesOf(name).every(isDead));
      }
    } finally {
      fs.rmSync(path.dirname(copy), { recursive: true });
    }
  });
});
