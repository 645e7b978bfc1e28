import { describe, expect, it } from 'vitest';
import type { Gva } from '../../base/address.js';
import { Reg, newRegisters, setRegister } from '../../base/registers.js';
import { Flow, decodeRun, indirectTarget } from './flow.js';

const AT = 0x40_1000 as Gva;
const run = (...bytes: number[]) => decodeRun(Uint8Array.from(bytes), AT);

describe('decodeRun', () => {
  it('ends at the first transfer of control', () => {
    // mov rax, [rsp]; je +0x10; nop
    const found = run(0x48, 0x8b, 0x04, 0x24, 0x74, 0x10, 0x90);
    expect(found).toMatchObject({ flow: Flow.conditional, last: AT + 4, end: AT + 6, target: AT + 0x16 });
    expect(found.bytes).toHaveLength(6);
  });

  it.each([
    ['je rel32', [0x0f, 0x84, 0, 1, 0, 0], Flow.conditional],
    ['loop', [0xe2, 0xfe], Flow.conditional],
    ['jrcxz', [0xe3, 0x00], Flow.conditional],
    ['jmp rel8', [0xeb, 0x00], Flow.jump],
    ['call rel32', [0xe8, 0, 0, 0, 0], Flow.jump],
    ['ret', [0xc3], Flow.return],
    ['repz ret', [0xf3, 0xc3], Flow.return],
    ['ret imm16', [0xc2, 8, 0], Flow.return],
    ['iretq', [0x48, 0xcf], Flow.odd],
    ['retf', [0xcb], Flow.odd],
    ['mov ss, ax', [0x8e, 0xd0], Flow.odd],
    ['jmp rax', [0xff, 0xe0], Flow.indirect],
    ['call [rax]', [0xff, 0x10], Flow.indirect],
    ['jmp far [rax]', [0x48, 0xff, 0x28], Flow.odd],
    ['syscall', [0x0f, 0x05], Flow.exits],
    ['int3', [0xcc], Flow.exits],
    ['ud2', [0x0f, 0x0b], Flow.exits],
    ['no instruction', [0x06], Flow.exits],
    ['nothing readable', [], Flow.exits],
    ['mov ds, ax and the end', [0x8e, 0xd8], Flow.onward],
  ] as [string, number[], number][])('%s', (_name, bytes, flow) => {
    expect(run(...bytes).flow).toBe(flow);
  });

  it('leaves an instruction that is not all there to the next run', () => {
    expect(run(0x90, 0x0f)).toMatchObject({ flow: Flow.onward, end: AT + 1 });
  });

  it('knows that a target outside user space is none', () => {
    expect(decodeRun(Uint8Array.of(0xeb, 0x80), 0x10 as Gva)).toMatchObject({ flow: Flow.jump, target: -1 });
  });
});

describe('indirectTarget', () => {
  const none = (): bigint | null => null;

  it('reads a register', () => {
    const registers = newRegisters();
    setRegister(registers, Reg.r10, 0x7f00_0000_1234n);
    const { operand } = run(0x41, 0xff, 0xe2); // jmp r10
    expect(indirectTarget(operand!, registers, none)).toBe(0x7f00_0000_1234);
  });

  it('adds base, scaled index, displacement and segment, modulo 2^64', () => {
    const registers = newRegisters();
    setRegister(registers, Reg.rax, 0x5000n);
    setRegister(registers, Reg.rcx, 0xffff_ffff_ffff_ffffn);
    setRegister(registers, Reg.fs_base, 0x1000n);
    const { operand } = run(0x64, 0xff, 0x64, 0xc8, 0x10); // jmp fs:[rax + rcx * 8 + 0x10]
    const asked: number[] = [];
    const target = indirectTarget(operand!, registers, (at) => {
      asked.push(at);
      return 0x40_2000n;
    });
    expect(asked).toEqual([0x5000 - 8 + 0x10 + 0x1000]);
    expect(target).toBe(0x40_2000);
  });

  it('knows rip-relative operands, as of the linkage table', () => {
    const asked: number[] = [];
    const { operand } = run(0xff, 0x25, 0x00, 0x01, 0x00, 0x00); // jmp [rip + 0x100]
    indirectTarget(operand!, newRegisters(), (at) => (asked.push(at), null));
    expect(asked).toEqual([AT + 6 + 0x100]);
  });

  it('has none where nothing is mapped, nor outside user space', () => {
    const { operand } = run(0xff, 0x10);
    expect(indirectTarget(operand!, newRegisters(), none)).toBe(-1);
    expect(indirectTarget(operand!, newRegisters(), () => 0x8000_0000_0000_0000n)).toBe(-1);
  });
});
