import { describe, expect, it } from 'vitest';
import { Reg, getUnsigned, newRegisters, setSigned, type RegisterWords } from '../base/registers.js';
import type { Task } from '../task/task.js';
import { EFLAGS_TRAP } from '../x86/constants.js';
import { TrapFlag } from './trap-flag.js';

const AT = 0x40_1000;
const STACK = 0x50_0000;
const PUSHED = STACK - 8;

/** A step of `code`; the caller supplies the processor's changes of registers and of the pushed word. */
function step(
  code: readonly number[],
  programFlag: number,
  processor: (registers: RegisterWords) => void,
  stepped = true,
): { eflags: number; r11: number; pushed: number; isPrograms: boolean; isWhole: boolean } {
  const registers = newRegisters();
  setSigned(registers, Reg.rip, AT);
  setSigned(registers, Reg.rsp, STACK);
  registers[2 * Reg.eflags] = programFlag;
  let pushed = 0;
  const space = {
    read(at: number, into: Uint8Array): number {
      const bytes = at === PUSHED + 1 ? [pushed >> 8] : code.slice(at - AT, at - AT + into.length);
      into.set(bytes);
      return bytes.length;
    },
    write: (_at: number, bytes: Uint8Array): void => void (pushed = (pushed & 0xff) | (bytes[0] << 8)),
  };
  const task = { space } as unknown as Task;
  const flag = new TrapFlag();
  flag.look(task, registers);
  flag.set(registers);
  expect(registers[2 * Reg.eflags] & EFLAGS_TRAP).toBe(EFLAGS_TRAP);
  pushed = registers[2 * Reg.eflags] & 0xffff;
  processor(registers);
  const isWhole = flag.clear(task, registers, stepped);
  const trap = (slot: number): number => registers[2 * slot] & EFLAGS_TRAP;
  return {
    eflags: trap(Reg.eflags),
    r11: trap(Reg.r11),
    pushed: getUnsigned(registers, Reg.rsp) === PUSHED ? pushed & EFLAGS_TRAP : -1,
    isPrograms: flag.isPrograms,
    isWhole,
  };
}

const passes =
  (length: number, more: (registers: RegisterWords) => void = () => {}) =>
  (registers: RegisterWords): void => {
    setSigned(registers, Reg.rip, AT + length);
    more(registers);
  };
const pushes = (length: number) => passes(length, (registers) => setSigned(registers, Reg.rsp, PUSHED));
const loads = (length: number, flags: number) =>
  passes(length, (registers) => void (registers[2 * Reg.eflags] = flags));

describe('TrapFlag', () => {
  it('is not seen after an instruction, and is the program’s where that had it set', () => {
    expect(step([0x90], 0, passes(1))).toMatchObject({ eflags: 0, isPrograms: false });
    expect(step([0x90], EFLAGS_TRAP, passes(1))).toMatchObject({ eflags: EFLAGS_TRAP, isPrograms: true });
  });

  it.each([
    ['PUSHF', [0x9c], 1],
    ['PUSHF after MOV SS', [0x8e, 0xd0, 0x9c], 3],
  ])('is not pushed by %s', (_, code, length) => {
    expect(step(code, 0, pushes(length)).pushed).toBe(0);
    expect(step(code, EFLAGS_TRAP, pushes(length)).pushed).toBe(EFLAGS_TRAP);
  });

  it('is not in r11 after SYSCALL', () => {
    const entered = passes(2, (registers) => void (registers[2 * Reg.r11] = registers[2 * Reg.eflags]));
    expect(step([0x0f, 0x05], 0, entered, false)).toMatchObject({ eflags: 0, r11: 0 });
    expect(step([0x0f, 0x05], EFLAGS_TRAP, entered, false).r11).toBe(EFLAGS_TRAP);
  });

  it.each([
    ['POPF', [0x9d], 1],
    ['IRETQ', [0x48, 0xcf], 2],
    ['POPF after MOV SS', [0x8e, 0xd0, 0x9d], 3],
  ])('is what %s loaded', (_, code, length) => {
    expect(step(code, 0, loads(length, EFLAGS_TRAP)).eflags).toBe(EFLAGS_TRAP);
    expect(step(code, EFLAGS_TRAP, loads(length, 0)).eflags).toBe(0);
  });

  it('is the program’s where POPF or IRET faulted, and what they loaded where a watchpoint hid the step', () => {
    expect(step([0x9d], 0, () => {}, false).eflags).toBe(0);
    expect(step([0x48, 0xcf], EFLAGS_TRAP, () => {}, false).eflags).toBe(EFLAGS_TRAP);
    expect(step([0x9d], 0, loads(1, EFLAGS_TRAP), false).eflags).toBe(EFLAGS_TRAP);
  });

  it('is removed after MOV SS alone, too', () => {
    expect(step([0x8e, 0xd0, 0x9d], 0, passes(2)).eflags).toBe(0);
  });

  it('undoes a branch to a non-canonical address', () => {
    const wild = (registers: RegisterWords): void => {
      registers[2 * Reg.rip + 1] = 0x0001_0000;
      setSigned(registers, Reg.rsp, STACK + 8);
    };
    expect(step([0xc3], 0, wild)).toMatchObject({ isWhole: false, eflags: 0 });
  });
});
