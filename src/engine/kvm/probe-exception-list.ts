/**
 * The exceptions that a program at CPL 3 can cause, each with a processor's behaviour (Intel SDM
 * vol. 3, chapter 6, and the pages of the instructions). Not listed: #BR, #TS and #NM, which no
 * 64-bit program under Linux can raise, and those that every probe checks first.
 */
import { type LeftOut } from '../x86/unraised.js';
import { Cr4, findEntry } from './cpuid.js';
import { Ring0, Selector } from './layout.js';
import type { MachineConfig } from './machine.js';
import { CODE, DATA, DATA_SIZE, type Registers } from './probe-guest.js';

/** The expected exception, as the stub reports it. */
export interface Raised {
  readonly vector: number;
  /** rip in bytes from the program's first; default 0. */
  readonly at?: number;
  /** rip where it is not in the program. */
  readonly rip?: bigint;
  readonly errorCode?: number;
  readonly cr2?: bigint;
}

export interface ExceptionCheck {
  readonly name: string;
  /** Ends with INT3: if nothing is raised, there is a #BP after it. */
  readonly program: Uint8Array;
  readonly registers: Registers;
  /** 64-bit words of the data pages by their offset. */
  readonly words: readonly (readonly [offset: number, value: bigint])[];
  /** Local descriptors, two words each. */
  readonly locals?: Uint32Array;
  readonly raised: Raised;
  /** What completes it if the machine behaves as in `otherwise`. */
  readonly completed?: LeftOut;
  /** Protection keys forbid accesses. */
  readonly needsKeys?: boolean;
  /** null: anything; replays do not execute the instruction. */
  readonly otherwise: Raised | null;
}

type Words = ExceptionCheck['words'];
type Options = Partial<
  Pick<ExceptionCheck, 'registers' | 'words' | 'locals' | 'completed' | 'needsKeys' | 'otherwise'>
>;

const [DE, DB, BP, OF, UD, NP, SS, GP, PF, MF, AC, XM] = [0, 1, 3, 4, 6, 11, 12, 13, 14, 16, 17, 19];
const WILD = 0x4141_4141_4141_4141n;
const at = BigInt(DATA);
const kernel = 0xffff_ffff_8000_0000n + BigInt(Ring0.context);
const AC_FLAG = 0x40202n;
const AVX = 1 << 28;
const CLWB = 1 << 24;

function check(name: string, hex: string, raised: Raised, options: Options = {}): ExceptionCheck {
  const program = Uint8Array.from(Buffer.from(`${hex}cc`.replaceAll(' ', ''), 'hex'));
  const otherwise = { vector: BP, at: program.length };
  return { name, program, registers: { rdi: at }, words: [], otherwise, ...options, raised };
}

/** All, or as many as this processor has. */
export function exceptionChecks(config: MachineConfig): ExceptionCheck[] {
  return [
    ...arithmetic(),
    ...traps(),
    ...undefinedInstructions(config),
    ...selectors(),
    ...addresses(),
    ...privileged(config),
    ...pageFaults(),
    ...caches(config),
    ...wildBranches(),
    ...x87(),
    ...mxcsr(config),
    ...simd(config),
    ...protectionKeys(config),
  ];
}

const arithmetic = (): ExceptionCheck[] => {
  const raised = { vector: DE };
  const overflow = { rax: 0x8000_0000n, rdx: 0xffff_ffffn, rcx: 0xffff_ffffn };
  const overflow64 = { rax: 1n << 63n, rdx: (1n << 64n) - 1n, rcx: (1n << 64n) - 1n };
  return [
    check('DIV by zero, 8 bits', 'f6 f1', raised),
    check('DIV by zero, 16 bits', '66 f7 f1', raised),
    check('DIV by zero, 32 bits', 'f7 f1', raised),
    check('DIV by zero, 64 bits', '48 f7 f1', raised),
    check('DIV, too large a quotient', 'f7 f1', raised, { registers: { rdx: 1n, rcx: 1n } }),
    check('IDIV of the least number by -1, 32 bits', 'f7 f9', raised, { registers: overflow }),
    check('IDIV of the least number by -1, 64 bits', '48 f7 f9', raised, { registers: overflow64 }),
  ];
};

const traps = (): ExceptionCheck[] => [
  check('INT1', 'f1', { vector: DB, at: 1 }, { completed: 'int1', otherwise: { vector: UD } }),
  check('POPF of TF', '68 02 03 00 00 9d 90', { vector: DB, at: 7 }),
  check('INT3', '', { vector: BP, at: 1 }),
  check('INT 3', 'cd 03', { vector: BP, at: 2 }),
  check('INT 4', 'cd 04', { vector: OF, at: 2 }),
];

function undefinedInstructions({ cr4, xcr0 }: MachineConfig): ExceptionCheck[] {
  const raised = { vector: UD };
  const lock = { completed: 'lock' } as const;
  const hypercall = { completed: 'hypercall', otherwise: null } as const;
  const checks = [
    check('UD2', '0f 0b', raised),
    check('UD1', '0f b9 c0', raised),
    check('INTO', 'ce', raised),
    check('PUSH of ES', '06', raised),
    check('MOV to CS', '8e c8', raised),
    check('RSM', '0f aa', raised),
    check('MONITOR', '0f 01 c8', raised),
    check('MWAIT', '0f 01 c9', raised),
    // KVM handles both as hypercalls, at any privilege level.
    check('VMCALL', '0f 01 c1', raised, hypercall),
    check('VMMCALL', '0f 01 d9', raised, hypercall),
    check('LOCK MOV', 'f0 89 c0', raised, lock),
    check('LOCK ADD of registers', 'f0 01 c0', raised, lock),
    check('LOCK CMP', 'f0 39 07', raised, lock),
    check('LOCK NOP', 'f0 90', raised, lock),
  ];
  if (!(cr4 & Cr4.FSGSBASE)) checks.push(check('WRGSBASE', 'f3 48 0f ae da', raised));
  if (!(cr4 & Cr4.OSXSAVE)) checks.push(check('XGETBV', '0f 01 d0', raised));
  if (!(xcr0 & 4n)) checks.push(check('VADDPS without AVX', 'c5 f8 58 c0', raised, { completed: 'feature' }));
  if (!(cr4 & Cr4.PKE))
    checks.push(check('WRPKRU without CR4.PKE', '0f 01 ef', raised, { completed: 'feature' }));
  return checks;
}

/** Error codes name the selector, or the gate with bit 1 set (SDM vol. 3, 6.13). */
const selectors = (): ExceptionCheck[] => {
  // QEMU 7.2 takes 16 bytes a gate for the error code, too.
  const gate = (vector: number): ExceptionCheck =>
    check(
      `INT ${vector}`,
      `cd ${vector.toString(16).padStart(2, '0')}`,
      { vector: GP, errorCode: 8 * vector + 2 },
      { completed: 'gate', otherwise: { vector: GP, errorCode: 16 * vector + 2 } },
    );
  const load = (
    name: string,
    hex: string,
    selector: number,
    vector = GP,
    locals?: Uint32Array,
  ): ExceptionCheck =>
    check(name, hex, { vector, errorCode: selector & ~3 }, { registers: { rax: BigInt(selector) }, locals });
  // Writable data of DPL 3 that is not present.
  const absent = Uint32Array.of(0xffff, 0x00cf_7300);
  const far: Words = [
    [0, BigInt(CODE)],
    [8, 0x10n],
  ];
  return [
    ...[1, 8, 13, 14, 32, 144].map(gate),
    load("DS of the kernel's", '8e d8', 0x10),
    load('FS past the table limit', '8e e0', 0x1003),
    load('SS without a descriptor', '8e d0', 0),
    load('SS of code', '8e d0', Selector.userCs),
    load('DS that is not present', '8e d8', 7, NP, absent),
    load('SS that is not present', '8e d0', 7, SS, absent),
    check(
      "RETF to the kernel's code",
      '48 cb',
      { vector: GP, errorCode: 0x10 },
      { registers: { rsp: at }, words: far },
    ),
  ];
};

const addresses = (): ExceptionCheck[] => {
  const wild = (name: string, hex: string, register: 'rdi' | 'rsp' | 'rbp'): ExceptionCheck => {
    const registers = { [register]: WILD };
    if (register === 'rdi') return check(name, hex, { vector: GP }, { registers });
    return check(name, hex, { vector: SS }, { registers, completed: 'stack', otherwise: { vector: GP } });
  };
  const unaligned = (name: string, hex: string): ExceptionCheck =>
    check(name, hex, { vector: GP }, { registers: { rdi: at + 8n } });
  const aligned = (name: string, hex: string): ExceptionCheck =>
    check(
      name,
      hex,
      { vector: AC },
      { registers: { rdi: at + 1n, eflags: AC_FLAG }, completed: 'alignment' },
    );
  return [
    wild('load, not canonical', '48 8b 07', 'rdi'),
    wild('store, not canonical', '48 89 07', 'rdi'),
    wild('load of the stack, not canonical', '48 8b 04 24', 'rsp'),
    wild('load by RBP, not canonical', '48 8b 45 00', 'rbp'),
    wild('PUSH, not canonical', '50', 'rsp'),
    wild('POP, not canonical', '58', 'rsp'),
    wild('CALL, stack not canonical', 'e8 00 00 00 00', 'rsp'),
    wild('RET, stack not canonical', 'c3', 'rsp'),
    unaligned('MOVAPS, unaligned', '0f 28 07'),
    unaligned('CMPXCHG16B, unaligned', '48 0f c7 0f'),
    unaligned('FXSAVE, unaligned', '0f ae 07'),
    aligned('load, unaligned under EFLAGS.AC', '48 8b 07'),
    aligned('store, unaligned under EFLAGS.AC', '48 89 07'),
  ];
};

function privileged({ cr4 }: MachineConfig): ExceptionCheck[] {
  const raised = { vector: GP };
  const checks = [
    ['RDMSR', '0f 32'],
    ['WRMSR', '0f 30'],
    ['RDPMC', '0f 33'],
    ['HLT', 'f4'],
    ['CLI', 'fa'],
    ['STI', 'fb'],
    ['IN', 'e4 10'],
    ['OUT', 'e6 10'],
    ['INS', '6c'],
    ['MOV from CR0', '0f 20 c0'],
    ['MOV to CR3', '0f 22 d8'],
    ['MOV from DR0', '0f 21 c0'],
    ['CLTS', '0f 06'],
    ['LGDT', '0f 01 17'],
    ['LIDT', '0f 01 1f'],
    ['LLDT', '0f 00 d0'],
    ['LTR', '0f 00 d8'],
    ['LMSW', '0f 01 f0'],
    ['INVLPG', '0f 01 3f'],
    ['WBINVD', '0f 09'],
    ['INVD', '0f 08'],
    ['SWAPGS', '0f 01 f8'],
    ['SYSRET', '48 0f 07'],
    ['16 bytes', `${'66'.repeat(15)} 90`],
    ...(cr4 & Cr4.OSXSAVE ? [['XSETBV', '0f 01 d1']] : []),
  ];
  const umip = [
    ['SGDT', '0f 01 07'],
    ['SIDT', '0f 01 0f'],
    ['SLDT', '0f 00 07'],
    ['STR', '0f 00 0f'],
    ['SMSW', '0f 01 27'],
  ];
  return [
    ...checks.map(([name, hex]) => check(name, hex, raised)),
    ...(cr4 & Cr4.UMIP ? umip : []).map(([name, hex]) =>
      check(`${name} under CR4.UMIP`, hex, raised, { completed: 'umip' }),
    ),
  ];
}

/** Error codes: 1 present, 2 write, 4 user, 16 fetch, 32 protection key (SDM vol. 3, 4.7). */
const pageFaults = (): ExceptionCheck[] => {
  const absent = 0x7fff_1234_5678n;
  const end = at + BigInt(DATA_SIZE);
  const code = BigInt(CODE);
  const fault = (
    name: string,
    hex: string,
    errorCode: number,
    address: bigint,
    cr2 = address,
  ): ExceptionCheck => check(name, hex, { vector: PF, errorCode, cr2 }, { registers: { rdi: address } });
  const jump = (name: string, errorCode: number, rip: bigint): ExceptionCheck =>
    check(name, 'ff e7', { vector: PF, errorCode, cr2: rip, rip }, { registers: { rdi: rip } });
  return [
    fault('write to an absent page', '48 89 07', 6, absent),
    fault('read that ends in an absent page', '48 8b 07', 4, end - 4n, end),
    fault('CMPXCHG of a read-only page', '0f b1 0f', 7, code + 0x7f8n),
    fault("read of the kernel's memory", '48 8b 07', 5, kernel),
    fault("write to the kernel's memory", '48 89 07', 7, kernel),
    jump('execution of an absent page', 20, absent),
    jump("execution of the kernel's memory", 21, kernel),
    check(
      'PUSH to an absent page',
      '50',
      { vector: PF, errorCode: 6, cr2: absent - 8n },
      { registers: { rsp: absent } },
    ),
    check(
      'CALL with an absent stack',
      'e8 00 00 00 00',
      { vector: PF, errorCode: 6, cr2: absent - 8n },
      {
        registers: { rsp: absent },
      },
    ),
    check(
      'RET from an absent stack',
      'c3',
      { vector: PF, errorCode: 4, cr2: absent },
      { registers: { rsp: absent } },
    ),
  ];
};

/** Leaves PKRU with access to memory disabled: the last. */
const protectionKeys = ({ cr4 }: MachineConfig): ExceptionCheck[] => {
  if (!(cr4 & Cr4.PKE)) return [];
  const raised = { vector: PF, at: 3, errorCode: 37, cr2: at };
  const registers = { rax: 1n, rdi: at };
  return [check('read under a protection key', '0f 01 ef 48 8b 07', raised, { registers, needsKeys: true })];
};

function caches({ cpuid, cr4 }: MachineConfig): ExceptionCheck[] {
  const absent = 0x7fff_1234_5678n;
  const page = { vector: PF, errorCode: 4, cr2: absent };
  const of = (rdi: bigint): Options => ({ registers: { rdi }, completed: 'clflush' });
  const checks = [
    check('CLFLUSH of an absent page', '0f ae 3f', page, of(absent)),
    check('CLFLUSH, not canonical', '0f ae 3f', { vector: GP }, of(WILD)),
  ];
  if ((findEntry(cpuid, 7)?.ebx ?? 0) & CLWB)
    checks.push(check('CLWB of an absent page', '66 0f ae 37', page, of(absent)));
  if (cr4 & Cr4.FSGSBASE) {
    const options = { registers: { rdx: WILD }, completed: 'fsgsbase' } as const;
    checks.push(check('WRFSBASE, not canonical', 'f3 48 0f ae d2', { vector: GP }, options));
    checks.push(check('WRGSBASE, not canonical', 'f3 48 0f ae da', { vector: GP }, options));
  }
  return checks;
}

/** Processors fault on the branch, emulators at its target. */
const wildBranches = (): ExceptionCheck[] => {
  const otherwise = { vector: GP, rip: WILD };
  const branch = (name: string, hex: string, registers: Registers, words: Words = []): ExceptionCheck =>
    check(name, hex, { vector: GP }, { registers, words, completed: 'branch', otherwise });
  const frame: Words = [
    [0, WILD],
    [8, BigInt(Selector.userCs)],
    [16, 0x202n],
    [24, at],
    [32, BigInt(Selector.userSs)],
  ];
  return [
    branch('JMP to where is not canonical', 'ff e7', { rdi: WILD }),
    branch('JMP by memory to where is not canonical', 'ff 27', { rdi: at }, frame),
    branch('CALL to where is not canonical', 'ff d7', { rdi: WILD }),
    branch('CALL by memory to where is not canonical', 'ff 17', { rdi: at }, frame),
    branch('RET to where is not canonical', 'c3', { rsp: at }, frame),
    branch('RETF to where is not canonical', '48 cb', { rsp: at }, frame),
    branch('IRET to where is not canonical', '48 cf', { rsp: at }, frame),
  ];
};

const [ONE, THREE, MINUS_ONE] = [0x3ff0n << 48n, 0x4008n << 48n, 0xbff0n << 48n];
const [DENORMAL, LEAST, LARGEST, NAN] = [1n, 0x10n << 48n, 0x7fef_ffff_ffff_ffffn, 0x7ff8n << 48n];

/** Raised by the next instruction that waits, by which all of it is pending: fninit; fldcw (%rdi); ... */
const x87 = (): ExceptionCheck[] => {
  const pending = (
    name: string,
    control: bigint,
    hex: string,
    last: string,
    operand = 0n,
  ): ExceptionCheck => {
    const code = `db e3 d9 2f ${hex}`.replaceAll(' ', '');
    const words: Words = [
      [0, control],
      [16, operand],
    ];
    return check(name, code + last, { vector: MF, at: code.length / 2 }, { words, completed: 'x87' });
  };
  const divided = 'd9 e8 d9 ee de f9'; // fld1; fldz; fdivp
  const squared = 'dd 47 10 d8 c8 dd 5f 20'; // fldl 16(%rdi); fmul %st, %st; fstpl 32(%rdi)
  return [
    pending('FLD1 after an x87 division by zero', 0x37bn, divided, 'd9 e8'),
    pending('FWAIT after an x87 division by zero', 0x37bn, divided, '9b'),
    pending('EMMS after an x87 division by zero', 0x37bn, divided, '0f 77'),
    pending('MOVQ of MMX after an x87 division by zero', 0x37bn, divided, '0f 6f c0'),
    pending('x87 stack underflow', 0x37en, 'dd d8', '9b'),
    pending('x87 denormal operand', 0x37dn, 'dd 47 10', '9b', DENORMAL),
    pending('x87 overflow', 0x377n, squared, '9b', LARGEST),
    pending('x87 underflow', 0x36fn, squared, '9b', LEAST),
    pending('x87 inexact result', 0x35fn, 'd9 e8 dd 47 10 de f9', '9b', THREE),
  ];
};

function mxcsr({ cr4 }: MachineConfig): ExceptionCheck[] {
  const reserved = 0x8000_1f80n;
  const raised = { vector: GP };
  const options = { completed: 'mxcsr', words: [[24, reserved]] as Words } as const;
  const checks = [
    check('LDMXCSR of reserved bits', '0f ae 17', raised, { ...options, words: [[0, reserved]] }),
    check('FXRSTOR of reserved bits of MXCSR', '0f ae 0f', raised, options),
  ];
  if (!(cr4 & Cr4.OSXSAVE)) return checks;
  const registers = { rdi: at, rax: 2n };
  const header = (offset: number, value: bigint): Words => [
    [24, 0x1f80n],
    [512, 2n],
    [offset, value],
  ];
  return [
    ...checks,
    check('XRSTOR of reserved bits of MXCSR', '0f ae 2f', raised, {
      ...options,
      registers,
      words: header(24, reserved),
    }),
    check('XRSTOR of a reserved header', '0f ae 2f', raised, { registers, words: header(528, 1n) }),
    check('XRSTOR, unaligned', '0f ae 2f', raised, { registers: { rdi: at + 8n, rax: 2n } }),
    check('XSAVE, unaligned', '0f ae 27', raised, { registers: { rdi: at + 8n, rax: 2n } }),
  ];
}

/** ldmxcsr (%rdi); movaps 16(%rdi), %xmm0; movaps 32(%rdi), %xmm1; ... */
function simd({ cpuid, xcr0 }: MachineConfig): ExceptionCheck[] {
  const unmasked = (name: string, bit: number, hex: string, a: bigint, b: bigint): ExceptionCheck => {
    const words: Words = [
      [0, BigInt(0x1f80 & ~(0x80 << bit))],
      [16, a],
      [32, b],
    ];
    return check(
      `${name}, unmasked`,
      `0f ae 17 0f 28 47 10 0f 28 4f 20 ${hex}`,
      { vector: XM, at: 11 },
      {
        words,
        completed: 'simd',
      },
    );
  };
  const checks = [
    unmasked('SSE invalid operation', 0, 'f2 0f 51 c1', 0n, MINUS_ONE), // sqrtsd
    unmasked('SSE denormal operand', 1, 'f2 0f 58 c1', ONE, DENORMAL), // addsd
    unmasked('SSE division by zero', 2, 'f2 0f 5e c1', ONE, 0n), // divsd
    unmasked('SSE overflow', 3, 'f2 0f 59 c1', LARGEST, LARGEST), // mulsd
    unmasked('SSE underflow', 4, 'f2 0f 59 c1', LEAST, LEAST),
    unmasked('SSE inexact result', 5, 'f2 0f 5e c1', ONE, THREE),
    unmasked('SSE conversion to an integer', 0, 'f2 0f 2c c1', 0n, LARGEST), // cvttsd2si
    unmasked('SSE comparison', 0, '66 0f 2f c1', 0n, NAN), // comisd
    unmasked('SSE packed division by zero', 2, '66 0f 5e c1', ONE, 0n), // divpd
  ];
  if (xcr0 & 4n && (findEntry(cpuid, 1)?.ecx ?? 0) & AVX)
    checks.push(unmasked('AVX division by zero', 2, 'c5 fb 5e c1', ONE, 0n)); // vdivsd
  return checks;
}
