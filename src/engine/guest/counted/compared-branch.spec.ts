import { describe, expect, it } from 'vitest';
import { PAGE_SIZE } from '../../base/address.js';
import { comparedBranch } from './compared-branch.js';

/** Of an instruction and a branch in a page, at its beginning. */
const find = (first: readonly number[], branch: readonly number[] = [0x75, 0x10]) =>
  comparedBranch(Uint8Array.from([...first, ...branch, 0xf4]), 0, first.length);

describe('comparedBranch', () => {
  it.each([
    ['cmp eax, 5', [0x83, 0xf8, 0x05]],
    ['cmp r9, rdx', [0x49, 0x39, 0xd1]],
    ['test al, al', [0x84, 0xc0]],
    ['test cx, cx', [0x66, 0x85, 0xc9]],
    ['test eax, 0x100', [0xa9, 0, 1, 0, 0]],
    ['sub ecx, 1', [0x83, 0xe9, 0x01]],
    ['add rdi, rsi', [0x48, 0x01, 0xf7]],
    ['and eax, 7', [0x83, 0xe0, 0x07]],
    ['cmp eax, 0x1000', [0x3d, 0, 0x10, 0, 0]],
    ['neg ebx', [0xf7, 0xdb]],
    ['dec ecx', [0xff, 0xc9]],
    ['inc r12', [0x49, 0xff, 0xc4]],
  ])('counts before %s', (_, first) => {
    expect(find(first)).toEqual({
      branch: first.length,
      end: first.length + 2,
      condition: 5,
      target: first.length + 2 + 0x10,
      twice: false,
    });
  });

  it.each([
    ['cmp dword [rbp-8], 5', [0x83, 0x7d, 0xf8, 0x05]],
    ['cmp [rip+0x10], eax', [0x39, 0x05, 0x10, 0, 0, 0]],
    ['cmp al, fs:[0]', [0x64, 0x3a, 0x04, 0x25, 0, 0, 0, 0]],
    ['test byte [rdi], 1', [0xf6, 0x07, 0x01]],
    ['ucomiss xmm0, xmm1', [0x0f, 0x2e, 0xc1]],
    ['comisd xmm9, [rdx]', [0x66, 0x44, 0x0f, 0x2f, 0x0a]],
  ])('executes %s twice, which may raise an exception', (_, first) => {
    expect(find(first)).toMatchObject({ twice: true });
  });

  it.each([
    ['sub dword [rdi], 1', [0x83, 0x2f, 0x01]],
    ['sub eax, [rdi]', [0x2b, 0x07]],
    ['inc dword [rdi]', [0xff, 0x07]],
    ['lock cmp is none', [0xf0, 0x39, 0x07]],
    ['adc eax, 0', [0x83, 0xd0, 0x00]],
    ['shr eax, 1', [0xd1, 0xe8]],
    ['bt eax, 3', [0x0f, 0xba, 0xe0, 0x03]],
    ['mul ecx', [0xf7, 0xe1]],
    ['not eax', [0xf7, 0xd0]],
    ['call rax', [0xff, 0xd0]],
    ['vucomiss xmm0, xmm1', [0xc5, 0xf8, 0x2e, 0xc1]],
    ['cmp eax, [edi]', [0x67, 0x3b, 0x07]],
    ['mov eax, 5', [0xb8, 5, 0, 0, 0]],
  ])('does not take %s', (_, first) => {
    expect(find(first)).toBeNull();
  });

  it.each([
    ['loop', [0xe2, 0x10]],
    ['jmp', [0xeb, 0x10]],
    ['setne al', [0x0f, 0x95, 0xc0]],
    ['a branch with a prefix', [0x66, 0x75, 0x10]],
  ])('does not take %s behind it', (_, branch) => {
    expect(find([0x83, 0xf8, 0x05], branch)).toBeNull();
  });

  it('knows long branches, also backwards, and none that goes on in the next page', () => {
    const back = find([0x85, 0xc0], [0x0f, 0x8c, 0xf0, 0xff, 0xff, 0xff]);
    expect(back).toEqual({ branch: 2, end: 8, condition: 0xc, target: -8, twice: false });
    const bytes = new Uint8Array(PAGE_SIZE + 15);
    bytes.set([0x85, 0xc0, 0x75, 0x00], PAGE_SIZE - 3);
    expect(comparedBranch(bytes, PAGE_SIZE - 3, PAGE_SIZE - 1)).toBeNull();
    bytes.set([0x85, 0xc0, 0x75, 0x00], PAGE_SIZE - 4);
    expect(comparedBranch(bytes, PAGE_SIZE - 4, PAGE_SIZE - 2)).not.toBeNull();
  });
});
