/** Instructions that the processor lacks, executed in software: their faults, steps and breakpoints. */
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { Exit } from '../../src/engine/kvm/exit.js';
import type { Machine } from '../../src/engine/kvm/machine.js';
import { CODE, DATA, DATA_SIZE, type ProbeGuest, type Outcome } from '../../src/engine/kvm/probe-guest.js';
import { TraceReader } from '../../src/engine/trace/reader.js';
import { DR6_STEP, EFLAGS_TRAP, Exception } from '../../src/engine/x86/constants.js';
import { sample } from '../collections.js';
import { describeMachines, guestOf } from './guest.js';

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'));

const INT3 = 'cc';
/** vmovdqu64 (%rdi), %zmm1; vmovdqu64 %zmm1, (%rsi). */
const LOAD = '62 f1 fe 48 6f 0f';
const STORE = '62 f1 fe 48 7f 0e';
/** vmovdqu64 (%rdi), %zmm1{%k1}{z}. */
const LOAD_MASKED = '62 f1 fe c9 6f 0f';
/** kmovq %rax, %k1; kmovq %k1, %rbx. */
const SET_MASK = 'c4 e1 fb 92 c8';
const GET_MASK = 'c4 e1 fb 93 d9';
/** vpxor %xmm1, %xmm1, %xmm1; vmovdqu %ymm1, (%rsi); vzeroupper. */
const CLEAR = 'c5 f1 ef c9';
const STORE_YMM = 'c5 fe 7f 0e';
const VZEROUPPER = 'c5 f8 77';
/** vaddpd %zmm16, %zmm16, %zmm16; dec %edi; jnz. */
const ADD_16 = '62 a1 fd 40 58 c0';
const LOOP = 'ff cf 0f 85 f2 ff ff ff';
/** Of XCR0. */
const OPMASK = 1n << 5n;
const ABSENT = 0x7fff_0000_0000;

describeMachines(specsOf);

function specsOf(kind: 'emulated' | 'process'): void {
  let machine: Machine;
  let guest: ProbeGuest;
  let close: (() => void) | undefined;
  beforeAll(async () => {
    ({ machine, guest, close } = await guestOf(
      TraceReader.headerOf(sample('skylake-avx512/xcr0probe')),
      kind,
    ));
  });
  afterAll(() => close?.());

  const run = (code: readonly string[], registers: Parameters<ProbeGuest['run']>[1] = {}): Outcome =>
    guest.run(bytes(`${code.join('')}${INT3}`), registers);

  /** Skips what only software does, where the processor has AVX-512: a process cannot take it from a program. */
  const needsLack = (context: TestContext): void => {
    const has = kind === 'process' && (machine.xcr0 & OPMASK) !== 0n;
    context.skip(has, 'this processor has AVX-512');
  };

  const IN = 0x100;
  const OUT = 0x200;
  const ends = { rdi: BigInt(DATA + IN), rsi: BigInt(DATA + OUT) };
  const fill = (): void => guest.data.forEach((_, at) => (guest.data[at] = at < OUT ? at % 251 : 0));
  const stored = (size: number): Uint8Array => guest.data.subarray(OUT, OUT + size);

  describe('an instruction that the processor lacks', () => {
    it('is executed, and so are those behind it', (context) => {
      needsLack(context);
      fill();
      const before = machine.completedInstructions;
      const outcome = run([LOAD, STORE], ends);
      expect(outcome).toMatchObject({ exit: Exit.Exception, vector: Exception.BP });
      expect(stored(64)).toEqual(guest.data.subarray(IN, IN + 64));
      expect(machine.completedInstructions - before).toBe(2);
    });

    it('has mask registers', () => {
      const outcome = run([SET_MASK, GET_MASK], { rax: 0x0123_4567_89ab_cdefn });
      expect(outcome.vector).toBe(Exception.BP);
      expect(guest.register('rbx')).toBe(0x0123_4567_89ab_cdefn);
    });

    it('faults at what is not there, and not where its mask has no element', () => {
      const far = run([LOAD], { rdi: BigInt(ABSENT) });
      expect(far).toMatchObject({
        vector: Exception.PF,
        errorCode: 4,
        cr2: BigInt(ABSENT),
        rip: BigInt(CODE),
      });
      const readOnly = run([STORE], { rsi: BigInt(CODE) });
      expect(readOnly).toMatchObject({ vector: Exception.PF, errorCode: 7, cr2: BigInt(CODE) });
      const across = BigInt(DATA + DATA_SIZE - 8);
      expect(run([SET_MASK, LOAD_MASKED], { rax: 1n, rdi: across }).vector).toBe(Exception.BP);
      expect(run([SET_MASK, LOAD_MASKED], { rax: 2n, rdi: across })).toMatchObject({
        vector: Exception.PF,
        cr2: across + 8n,
        rip: BigInt(CODE + 5),
      });
      expect(run([LOAD], { rdi: 1n << 62n }).vector).toBe(Exception.GP);
    });

    it('is one step', () => {
      const outcome = run([LOAD, STORE], { ...ends, eflags: 0x202n | BigInt(EFLAGS_TRAP) });
      expect(outcome).toMatchObject({ vector: Exception.DB, rip: BigInt(CODE + 6) });
      expect(outcome.dr6 & DR6_STEP).toBe(DR6_STEP);
    });

    it('stops at breakpoints of code and data', () => {
      const { context } = machine;
      context.setBreakpoint(0, (CODE + 6) as typeof CODE);
      expect(run([LOAD, STORE], ends)).toMatchObject({ vector: Exception.DB, rip: BigInt(CODE + 6) });
      context.setBreakpoint(0, null);
      context.setDataBreakpoint(1, (DATA + OUT + 40) as typeof DATA, 8, false);
      const outcome = run([LOAD, STORE], ends);
      context.release(1);
      expect(outcome).toMatchObject({ vector: Exception.DB, rip: BigInt(CODE + 12) });
      expect(outcome.dr6 & 0xf).toBe(2);
    });

    it('ends where it is kicked, between two instructions', () => {
      const outcome = run([ADD_16, LOOP], { rdi: 0xffff_ffffn });
      expect(outcome.exit).toBe(Exit.Interrupted);
      expect([0, 6, 8]).toContain(Number(outcome.rip) - CODE);
    });

    it('is #UD where the recorded processor had it not, or where it is none', (context) => {
      needsLack(context);
      // vpopcntd %zmm1, %zmm1: not of a Skylake.
      expect(run(['62 f2 7d 48 55 c9'])).toMatchObject({ vector: Exception.UD, rip: BigInt(CODE) });
      expect(run([LOAD, '0f 0b'], ends)).toMatchObject({ vector: Exception.UD, rip: BigInt(CODE + 6) });
    });
  });

  describe('plain instructions between two that the processor lacks', () => {
    /** mov 8(%rdi), %rax; add $5, %eax; mov %rax, 64(%rsi). */
    const BETWEEN = ['48 8b 47 08', '83 c0 05', '48 89 46 40'];
    const code = [LOAD, ...BETWEEN, STORE];
    const [AFTER_LOAD, AFTER_MOV, AFTER_STORE] = [6, 10, 17];

    it('are executed as by the processor', () => {
      fill();
      expect(run(code, ends)).toMatchObject({ exit: Exit.Exception, vector: Exception.BP });
      const word = Buffer.from(guest.data.buffer, guest.data.byteOffset).readUInt32LE(IN + 8);
      expect(guest.register('rax')).toBe(BigInt((word + 5) >>> 0));
      expect(guest.data.slice(OUT + 64, OUT + 68)).toEqual(new Uint8Array(Uint32Array.of(word + 5).buffer));
      expect(stored(64)).toEqual(guest.data.subarray(IN, IN + 64));
    });

    it('branch as the flags say', () => {
      const outcome = run([ADD_16, LOOP], { rdi: 5n });
      expect(outcome.vector).toBe(Exception.BP);
      expect(guest.register('rdi')).toBe(0n);
    });

    it('stop at breakpoints of code and data', () => {
      fill();
      const { context } = machine;
      context.setBreakpoint(0, (CODE + AFTER_MOV) as typeof CODE);
      expect(run(code, ends)).toMatchObject({ vector: Exception.DB, rip: BigInt(CODE + AFTER_MOV) });
      context.setBreakpoint(0, null);
      context.setDataBreakpoint(1, (DATA + OUT + 64) as typeof DATA, 8, false);
      const outcome = run(code, ends);
      context.release(1);
      expect(outcome).toMatchObject({ vector: Exception.DB, rip: BigInt(CODE + AFTER_STORE) });
      expect(outcome.dr6 & 0xf).toBe(2);
    });

    it('fault where the processor does', () => {
      const outcome = run(['62 a1 fd 40 58 c0', ...BETWEEN, STORE], { ...ends, rdi: BigInt(ABSENT) });
      const rip = BigInt(CODE + AFTER_LOAD);
      expect(outcome).toMatchObject({ vector: Exception.PF, cr2: BigInt(ABSENT + 8), rip, errorCode: 4 });
    });
  });

  describe('a VEX instruction', () => {
    it('zeroes the upper half that the processor does not know', () => {
      fill();
      const outcome = run([LOAD, CLEAR, STORE], ends);
      expect(outcome.vector).toBe(Exception.BP);
      expect(stored(64)).toEqual(new Uint8Array(64));
    });

    it('finds the YMM register that an EVEX instruction left, and the other way', (context) => {
      needsLack(context);
      fill();
      expect(run([LOAD, STORE_YMM, VZEROUPPER, STORE_YMM], ends).vector).toBe(Exception.BP);
      const lower = guest.data.slice(IN, IN + 16);
      expect(stored(32)).toEqual(Uint8Array.from([...lower, ...new Uint8Array(16)]));
      // AVX is the processor's again.
      expect(machine.context.xcr0).toBe(7);
    });
  });

  describe('while an upper half is not zero', () => {
    /** paddw %mm2, %mm2, with REX: neither in software nor a VEX instruction. */
    const OTHER = '48 0f fd d2';
    const [PUSHF_POP_RAX, PUSH_R8_POPF] = ['9c 58', '41 50 9d'];
    const TRAP = BigInt(EFLAGS_TRAP);

    it('others are executed, and it stays', () => {
      fill();
      expect(run([LOAD, OTHER, OTHER, STORE], ends)).toMatchObject({ vector: Exception.BP });
      expect(stored(64)).toEqual(guest.data.subarray(IN, IN + 64));
      expect(run([LOAD, OTHER, CLEAR, OTHER, STORE], ends)).toMatchObject({ vector: Exception.BP });
      expect(stored(64)).toEqual(new Uint8Array(64));
    });

    it('multiplications, shifts and SSE are as on the processor', () => {
      // mov $7, %eax; imul $-3, %eax, %ecx; shl $5, %ecx; cvtsi2sd %ecx, %xmm2; mulsd %xmm2, %xmm2; cvttsd2si %xmm2, %rdx.
      const code = ['b8 07 00 00 00', '6b c8 fd', 'c1 e1 05', 'f2 0f 2a d1', 'f2 0f 59 d2', 'f2 48 0f 2c d2'];
      expect(run([LOAD, ...code, STORE], ends).vector).toBe(Exception.BP);
      expect(guest.register('rcx')).toBe(BigInt(-672 >>> 0));
      expect(guest.register('rdx')).toBe(672n * 672n);
    });

    it('the program sees no trap flag but its own', () => {
      expect(run([LOAD, OTHER, PUSHF_POP_RAX], ends).vector).toBe(Exception.BP);
      expect(guest.register('rax') & TRAP).toBe(0n);
      expect(run([LOAD, OTHER, '0f 05'], ends).exit).toBe(Exit.Syscall);
      expect(guest.register('r11') & TRAP).toBe(0n);
      expect(guest.register('eflags') & TRAP).toBe(0n);
      const outcome = run([LOAD, OTHER, PUSH_R8_POPF, '90 90'], { ...ends, r8: 0x202n | TRAP });
      expect(outcome).toMatchObject({ vector: Exception.DB, rip: BigInt(CODE + 14) });
      expect(guest.register('eflags') & TRAP).toBe(TRAP);
      const cleared = { ...ends, rsp: BigInt(DATA + OUT), eflags: 0x202n | TRAP };
      new DataView(guest.data.buffer, guest.data.byteOffset).setBigUint64(OUT, 0x202n, true);
      expect(run(['9d', '90'], cleared)).toMatchObject({ vector: Exception.DB, rip: BigInt(CODE + 1) });
      expect(guest.register('eflags') & TRAP).toBe(0n);
    });

    it('steps, breakpoints and faults of others are reported as they are', () => {
      const { context } = machine;
      context.setBreakpoint(0, (CODE + 10) as typeof CODE);
      expect(run([LOAD, OTHER, OTHER, STORE], ends)).toMatchObject({
        vector: Exception.DB,
        rip: BigInt(CODE + 10),
      });
      expect(context.dr6 & (DR6_STEP | 0xf)).toBe(1);
      context.setBreakpoint(0, null);
      expect(guest.go()).toMatchObject({ vector: Exception.BP });
      // movq %mm2, (%rsi).
      context.setDataBreakpoint(1, (DATA + OUT) as typeof DATA, 8, false);
      expect(run([LOAD, OTHER, '48 0f 7f 16'], ends)).toMatchObject({ vector: Exception.DB });
      context.release(1);
      expect(context.dr6 & (DR6_STEP | 0xf)).toBe(2);
      expect(guest.register('rip')).toBe(BigInt(CODE + 14));
      const stepped = run([LOAD, OTHER], { ...ends, eflags: 0x202n | TRAP });
      expect(stepped).toMatchObject({ vector: Exception.DB, rip: BigInt(CODE + 6) });
      expect(guest.go()).toMatchObject({ vector: Exception.DB, rip: BigInt(CODE + 10) });
      // paddw (%rax), %mm2.
      const faulted = run([LOAD, OTHER, '48 0f fd 10'], { ...ends, rax: BigInt(ABSENT) });
      expect(faulted).toMatchObject({ vector: Exception.PF, rip: BigInt(CODE + 10), errorCode: 4 });
      expect(guest.register('eflags') & TRAP).toBe(0n);
    });

    it('the stack segment is loaded as before', () => {
      fill();
      // mov $0x2b, %eax; mov %eax, %ss: holds the step back. Then a VEX instruction.
      expect(run([LOAD, 'b8 2b 00 00 00', '8e d0', CLEAR, STORE], ends).vector).toBe(Exception.BP);
      expect(stored(64)).toEqual(new Uint8Array(64));
    });

    it('VEX instructions that nobody executes are #UD', (context) => {
      needsLack(context);
      // vpdpbusd %ymm1, %ymm1, %ymm1 of AVX-VNNI: not of a Skylake.
      const outcome = run([LOAD, OTHER, 'c4 e2 75 50 c9'], ends);
      expect(outcome).toMatchObject({ vector: Exception.UD, rip: BigInt(CODE + 10) });
    });

    it('ends where it is kicked', () => {
      const outcome = run([LOAD, OTHER, '48 8d 76 00 eb f6'], ends);
      expect(outcome.exit).toBe(Exit.Interrupted);
      expect(guest.register('eflags') & TRAP).toBe(0n);
    });
  });
}
