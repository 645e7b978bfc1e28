import { describe, expect, it } from 'vitest';
import { Reg, getRegister, newRegisters, setRegister } from '../../engine/base/registers.js';
import { resetImage } from '../../engine/x86/xstate-image.js';
import type { XstateLayout } from '../../engine/x86/xstate-layout.js';
import { Frame, composeFrame, composeXstate, parseXstate, placeFrame, restoreFrame } from './frame.js';

const AVX: XstateLayout = {
  xcr0: 7n,
  size: 832,
  components: [{ bit: 2, offset: 576, size: 256, aligned: false }],
};

function filled() {
  const registers = newRegisters();
  for (let slot = 0; slot < 27; slot++) setRegister(registers, slot, BigInt(slot) * 0x1_0001_0001n + 7n);
  return registers;
}

const content = (registers: Uint32Array) => ({
  registers,
  mask: 0x1234n,
  siginfo: new Uint8Array(128).fill(9),
  restorer: 0x4040n,
  altStack: { pointer: 0x1000, size: 0x2000, flags: 2 },
  trap: 14,
  errorCode: 6,
  cr2: 0xdead_beefn,
});

describe('a signal frame', () => {
  it('is at the same address as in Linux', () => {
    const place = placeFrame(0x7fff_0000_1003, false, AVX);
    expect(place.xstate % 64).toBe(0);
    expect((place.frame + 8) % 16).toBe(0);
    expect(place.xstate + place.xstateBytes).toBeLessThanOrEqual(0x7fff_0000_1003 - 128);
    expect(place.frame + Frame.size).toBeLessThanOrEqual(place.xstate);
    expect(placeFrame(0x2000, true, AVX).xstate).toBeGreaterThan(0x2000 - 128 - 836);
  });

  it('has the fields of struct rt_sigframe at their offsets', () => {
    const place = placeFrame(0x10_0000, false, AVX);
    const view = new DataView(composeFrame(content(filled()), place, AVX).buffer);
    expect(view.getBigUint64(0, true)).toBe(0x4040n);
    expect(view.getBigUint64(8, true)).toBe(7n);
    expect(view.getBigUint64(48 + 8 * 16, true)).toBe(getRegister(filled(), Reg.rip));
    expect(view.getBigUint64(48 + 160, true)).toBe(14n);
    expect(view.getBigUint64(48 + 176, true)).toBe(0xdead_beefn);
    expect(view.getBigUint64(48 + 184, true)).toBe(BigInt(place.xstate));
    expect(view.getBigUint64(304, true)).toBe(0x1234n);
    expect(view.getUint8(312)).toBe(9);
  });

  it('is restored by sigreturn, except flags that user code cannot set', () => {
    const place = placeFrame(0x10_0000, false, AVX);
    const registers = filled();
    setRegister(registers, Reg.eflags, 0x3_0246n);
    const bytes = composeFrame(content(registers), place, AVX).subarray(Frame.ucontext);
    const back = newRegisters();
    setRegister(back, Reg.eflags, 0x202n);
    const restored = restoreFrame(bytes, back);
    expect(restored).toMatchObject({ mask: 0x1234n, fpstate: place.xstate });
    for (const slot of [Reg.r8, Reg.r15, Reg.rax, Reg.rsp, Reg.rip])
      expect(getRegister(back, slot)).toBe(getRegister(registers, slot));
    expect(getRegister(back, Reg.eflags)).toBe(0x1_0246n);
  });

  it('carries the vector state with its marks; without them only the legacy region counts', () => {
    const image = resetImage(AVX);
    image[600] = 0x55;
    new DataView(image.buffer).setBigUint64(512, 7n, true);
    const area = composeXstate(image, AVX);
    expect(area.length).toBe(836);
    expect(parseXstate(area, AVX)[600]).toBe(0x55);
    area[832] = 0;
    expect(new DataView(parseXstate(area, AVX).buffer).getBigUint64(512, true)).toBe(3n);
  });
});
