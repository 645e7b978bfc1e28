import { expect, it } from 'vitest';
import { Reg, setRegister } from '../../engine/base/registers.js';
import { EventKind, SyscallState, TraceFrame } from '../../engine/trace/frame.js';
import { callText, returnText } from './syscall-text.js';

function frameOf(number: number, words: bigint[], result: bigint): TraceFrame {
  const frame = new TraceFrame();
  frame.kind = EventKind.syscall;
  frame.syscallState = SyscallState.exiting;
  frame.syscallNumber = number;
  const slots = [Reg.rdi, Reg.rsi, Reg.rdx, Reg.r10, Reg.r8, Reg.r9];
  words.forEach((word, at) => setRegister(frame.registers, slots[at], BigInt.asUintN(64, word)));
  setRegister(frame.registers, Reg.rax, BigInt.asUintN(64, result));
  return frame;
}

const returned = (number: number, words: bigint[], result: bigint, files: string[] = []): string =>
  returnText(frameOf(number, words, result), 1000, files);

it('writes calls with arguments, results and files', () => {
  expect(returned(0, [3n, 0x7f00n, 832n], 832n)).toBe('read(3, 0x7f00, 832) = 832');
  expect(returned(257, [-100n, 0x7f00n, 0x80000n, 0n], 3n)).toBe('openat(AT_FDCWD, 0x7f00, 0x80000) = 3');
  // Upper halves of an int may hold anything.
  expect(returned(257, [0xffff_ff9cn, 0x7f00n, 0x41n, 0o644n], -2n)).toBe(
    'openat(AT_FDCWD, 0x7f00, 0x41, 0644) = -1 ENOENT',
  );
  expect(returned(9, [0n, 4096n, 1n, 2n, 3n, 0n], 0x7f29f099d000n, ['/etc/ld.so.cache'])).toBe(
    'mmap(0, 4096, 1, 2, 3, 0) = 0x7f29f099d000 /etc/ld.so.cache',
  );
  expect(returned(39, [], 268n)).toBe('getpid() = 268');
  expect(returned(35, [0x10n, 0n], -516n)).toBe('nanosleep(0x10, 0) = -1 error 516');
  expect(callText(frameOf(231, [0n], 0n), 1000)).toBe('exit_group(0)');
});
