import { describe, expect, it } from 'vitest';
import { Signal } from '../base/linux.js';
import { WATCHED, mxcsrOfFault, unraisedAt, x87Raises, type LeftOut } from './unraised.js';

const KERNEL = 0x80;
const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'));

describe('how an exception may be left out', () => {
  it.each([
    ['lock mov', 'f089c0', Signal.ILL, 2, 'registers'],
    ['ud2', '0f0b', Signal.ILL, 2, 'registers'],
    ['ldmxcsr', '0fae10', Signal.SEGV, KERNEL, 'mxcsr'],
    ['vldmxcsr', 'c5f8ae10', Signal.SEGV, KERNEL, 'mxcsr'],
    ['fxrstor', '0fae08', Signal.SEGV, KERNEL, 'mxcsr'],
    ['fxrstor64', '480fae08', Signal.SEGV, KERNEL, 'mxcsr'],
    ['xrstor', '0fae28', Signal.SEGV, KERNEL, 'mxcsr'],
    ['ldmxcsr of nothing', '0fae10', Signal.SEGV, 1, 'none'],
    ['wrgsbase', 'f3480faed9', Signal.SEGV, KERNEL, 'registers'],
    ['clflush, not canonical', '0fae38', Signal.SEGV, KERNEL, 'registers'],
    ['clflush, not mapped', '0fae38', Signal.SEGV, 1, 'registers'],
    ['clwb', '660fae30', Signal.SEGV, 1, 'registers'],
    ['mov', '488b00', Signal.SEGV, KERNEL, 'none'],
    ['mov of nothing', '488b00', Signal.SEGV, 1, 'none'],
    ['ret', 'c3', Signal.SEGV, KERNEL, 'none'],
    ['idiv', 'f7f9', Signal.FPE, 1, 'none'],
    ['fwait', '9b', Signal.FPE, 3, 'x87'],
    ['fstpl', 'dd18', Signal.FPE, 3, 'x87'],
    ['fld with a prefix', '64d900', Signal.FPE, 7, 'x87'],
    ['divsd', 'f20f5ec1', Signal.FPE, 3, 'simd'],
    ['vdivsd', 'c5f35ec1', Signal.FPE, 3, 'simd'],
    ['movd to mm0', '0f6ec1', Signal.FPE, 3, 'simd'],
  ] as const)('%s', (_, code, signal, signalCode, expected) => {
    expect(unraisedAt(bytesOf(code), signal, signalCode, WATCHED)).toBe(expected);
  });

  it.each([
    ['lock mov: the recorded processor may have lacked it', 'f089c0', Signal.ILL, 2, [], 'registers'],
    ['ldmxcsr', '0fae10', Signal.SEGV, KERNEL, ['simd', 'x87', 'clflush'], 'none'],
    ['wrgsbase', 'f3480faed9', Signal.SEGV, KERNEL, ['mxcsr'], 'none'],
    ['clflush', '0fae38', Signal.SEGV, 1, ['mxcsr'], 'none'],
    ['clflush', '0fae38', Signal.SEGV, 1, ['clflush'], 'registers'],
    ['fstpl', 'dd18', Signal.FPE, 3, ['simd'], 'none'],
    ['divsd', 'f20f5ec1', Signal.FPE, 3, ['x87'], 'none'],
    ['movd to mm0', '0f6ec1', Signal.FPE, 3, ['x87'], 'x87'],
    ['emms', '0f77', Signal.FPE, 3, ['x87'], 'x87'],
    ['emms', '0f77', Signal.FPE, 3, [], 'none'],
  ] as const)('%s, on a machine that raises others', (_, code, signal, signalCode, leftOut, expected) => {
    expect(unraisedAt(bytesOf(code), signal, signalCode, new Set<LeftOut>(leftOut))).toBe(expected);
  });
});

describe('x87', () => {
  it.each([
    ['division by zero', 0x37b, 0x3804, 3, true],
    ['the same, masked', 0x37f, 0x3804, 3, false],
    ['another one is unmasked', 0x37e, 0x3804, 3, false],
    ['a stack fault, which is not noted', 0x37e, 0, 7, true],
    ['the same, masked', 0x37f, 0, 7, false],
    ['a denormal, which is not noted', 0x37d, 0, 5, true],
  ])('%s', (_, control, status, code, raises) => {
    expect(x87Raises(control, status, code)).toBe(raises);
  });
});

describe('MXCSR after #XM', () => {
  // Seen on a processor: 1 / 0 and sqrt(-1) with their exceptions unmasked, 0x1d80 and 0x1f00.
  it.each([
    ['division by zero', 0x1d80, 4, 3, 0x1d84],
    ['invalid', 0x1f00, 1, 7, 0x1f01],
    ['masked exceptions', 0x1d80, 0x21, 3, null],
    ['noted before', 0x1d84, 0, 3, null],
    ['division by zero keeps inexact from being noted', 0x1d80, 0x24, 3, 0x1d84],
    ['overflow and inexact', 0x1b80, 0x28, 4, 0x1ba8],
    ['a denormal, which is not noted', 0x1e80, 0, 5, 0x1e82],
    ['underflow, with denormals unmasked, too', 0x1680, 0x30, 5, 0x16b0],
  ] as const)('%s', (_, mxcsr, flags, code, expected) => {
    expect(mxcsrOfFault(mxcsr, flags, code)).toBe(expected);
  });
});
